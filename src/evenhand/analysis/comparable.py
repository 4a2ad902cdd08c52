"""Which identities of a study can be compared over all of its suites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenhand.analysis.marginals import suite_marginals
from evenhand.analysis.scores import SuiteScores


def comparable(tables: Sequence[SuiteScores]) -> tuple[list[SuiteScores], list[str]]:
    """Tables over the identities that all suites have scores of, and notes on what was left out."""
    notes: list[str] = []
    usable = []
    for table in tables:
        counts = np.isfinite(table.y).sum(axis=1) if table.identities else np.zeros(0)
        if counts.size < 2 or (counts > 0).sum() < 2:
            notes.append(f"{table.suite}: fewer than two identities have scores; no bias can be estimated yet.")
        else:
            usable.append((table, {n for n, c in zip(table.identities, counts, strict=True) if c}))
    if not usable:
        return [], notes
    common = set.intersection(*(names for _, names in usable))
    everyone = {n for t, _ in usable for n in t.identities}
    if lost := sorted(everyone - common):
        notes.append(f"Left out, because a suite has no score of them: {', '.join(lost)}.")
    if len(common) < 2:
        notes.append("The suites share fewer than two identities; no bias can be estimated yet.")
        return [], notes
    kept = []
    for table, _ in usable:
        rows = [k for k, name in enumerate(table.identities) if name in common]
        part = table.select_identities(rows)
        if _connected(part):
            kept.append(part)
        else:
            notes.append(f"{table.suite}: its identities share too few scored items; no bias can be estimated yet.")
    return kept, notes


def _connected(table: SuiteScores) -> bool:
    """Whether a chain of common items leads from each identity to each other."""
    try:
        suite_marginals(table)
    except ValueError:
        return False
    return True
