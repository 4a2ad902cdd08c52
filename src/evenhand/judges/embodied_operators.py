"""Transition modeling: how many literals of the operators are right, and whether a right plan can be carried out."""

from __future__ import annotations

from dataclasses import replace

from evenhand.embodied.counts import Counts
from evenhand.embodied.transition_items import task_of
from evenhand.embodied.transitions import PARTS, Compared, compare, read_model, replay_model
from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.judges.tally import with_tallies
from evenhand.types import Item, Response, Verdict
from evenhand.visible import printable

EXACT, REPLAYS, BLOCKED, MISSED, UNTRIED = "exact", "replays", "blocked", "goal missed", "not replayed"
_LONGEST = 160


@JUDGES.register("embodied-operators")
class OperatorsJudge(Judge):
    """F1 of the literals of preconditions and effects; 0 where no operator can be read.

    The label says how a right plan goes under the answer's operators, step by step, without a planner: ``exact`` and
    ``replays`` reach the goal, ``blocked`` is a step that cannot be taken, ``goal missed`` is an end without the goal.
    """

    name = "embodied-operators"
    version = "1"
    summary = "F1 of the literals of PDDL operators, and the replay of a right plan (embodied:transition-modeling)"
    needs_reference = True
    tallies = True
    families = ((EXACT, REPLAYS, BLOCKED, MISSED, UNTRIED),)

    async def decide(self, item: Item, response: Response) -> Verdict:
        if "operators" not in item.extra:
            return Verdict(None, "no-target", "the item has no operators of a household task")
        model, task = read_model(response.text), task_of(item)
        found = compare(model, task.asked, task.gold, task.categories)
        if model is None:
            why = no_answer(response)
            return replace(why, reason=with_tallies(found.categories, why.reason))
        if task.plan is None:
            return Verdict(found.total.f1, UNTRIED, _reason(found, "no right plan is known"))
        run = replay_model(model, task.asked, task.gold, task.problem, task.plan)
        if run.reached:
            label = EXACT if found.total.f1 == 1 else REPLAYS
        else:
            label = BLOCKED if run.applied < len(task.plan) else MISSED
        return Verdict(found.total.f1, label, _reason(found, run.why))


def _reason(found: Compared, replayed: str) -> str:
    """Per category how many literals are right, what is wrong with which part, and where the replay stopped."""
    told = [f"{part}s: {_errors(found.part(part))}" for part in PARTS]
    told += [f"no {name}" for name in found.missing]
    told += [f"not asked for: {name}" for name in found.invented]
    told += [f"no PDDL: {' and '.join(parts)} of {name}" for name, parts in found.unreadable.items()]
    told += [replayed] if replayed else []
    return with_tallies(found.categories, *(printable(part[:_LONGEST]) for part in told))


def _errors(counts: Counts) -> str:
    wrong = [f"{count} {word}" for count, word in ((counts.missing, "missing"), (counts.extra, "extra")) if count]
    return " and ".join(wrong) or "right"
