"""Goal interpretation: how many of a household task's goals the answer states, and how many others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evenhand.embodied.goal_items import nothing_said, outcome_of
from evenhand.embodied.goals import Goal, Outcome, total
from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.judges.tally import with_tallies
from evenhand.types import Item, Response, Verdict
from evenhand.visible import printable

EXACT, MISSING, EXTRA, BOTH, NONE = "exact", "missing", "extra", "missing and extra", "none right"
# Goals of each kind of error that a reason names, and characters of each.
_NAMED, _LONGEST = 3, 80


@JUDGES.register("embodied-goals")
class GoalsJudge(Judge):
    """F1 of the stated goals, over all kinds of goals together; 0 where no goals can be read."""

    name = "embodied-goals"
    version = "1"
    summary = "F1 of the symbolic goals that an answer states (embodied:goal-interpretation)"
    needs_reference = True
    tallies = True
    families = ((EXACT, MISSING, EXTRA, BOTH, NONE),)

    async def decide(self, item: Item, response: Response) -> Verdict:
        if "world" not in item.extra:
            return Verdict(None, "no-target", "the item has no goals of a household task")
        said = outcome_of(item, response.text)
        outcome = said or nothing_said(item)
        counts = {kind: found.counts for kind, found in outcome.items()}
        if said is None:
            why = no_answer(response)
            return replace(why, reason=with_tallies(counts, why.reason))
        return Verdict(total(outcome).f1, _label(outcome), with_tallies(counts, *_errors(outcome)))


def _label(outcome: Outcome) -> str:
    counts = total(outcome)
    if not counts.right and counts.missing:
        return NONE
    return {(0, 0): EXACT, (1, 0): MISSING, (0, 1): EXTRA}.get((counts.missing > 0, counts.extra > 0), BOTH)


def _errors(outcome: Outcome) -> Iterator[str]:
    """A few of the goals that are missing, and of those that were made up."""
    for word in (MISSING, EXTRA):
        goals = [goal for found in outcome.values() for goal in getattr(found, word)]
        if goals:
            yield f"{word}: {', '.join(map(_named, goals[:_NAMED]))}{', ...' if len(goals) > _NAMED else ''}"


def _named(goal: Goal) -> str:
    return printable(" ".join(goal)[:_LONGEST])
