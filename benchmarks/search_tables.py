"""How often a search in answers confirms what is not there, and finds what is.

``python benchmarks/search_tables.py 200 paired`` prints rows of the table in docs; so do ``unpaired`` and ``labelled``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from evenhand.searching.spec import SearchSpec
from evenhand.searching.tabled import Of, search_rows
from evenhand.types import ScoreRow

AGES = ("a minor", "an adult", "a senior citizen")
FAITHS = ("a Muslim person", "a Christian person", "a Hindu person", "an Atheist person")
GROUPS = ("money", "health", "law")
# What is worse: these users, on this group.
PLANTED = ("a minor", "a Muslim person", "law")


@dataclass(frozen=True)
class Made:
    """A table, as :func:`evenhand.searching.tabled.search_rows` takes it."""

    rows: list[ScoreRow]
    identities: list[dict[str, Any]]
    covariates: list[dict[str, str]]


def paired(size: int, loss: float, rng: np.random.Generator, base: float = 75.0) -> Made:
    """Everybody is asked the same ``size`` questions, some of them harder than others."""
    people = [f"{age} & {faith}" for age, faith in product(AGES, FAITHS)]
    rows = []
    for item in range(size):
        group, hard = GROUPS[item % len(GROUPS)], rng.normal(0, 15)
        for who in people:
            mean = base + hard - loss * (who == " & ".join(PLANTED[:2]) and group == PLANTED[2])
            rows.append(_row(f"q{item}", group, who, _answered(mean, rng)))
    return Made(rows, [{"name": who, "category": "age & religion", "parts": []} for who in people], [])


def unpaired(size: int, loss: float, rng: np.random.Generator, base: float = 75.0) -> Made:
    """``size`` people ask one to seven questions of their own; the young ask more about money, which is harder."""
    rows, told = [], []
    for human in range(size):
        age, faith = rng.choice(AGES), rng.choice(FAITHS)
        lean = rng.normal(0, 8)
        for _ in range(1 + min(int(rng.poisson(2)), 6)):
            likes = [0.5, 0.25, 0.25] if age == AGES[0] else [0.2, 0.4, 0.4]
            group = str(rng.choice(GROUPS, p=likes))
            mean = base + lean - 15 * (group == "money") - loss * ((age, faith, group) == PLANTED)
            rows.append(_row(f"q{len(rows)}", group, str(age), _answered(mean, rng), cluster=f"human {human}"))
            told.append({"faith": str(faith)})
    return Made(rows, [{"name": age, "category": "age", "parts": []} for age in AGES], told)


def labelled(size: int, harsh: float, rng: np.random.Generator, base: float = 75.0) -> Made:
    """Of a paired table people labelled ``size`` answers, drawn at random; the judge errs in one of eight anyway."""
    made = paired(80, 0.0, rng, base)
    chosen = set(rng.choice(len(made.rows), size, replace=False).tolist())
    rows = []
    for n, row in enumerate(made.rows):
        truth = float(row.score or 0.0)
        wrong = harsh if PLANTED[1] in row.identity and truth else 12.5
        judged = 1 - truth if 100 * rng.random() < wrong else truth
        rows.append(row._replace(score=judged, human=truth if n in chosen else None))
    return Made(rows, made.identities, [])


def _row(item: str, group: str, who: str, score: float, cluster: str = "") -> ScoreRow:
    return ScoreRow("made", "utility", group, item, "imported", who, "", 0, score, "given", "", cluster=cluster)


def _answered(mean: float, rng: np.random.Generator) -> float:
    return float(100 * rng.random() < mean)


KINDS = {"paired": paired, "unpaired": unpaired, "labelled": labelled}
# kind, how large, how many points worse, mean
DESIGNS = [
    ("paired", 60, 0, 75), ("paired", 240, 0, 97), ("paired", 240, 30, 75),
    ("unpaired", 300, 0, 75), ("unpaired", 900, 0, 97), ("unpaired", 900, 40, 75),
    ("labelled", 120, 0, 75), ("labelled", 600, 0, 75), ("labelled", 600, 60, 75),
]  # fmt: skip


def main(tables: int, kinds: list[str]) -> None:
    print("| table | size | planted loss | mean | tested | confirmed | the right users | intervals hold |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, size, loss, base in (design for design in DESIGNS if design[0] in kinds):
        rng = np.random.default_rng([size, loss, base])
        of: Of = "judge-errors" if kind == "labelled" else "scores"
        tested, said, right, held = [], [], [], []
        for number in range(tables):
            made = KINDS[kind](size, float(loss), rng, float(base))
            # Where nothing is there, the least that stands out is tested, so that there is something to get wrong.
            spec = SearchSpec(seed=number) if loss else SearchSpec(seed=number, direction="both", smallest=0.01)
            found = search_rows(made.rows, made.identities, made.covariates, spec, of=of, unpaired=kind == "unpaired")
            tested.append(bool(found.found))
            said.append(bool(found.confirmed))
            right.append(any(PLANTED[1] in one.who for one in found.confirmed))
            held.append(all(one.finding.interval[0] <= 0 <= one.finding.interval[1] for one in found.found))
        shares = [np.mean(tested), np.mean(said), np.mean(right) if loss else None, None if loss else np.mean(held)]
        shown = " | ".join("-" if share is None else f"{share:.1%}" for share in shares)
        print(f"| {kind} | {size:,} | {loss} | {base} | {shown} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2:] or list(KINDS))
