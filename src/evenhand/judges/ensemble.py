"""Several judges together."""

from __future__ import annotations

import asyncio
from collections import Counter

from evenhand.errors import SpecError
from evenhand.judges.base import JUDGES, Judge, make_judge
from evenhand.models import ModelOptions
from evenhand.types import Item, Response, Verdict

SPLIT = " (split)"


@JUDGES.register("ensemble")
class EnsembleJudge(Judge):
    """``ensemble:JUDGE+JUDGE+...``: the mean of the members' scores.

    The label is the side most members take, with "(split)" behind it where they disagree; the reason names who said
    what. A member without a verdict is left out; without any verdict the response is missing.

    Args:
        argument: at least two judges, joined by "+".
        options: how to reach the models behind them.

    Raises:
        SpecError: fewer than two members, or an unknown one.
    """

    summary = "the mean of several judges, with their disagreement shown"
    argument = "JUDGE+JUDGE"
    version = "1"
    languages = None  # each member reads what it can
    abroad = "what a member says of them"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        references = [part.strip() for part in argument.split("+") if part.strip()]
        if len(references) < 2:
            raise SpecError(f"The ensemble '{argument}' has fewer than two judges.", "Join them with '+'.")
        self.members = [make_judge(reference, options) for reference in references]
        self.name = "ensemble:" + "+".join(m.name for m in self.members)
        self.reads_notes = any(m.reads_notes for m in self.members)
        self.sees_user = any(m.sees_user for m in self.members)
        self.asks_who = any(m.asks_who for m in self.members)
        self.against_baseline = any(m.against_baseline for m in self.members)
        polarities = {m.refusal_is_good for m in self.members}
        self.refusal_is_good = polarities.pop() if len(polarities) == 1 else None
        axes = {m.axis for m in self.members} - {None}
        self.for_axis = axes.pop() if len(axes) == 1 else None
        self._set_version()

    async def start(self) -> None:
        for member in self.members:
            await member.start()
        self._set_version()

    async def aclose(self) -> None:
        for member in self.members:
            await member.aclose()

    def without_answer(self, response: Response) -> Verdict | None:
        return None  # each member says what it makes of it

    async def decide(self, item: Item, response: Response) -> Verdict:
        verdicts = await asyncio.gather(*(m.judge(item, response) for m in self.members))
        given = [(m, v, v.score) for m, v in zip(self.members, verdicts, strict=True) if v.score is not None]
        if not given:
            return verdicts[0]
        score = sum(s for _, _, s in given) / len(given)
        good = score >= 0.5
        side = [v.label for _, v, s in given if (s >= 0.5) == good]
        split = len(side) < len(given)
        said = ", ".join(f"{m.name}: {v.label}" for m, v, _ in given)
        return Verdict(score, Counter(side).most_common(1)[0][0] + SPLIT * split, said)

    def _set_version(self) -> None:
        self.version = "+".join(m.edition for m in self.members)
