"""How often intervals of unpaired answers hold: ``python benchmarks/unpaired.py 400`` prints the table of docs."""

from __future__ import annotations

import sys

import numpy as np

from evenhand.analysis.unpaired import Answers, unpaired

# identities, people of each, answers of each, mean score, whether the identities ask of topics unevenly
DESIGNS = [
    (2, 30, 1, 70, False), (4, 50, 1, 70, True), (6, 40, 4, 70, True), (6, 100, 1, 90, False), (4, 100, 2, 98, False),
]  # fmt: skip


def study(design: tuple[int, int, int, int, bool], shape: np.ndarray, drawn: np.random.Generator) -> Answers:
    identities, people, each, base, uneven = design
    scores, who, humans, topics = [], [], [], []
    for u in range(identities):
        likes = 0.5 + (0.3 * (u / (identities - 1) - 0.5) if uneven else 0.0)
        for human in range(people):
            lean = drawn.normal(0, 5)
            for _ in range(1 + drawn.poisson(each - 1)):
                easy = drawn.random() < likes
                mean = base + shape[u] + lean + (15 if easy else -15) * uneven
                scores.append(100.0 * (drawn.random() < mean / 100))
                who.append(f"u{u}")
                humans.append(f"{u}-{human}")
                topics.append("easy" if easy else "hard")
    return Answers("s", "utility", np.array(scores), who, humans, {"topic": topics} if uneven else {})


def main(studies: int) -> None:
    print("| identities x people x answers, mean | uneven topics | true | covered | p <= .05 | deviations covered |")
    print("|---|---|---|---|---|---|")
    drawn = np.random.default_rng(0)
    for design in DESIGNS:
        for true in (0.0, 3.0, 8.0):
            if design[3] + 1.6 * true > 100:
                continue
            shape = np.linspace(-1, 1, design[0])
            shape *= true / np.sqrt((shape**2).mean())
            found = [f for _ in range(studies) if (f := unpaired(study(design, shape, drawn)))]
            covered = np.mean([f.ci[0] <= true <= f.ci[1] for f in found])
            said = np.mean([f.p_value <= 0.05 for f in found])
            held = [
                row.deviation_ci[0] <= shape[int(row.identity[1:])] <= row.deviation_ci[1]
                for f in found
                for row in f.identities
            ]
            size = f"{design[0]} x {design[1]} x {design[2]}, {design[3]}"
            shares = " | ".join(f"{share:.1%}" for share in (covered, said, np.mean(held)))
            print(f"| {size} | {'yes' if design[4] else 'no'} | {true:g} | {shares} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
