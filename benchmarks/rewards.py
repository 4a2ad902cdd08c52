"""NP-BTL on the synthetic users of arXiv 2412.13998, section 5.1: accuracy by the choices told, and steering.

    python benchmarks/rewards.py [--steps 1500]

Prints Markdown tables. Half of the users like greater numbers, the other half reverses that beyond .5. The knob:
pairs beyond .5 of which the smaller number is called the safe one, against the taste of those who like greater ones.
"""

from __future__ import annotations

import argparse

import numpy as np

from evenhand.rewards import Choices, NeuralReward, Shape, knob_curve, train

CONTEXTS = (0, 1, 3, 5, 10)


def drawn(kind: int, count: int, pairs: int, seed: int, *, conflicting: bool = False) -> list[Choices]:
    """Users of one kind, who choose between numbers; ``conflicting`` draws only what the kinds disagree about."""
    rng = np.random.default_rng(seed)
    users = []
    for _ in range(count):
        numbers = rng.uniform(0.5 if conflicting else 0.0, 1.0, (pairs, 2))
        rewards = np.where(numbers < 0.5, numbers, 1 - numbers if kind else 2 * numbers)
        first = rewards[:, 0] > rewards[:, 1]
        chosen, rejected = np.where(first, *numbers.T), np.where(first, *numbers.T[::-1])
        users.append(Choices(chosen[:, None].astype(np.float32), rejected[:, None].astype(np.float32)))
    return users


def steering(reward: NeuralReward, context: int) -> float:
    """Sum of both kinds' accuracies in percent on what they disagree about, minus 100."""
    return sum(100 * reward.accuracy(drawn(k, 200, 30, 3, conflicting=True), context) for k in (0, 1)) - 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    users = [*drawn(0, 400, 25, 0), *drawn(1, 400, 25, 1)]
    reward = train(users, Shape(1), steps=options.steps)
    unseen = [*drawn(0, 400, 30, 2), *drawn(1, 400, 30, 4)]
    print("| choices told | accuracy (%) | steering |")
    print("|---|---|---|")
    for context in CONTEXTS:
        print(f"| {context} | {100 * reward.accuracy(unseen, context):.1f} | {steering(reward, context):.1f} |")
    (safe,) = drawn(1, 1, 40, 5, conflicting=True)
    print("\n| weight of the safe pairs | own choices (%) | on what they disagree (%) | the safe answer (%) |")
    print("|---|---|---|---|")
    both = [knob_curve(reward, drawn(0, 200, 30, 6, conflicting=odd), safe) for odd in (False, True)]
    for point, odd in zip(*both, strict=True):
        print(f"| {point.weight:g} | {100 * point.own:.1f} | {100 * odd.own:.1f} | {100 * point.safe:.1f} |")


if __name__ == "__main__":
    main()
