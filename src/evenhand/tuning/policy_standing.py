"""Whether a policy follows the user it has read: choices predicted by its implicit reward, and steering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from evenhand.policies import Policy, filmed
from evenhand.rewards import CONTEXTS
from evenhand.rewards.reader import part
from evenhand.tuning.choosing import Asked, Chooser, parts, preferred

# Of a user at most so many choices are asked for, whatever was told.
_MOST_ASKED = 20
_LEVEL = 0.95

Judged = list[tuple[Asked, float]]


@dataclass(frozen=True)
class PolicyStanding:
    """How well a policy tells the choices of users whom it has not learned from.

    Attributes:
        context: how many of a user's choices it was told; never those it is asked for.
        people: of how many users.
        accuracy: share of choices whose chosen answer has the greater implicit reward, in percent, every user alike.
        kinds: kind of user -> the same of its users.
        steering: over questions that two of these users answered differently, the accuracy of those who took the one
            answer plus that of those who took the other, minus 100; a policy that ignores the user has exactly 0, one
            that follows everybody 100. None where nobody disagreed.
        error: its standard error, over users (jackknife) and over questions together; None where there is none.
        questions: how many they disagreed about.
    """

    context: int
    people: int
    accuracy: float
    kinds: dict[str, float]
    steering: float | None
    error: float | None
    questions: int

    @property
    def steers(self) -> bool:
        """Whether steering is above 0 beyond noise, allowing for the four contexts that are looked at."""
        if not self.context or self.steering is None or self.error is None:
            return False
        looks, freedom = len(CONTEXTS) - 1, min(self.people, self.questions) - 1
        return bool(self.steering > stats.t.ppf(1 - (1 - _LEVEL) / looks, freedom) * self.error)


def policy_standings(
    policy: Policy,
    network: Any,
    people: Sequence[Chooser],
    *,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> list[PolicyStanding]:
    """How a policy stands after none and a few of each user's choices.

    Args:
        policy: with the language model it belongs to.
        network: that model.
        people: whom it has not learned from, with what the model as it is finds of their choices.
        seed: of which choices are told.
        tell: told what is being measured.
    """
    found = []
    for context in CONTEXTS:
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(person)) for person in people]
        able = [(person, order) for person, order in zip(people, orders, strict=True) if len(person) > context]
        if not able:
            continue
        tell(f"measuring with {context} choices told, {len(able)} users")
        judged = [_judged(policy, network, person, order, context) for person, order in able]
        found.append(_standing(context, [person.kind for person, _ in able], judged))
    return found


def _judged(policy: Policy, network: Any, person: Chooser, order: Any, context: int) -> Judged:
    """What is asked of a user, with how much greater the implicit reward of the chosen answer is."""
    asked = [person.asked[n] for n in order[context : context + _MOST_ASKED]]
    rewards = [value for some in parts(asked, 1) for value in implied(policy, network, some, person, order[:context])]
    return list(zip(asked, rewards, strict=True))


def implied(policy: Policy, network: Any, asked: Sequence[Asked], person: Chooser, told: Any) -> list[float]:
    """Implicit rewards of chosen answers minus those of rejected ones (DPO, arXiv 2305.18290, section 4)."""
    import torch

    with torch.no_grad():
        user = policy.users([part(person.choices, told)])
        with filmed(network, policy.film(user.expand(2 * len(asked), -1))):
            now = preferred(asked, network)
    return [policy.shape.beta * (value - one.reference) for value, one in zip(now.tolist(), asked, strict=True)]


def _standing(context: int, kinds: Sequence[str], judged: Sequence[Judged]) -> PolicyStanding:
    shares = np.array([np.mean([_right(reward) for _, reward in person]) for person in judged])
    by_kind = {kind: 100 * float(shares[[k == kind for k in kinds]].mean()) for kind in dict.fromkeys(kinds)}
    found = _by_question(judged)
    steering = _mean(found)
    return PolicyStanding(
        context, len(judged), 100 * float(shares.mean()), by_kind, steering, _error(judged, found), len(found)
    )


def _by_question(judged: Sequence[Judged]) -> list[float]:
    """Steering in points on each question that people disagreed about."""
    sides: defaultdict[Any, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for person in judged:
        for one, reward in person:
            sides[one.question][one.likes].append(_right(reward))
    return [100 * (sum(map(float, map(np.mean, both.values()))) - 1) for both in sides.values() if len(both) == 2]


def _mean(found: Sequence[float]) -> float | None:
    return float(np.mean(found)) if found else None


def _error(judged: Sequence[Judged], found: Sequence[float]) -> float | None:
    """Other users would differ, and so would other questions: a policy may do the same to all users of a kind."""
    without = [_mean(_by_question([*judged[:n], *judged[n + 1 :]])) for n in range(len(judged))]
    known = [value for value in without if value is not None]
    if len(known) < max(2, len(without)) or len(found) < 2:
        return None
    users = (len(known) - 1) / len(known) * float(np.sum((np.array(known) - np.mean(known)) ** 2))
    return float(np.sqrt(users + np.var(found, ddof=1) / len(found)))


def _right(reward: float) -> float:
    return float(reward > 0) + 0.5 * float(reward == 0)
