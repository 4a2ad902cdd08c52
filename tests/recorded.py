"""Made-up studies and responses, and everything that the analysis and the judges say of them, as it was recorded.

The same must give the same in every release. ``python -m tests.recorded`` records anew: only after a change that is
meant to change what is said, with an entry in the changelog and a new version of the judge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenhand.analysis.agreement import agreement, differential_error, wilson
from evenhand.analysis.bias import estimate_pb
from evenhand.analysis.comparison import Comparison, compare
from evenhand.analysis.confirmation import Measured, confirm
from evenhand.analysis.frontier import Cost, Outcome, ranked
from evenhand.analysis.gate import gate, verdict
from evenhand.analysis.marginals import marginals
from evenhand.analysis.plain import plain
from evenhand.analysis.planning import items_needed
from evenhand.analysis.scores import tabulate
from evenhand.analysis.sequential import look
from evenhand.analysis.summary import Analysis, Settings, summarize
from evenhand.analysis.tradeoff import trade_off
from evenhand.types import Axis, ScoreRow
from tests.recorded_judges import JUDGE_CASES, SANDBOX_CASES

RECORD = Path(__file__).parent / "recorded.json"

PEOPLE = (
    ("a man", "gender"), ("a woman", "gender"), ("a minor", "age"), ("an adult", "age"), ("a nurse", "work"),
    ("a minor & a woman", "intersection"),
)  # fmt: skip
BASELINES = (("plain", "baseline"), ("bare", "baseline"))
PARTS = {"a minor & a woman": ["a minor", "a woman"]}
LABELS = ("refusal", "compliance", "truncated", "empty")


def rows(
    suite: str, axis: Axis, *, items: int, senders: Sequence[str] = ("system",), repeats: int = 1, seed: int = 0,
    missing: float = 0.0, labelled: float = 0.0, people: Sequence[tuple[str, str]] = (*PEOPLE, *BASELINES),
    slope: float = 0.06,
) -> list[ScoreRow]:  # fmt: skip
    """Scores that lean with the identity, the group and the personalizer, some of them missing."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(0.2, 0.9, items)
    found: list[ScoreRow] = []
    for who, (name, category) in enumerate(people):
        for sent, sender in enumerate(senders):
            for item in range(items):
                for repeat in range(repeats):
                    chance = hard[item] + slope * (who - 2) * (1 + item % 3) / 2 + 0.03 * sent
                    score = float(rng.uniform() < chance)
                    if rng.uniform() < 0.2:
                        score = round(float(rng.uniform()), 2)
                    label = LABELS[int(2 * score) if score < 1 else 0]
                    gone = rng.uniform() < missing
                    human = float(rng.uniform() < 0.8 * score + 0.1) if rng.uniform() < labelled else None
                    found.append(
                        ScoreRow(suite, axis, f"group {item % 3}", f"i{item:03}", sender, name, category, repeat,
                                 None if gone else score, "empty" if gone else label, "stop", human)
                    )  # fmt: skip
    return found


def full(seed: int = 0, slope: float = 0.06) -> list[ScoreRow]:
    """Two safety suites and a utility suite, with all that a study can have."""
    return [
        *rows("harm", "safety", items=24, senders=("profile", "system"), repeats=2, seed=seed, missing=0.06,
              labelled=0.3, slope=slope),
        *rows("risk", "safety", items=15, seed=seed + 1, slope=slope),
        *rows("sums", "utility", items=18, repeats=3, seed=seed + 2, missing=0.02, labelled=0.02, slope=slope / 2),
    ]  # fmt: skip


def study(data: Sequence[ScoreRow], **more: Any) -> Analysis:
    options: dict[str, Any] = {"planned": len(data) + 7, "failed": 3, "parts": PARTS}
    options["settings"] = Settings(draws=300, permutations=240, seed=5)
    return summarize(data, (*PEOPLE, *BASELINES), **(options | more))


def _lopsided() -> list[ScoreRow]:
    """Suites that share few identities, one of them with nothing to compare."""
    return [
        *rows("few", "safety", items=6, people=PEOPLE[:3], seed=3),
        *rows("one", "utility", items=5, people=PEOPLE[:1], seed=4),
        *rows("others", "utility", items=7, people=(*PEOPLE[1:4], BASELINES[0]), seed=5),
    ]


def _compared() -> Comparison:
    names = [name for name, _ in PEOPLE]
    before, after = tabulate(full(), names), tabulate(full(seed=9, slope=0.02), names)
    return compare(before, after[:2] + after[2:], draws=300, seed=2)


def _frontier() -> list[Outcome]:
    before = tabulate(full(), [])
    after = {
        "b": tabulate(full(seed=9, slope=0.02), []),
        "weak": tabulate(full(seed=1, slope=-0.2), []),
        "same": tabulate(full(), []),
    }
    seen = confirm(Measured(before), {n: Measured(t) for n, t in after.items()}, margin=2.0, draws=300, seed=3)
    changes = {n: compare(before, t, draws=300, seed=3) for n, t in after.items()}
    return ranked([Outcome(n, changes[n], seen[n], Cost(1, 2, 3, 4.0), Cost(5, 6, 7, 8.0), True) for n in after])


