"""Subgoal decomposition: whether a household task's goals are reached by way of the answer's subgoals."""

from __future__ import annotations

from evenhand.embodied.subgoal_items import LINES, outcome_of
from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.embodied_plans import LABELS, verdict_on
from evenhand.types import Item, Response, Verdict


@JUDGES.register("embodied-subgoals")
class SubgoalsJudge(Judge):
    """1 where some way to bring the subgoals about, one after the other, reaches all goals, else 0.

    The label says what stops the best way: all subgoals have to be brought about.
    """

    name = "embodied-subgoals"
    version = "1"
    summary = "whether subgoals lead to a household task's goals (embodied:subgoal-decomposition)"
    needs_reference = True
    families = (LABELS,)

    async def decide(self, item: Item, response: Response) -> Verdict:
        if LINES not in item.extra:
            return Verdict(None, "no-target", "the item asks for no subgoals of a household task")
        return verdict_on(outcome_of(item, response.text), response)
