"""An evolved defense as a file that ``--mitigation`` takes, with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from evenhand import __version__
from evenhand.analysis.evolution import Claim, Confirmation, Objective
from evenhand.errors import StoreError
from evenhand.evolving.arena import Entry
from evenhand.evolving.spec import EvolutionSpec
from evenhand.study import StudySpec
from evenhand.study.splits import Split
from evenhand.whole import write_whole


def write_defense(
    file: Path,
    entry: Entry,
    parts: Mapping[Split, StudySpec],
    items: Mapping[Split, Mapping[str, int]],
    spec: EvolutionSpec,
    revision: str,
    found: Confirmation,
) -> None:
    """Write a defense with its provenance; :func:`evenhand.mitigations.defense.read_defense` reads it.

    Raises:
        StoreError: it cannot be written.
    """
    tune, test = parts["tune"], parts["test"]
    content: dict[str, Any] = {
        "text": entry.text,
        "placement": entry.placement,
        "rationale": f"Evolved by evenhand; on fresh items and identities: {found.verdict}.",
        "provenance": {
            "evenhand": __version__,
            "model": tune.model,
            "revision": revision,
            "writer": spec.writer or tune.model,
            "suites": list(tune.suites),
            "personalizers": list(tune.personalizers),
            "seeds": {"study": tune.seed, "writing": spec.seed},
            "items": {part: dict(counts) for part, counts in items.items()},
            "identities": {"improved_on": list(tune.identities), "confirmed_on": list(test.identities)},
            "verdict": found.verdict,
            "margin": found.margin,
            "better_than": found.beaten,
            "against_none": {objective: _figures(claim) for objective, claim in found.none.items()},
            "against": {name: _all_figures(claims) for name, claims in found.rivals.items()},
        },
    }
    try:
        write_whole(file, tomli_w.dumps(content))
    except OSError as error:
        raise StoreError(f"Cannot write {file}: {error.strerror}.", "Choose another --out.") from None


def _all_figures(claims: Mapping[Objective, Claim]) -> dict[str, dict[str, Any]]:
    return {objective: _figures(claim) for objective, claim in claims.items()}


def _figures(claim: Claim) -> dict[str, Any]:
    """In points; ``adjusted_p`` after Holm."""
    change = claim.change
    return {
        "before": round(change.before, 2),
        "after": round(change.after, 2),
        "change": round(change.difference, 2),
        "ci": [round(end, 2) for end in change.ci],
        "adjusted_p": round(claim.adjusted, 4),
    }
