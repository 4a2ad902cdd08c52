"""What a study holds, as one spec: the union of its runs."""

from __future__ import annotations

from collections.abc import Iterable

from evenhand.errors import EvenhandError, StoreError
from evenhand.study.reading import Reader
from evenhand.study.spec import SPEC_FILE, StudySpec
from evenhand.suites import make_suites
from evenhand.whole import write_whole


def held_spec(store: Reader) -> StudySpec:
    """The smallest spec that asks everything a study's runs asked; how it is reached and decoded as in the last run.

    Raises:
        SpecError: a run was made by a version whose settings this one does not know.
        StoreError: it was stopped before its first run was noted.
    """
    specs = [StudySpec.parse(run["spec"], str(store.directory)) for run in store.runs()]
    if not specs:
        raise StoreError(
            f"{store.directory} was stopped before anything was asked.", "Run the command that made it again."
        )
    last = specs[-1]
    limits = _limits(specs)
    asked = list(limits.values())
    most = None if None in asked else max(n for n in asked if n is not None)
    return last.model_copy(
        update={
            **{
                name: tuple(dict.fromkeys(value for spec in specs for value in getattr(spec, name)))
                for name in ("suites", "identities", "baselines", "people", "personalizers")
            },
            "limit": most,
            "limits": {suite: n for suite, n in limits.items() if n is not None and n != most},
            "repeats": max(spec.repeats for spec in specs),
            "judges": {row["suite"]: row["judge"] for row in store.suites()},
        }
    )


def write_study_file(store: Reader) -> None:
    """Write ``study.toml``: what the study holds."""
    write_whole(store.directory / SPEC_FILE, held_spec(store).to_toml())


def _limits(specs: Iterable[StudySpec]) -> dict[str, int | None]:
    """Suite -> the most items that a run asked of it; None for all."""
    found: dict[str, int | None] = {}
    for spec in specs:
        for suite in (name for reference in spec.suites for name in _ids(reference)):
            limit = spec.limits.get(suite, spec.limit)
            before = found.get(suite, 0)
            found[suite] = None if limit is None or before is None else max(limit, before)
    return found


def _ids(reference: str) -> list[str]:
    try:
        return [suite.id for suite in make_suites([reference])]
    except EvenhandError:  # the file of a suite of one's own may be gone
        return [reference]
