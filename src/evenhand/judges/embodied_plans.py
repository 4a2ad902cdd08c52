"""Action sequencing: whether a plan reaches a household task's goals, and what stops it."""

from __future__ import annotations

from evenhand.embodied.needs import AFFORDANCE, MISSING, ORDER
from evenhand.embodied.plan_items import PROGRAM, outcome_of
from evenhand.embodied.plans import ARGUMENTS, HALLUCINATION, PARSING, Outcome
from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.types import Item, Response, Verdict
from evenhand.visible import printable

REACHED, MISSED = "goal reached", "goal missed"
LABELS = (REACHED, MISSED, HALLUCINATION, ARGUMENTS, ORDER, MISSING, AFFORDANCE)
_LONGEST = 160


@JUDGES.register("embodied-plans")
class PlansJudge(Judge):
    """1 where all goals hold after the plan, else 0; the label says what stopped it.

    Steps with nothing to do are passed over. A plan that cannot be carried on ends at that step: what holds then
    counts, as the authors count it.
    """

    name = "embodied-plans"
    version = "1"
    summary = "whether a plan of actions reaches a household task's goals (embodied:action-sequencing)"
    needs_reference = True
    families = (LABELS,)

    async def decide(self, item: Item, response: Response) -> Verdict:
        if PROGRAM not in item.extra:
            return Verdict(None, "no-target", "the item asks for no plan of a household task")
        return verdict_on(outcome_of(item, response.text), response)


def verdict_on(outcome: Outcome, response: Response) -> Verdict:
    """The verdict on a response whose plan went in some way."""
    if outcome.error == PARSING:
        return no_answer(response)
    if outcome.reached:
        return Verdict(1.0, REACHED, _reason(outcome))
    return Verdict(0.0, outcome.error or MISSED, _reason(outcome))


def _reason(outcome: Outcome) -> str:
    """How many steps were taken, how many goals of each kind hold, and what stopped the plan."""
    told = [f"{outcome.taken} steps taken"]
    told += [f"{outcome.additional} with nothing to do"] if outcome.additional else []
    told += [f"{kind} goals {met} of {wanted}" for kind, (met, wanted) in outcome.met.items() if wanted]
    told += [printable(outcome.why[:_LONGEST])] if outcome.why else []
    return "; ".join(told)
