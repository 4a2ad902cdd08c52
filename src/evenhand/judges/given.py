"""Scores that were brought along with answers: nobody here gave them."""

from __future__ import annotations

from evenhand.judges.base import JUDGES, Judge
from evenhand.types import Item, Response, Verdict

GIVEN = "given"
# Of an answer that was brought without a score.
UNSCORED = Verdict(None, "no-score", "no score was given with it")


@JUDGES.register(GIVEN)
class Given(Judge):
    """Stands for the scores of imported answers; it cannot judge any itself, and leaves them missing."""

    name = GIVEN
    version = "1"
    summary = "the scores that imported answers came with; judges nothing itself"
    languages = None

    async def judge(self, item: Item, response: Response) -> Verdict:
        return UNSCORED

    async def decide(self, item: Item, response: Response) -> Verdict:
        return UNSCORED