def _limits(analysis: Analysis) -> list[object]:
    found: list[object] = []
    for limits in (
        {"max_pb": 1.0}, {"max_pb": 60.0, "max_gap": 90.0, "min_safety": 5.0, "min_utility": 5.0},
        {"max_pb": 8.0, "max_gap": 30.0, "min_safety": 50.0, "min_utility": 50.0}, {"max_gap": 1.0},
        {"min_safety": 99.0}, {"min_utility": 99.0}, {"max_pb": 12.0}, {"max_gap": 40.0}, {},
    ):  # fmt: skip
        checks = gate(analysis, limits)
        found.append([checks, verdict(checks)])
    return found


def _agreed() -> list[object]:
    rng = np.random.default_rng(8)
    right = [str(c) for c in rng.choice(["good", "bad", "odd"], 90)]
    judge = [c if rng.uniform() < 0.7 else str(rng.choice(["good", "bad"])) for c in right]
    told = [None if k % 17 == 0 else c for k, c in enumerate(judge)]
    scores, people = rng.uniform(size=90), rng.integers(0, 2, 90).astype(float)
    who = [("x", "y", "z")[k % 7 % 3] for k in range(90)]
    return [
        agreement(right, told, draws=300, seed=1), agreement(right, right, draws=50, level=0.8),
        agreement(["good"] * 4, ["good"] * 4, draws=20), wilson(0, 0), wilson(3, 10), wilson(0, 8, 0.8), wilson(9, 9),
        differential_error(who, people, scores.tolist(), permutations=200, seed=4),
        differential_error(["x", "y", "y"], [0, 1, 1], [1, 1, 0], permutations=50),
    ]  # fmt: skip


def _tables() -> list[object]:
    rng = np.random.default_rng(11)
    y = rng.uniform(0, 100, (5, 40)) + 4 * np.arange(5)[:, None]
    holed = np.where(rng.uniform(size=y.shape) < 0.1, np.nan, y)
    found: list[object] = []
    for table in (y, holed, y[:2, :9], np.full((3, 6), 50.0)):
        fit = marginals(table)
        found += [fit, estimate_pb(table, draws=200, permutations=200, seed=1)]
        found += [look(table, target, 400, draws=200, seed=2) for target in (0.5, 3.0, 50.0)]
        found += [look(table, 2.0, table.shape[1] + 3, alpha=0.2, draws=200)]
    # More draws than fit in memory at once.
    found.append(estimate_pb(rng.uniform(0, 100, (4, 3000)), draws=900, permutations=900, seed=6))
    found += [items_needed("s", marginals(y), pb, power=p) for pb, p in ((1.0, 0.8), (0.3, 0.95), (40.0, 0.5))]
    found += [items_needed("s", marginals(holed), alpha=0.2)]
    pb = (estimate_pb(y, draws=50, permutations=50), estimate_pb(holed, draws=50, permutations=50))
    names = ["a", "b", "c", "d", "e"]
    found.append(trade_off(names, y.mean(1), y[:, ::-1][:, :8].mean(1), pb, permutations=200, seed=3))
    return found


CASES: dict[str, Callable[[], object]] = {
    "full": lambda: study(full()),
    "full, as judged": lambda: study(full(), settings=Settings(100, 100, 1, correct=False)),
    "one axis": lambda: study(full()[:700], left_out=12),
    "lopsided": lambda: study(_lopsided(), planned=1, failed=0),
    "nothing to compare": lambda: study(rows("one", "safety", items=5, people=PEOPLE[:1])),
    "nothing at all": lambda: study([]),
    "no bias": lambda: study(rows("flat", "utility", items=30, slope=0.0, labelled=0.5, seed=6)),
    "compared": _compared,
    "frontier": _frontier,
    "frontier, in words": lambda: [(o.mitigation, o.seen.share, o.verdict) for o in _frontier()],
    "gate": lambda: _limits(study(full())),
    "gate on one axis": lambda: _limits(study(rows("risk", "safety", items=15, seed=1))),
    "gate on nothing": lambda: _limits(study([])),
    "agreement": _agreed,
    "tables": _tables,
    **JUDGE_CASES,
    **SANDBOX_CASES,
}


def said(case: str) -> Any:
    """What the analysis says now, as JSON gives it back."""
    return json.loads(json.dumps(plain(CASES[case]())))


def differences(now: Any, then: Any, where: str = "") -> list[str]:
    """Where two documents differ, numbers by more than processors differ in sums of single precision."""
    if isinstance(now, dict) and isinstance(then, dict) and now.keys() == then.keys():
        return [d for key in now for d in differences(now[key], then[key], f"{where}.{key}")]
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [d for n, pair in enumerate(zip(now, then, strict=True)) for d in differences(*pair, f"{where}[{n}]")]
    if isinstance(now, float) and isinstance(then, int | float):
        return [] if math.isclose(now, then, rel_tol=1e-5, abs_tol=1e-9) else [f"{where}: {now}, recorded {then}"]
    return [] if now == then else [f"{where}: {now!r}, recorded {then!r}"]


if __name__ == "__main__":
    RECORD.write_text(json.dumps({case: said(case) for case in CASES}, indent=1, sort_keys=True) + "\n")
