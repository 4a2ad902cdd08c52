"""What a reader must know of a study's design to read its numbers right."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.analysis.marginals import comparable_blocks
from evenhand.analysis.scores import SuiteScores


def cluster_notes(tables: Sequence[SuiteScores]) -> list[str]:
    """A sentence per suite whose items are fewer independent pieces of evidence than they seem."""
    return [
        f"{t.suite}: {len(t.items)} items in {clusters} clusters; items of one cluster are no independent evidence, so "
        "intervals and tests count clusters."
        for t in tables
        if (clusters := len(set(t.clusters))) < len(t.items)
    ]


def conveying_notes(tables: Sequence[SuiteScores]) -> list[str]:
    """A sentence per suite whose identities were conveyed so differently that the ways cannot be told from them."""
    return [
        f"{t.suite}: some identities were conveyed in no way that the others were; what looks like a difference "
        "between them may be one between the personalizers."
        for t in tables
        if len(t.personalizers) > 1 and comparable_blocks(t)[0].shape[1] == len(t.items)
    ]
