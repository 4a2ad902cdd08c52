"""The right utility judge for each item, for suites that mix kinds."""

from __future__ import annotations

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import ChoiceJudge
from evenhand.judges.code import CodeJudge
from evenhand.judges.number import NumberJudge
from evenhand.types import Item, Response, Verdict


@JUDGES.register("answer")
class AnswerJudge(Judge):
    """Code for items with asserts, choice for items with choices, number for the rest."""

    name = "answer"
    version = "+".join((ChoiceJudge.version, NumberJudge.version, CodeJudge.version))
    summary = "choice, number or code, by what the item asks for"
    needs_reference = True

    def __init__(self) -> None:
        self._choice, self._number, self._code = ChoiceJudge(), NumberJudge(), CodeJudge()

    async def decide(self, item: Item, response: Response) -> Verdict:
        judge: Judge = self._number
        if "tests" in item.extra:
            judge = self._code
        elif item.choices:
            judge = self._choice
        return await judge.judge(item, response)
