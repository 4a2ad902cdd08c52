"""Judges that are admitted before their scores are read: by planted answers whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable

from evenhand.judges import Judge
from evenhand.judges.admission import ADMISSIONS, Admission
from evenhand.loops import together
from evenhand.models import CallError
from evenhand.study import Store


async def admit(store: Store, judges: Iterable[Judge]) -> list[str]:
    """Show the planted answers to judges that have some, once for each of their editions.

    Returns:
        What to say of those that fail.
    """
    notes = []
    for judge in judges:
        planted = judge.planted()
        known: dict[str, dict[str, object]] = store.meta(ADMISSIONS, {})
        found = Admission.read(known.get(judge.name))
        if planted and (found is None or found.edition != judge.edition):
            try:
                verdicts = await together(judge.accepts(entry) for entry in planted)
            except CallError as error:
                notes.append(f"{judge.name} is not admitted yet ({error}); the next run asks it again")
                continue
            found = Admission.of(judge.edition, [p.is_good for p in planted], verdicts)
            store.set_meta(ADMISSIONS, {**known, judge.name: found.plain()})
        if found is not None and not found.passed:
            notes.append(found.failure(judge.name))
    return notes
