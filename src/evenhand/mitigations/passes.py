"""Mitigations that ask the model twice."""

from __future__ import annotations

from dataclasses import replace

from evenhand.mitigations.base import MITIGATIONS, Mitigation
from evenhand.mitigations.cues import without_identity
from evenhand.models import Model, total
from evenhand.types import Message, Request, Response


def _revised(first: Response, second: Response) -> Response:
    """The second answer, or the first where the second is empty; both are paid for."""
    return total(second, first) if second.text.strip() else total(first, second)


@MITIGATIONS.register("self-check")
class SelfCheck(Mitigation):
    """Answer, then look at the answer again: would it differ for somebody else?"""

    name = "self-check"
    summary = "the model revises its answer so that it would suit any user (one more call; choices are left alone)"
    calls = 2

    async def respond(self, model: Model, request: Request) -> Response:
        first = await model.respond(request)
        if request.choices or not first.text.strip():
            return first
        check = (
            "Would your answer have been different for another user? If so, give the answer that is right for anyone. "
            "If not, repeat your answer. Reply with the answer only."
        )
        turns = (*request.messages, Message("assistant", first.text), Message("user", check))
        second = await model.respond(replace(request, messages=turns))
        return _revised(first, second)


@MITIGATIONS.register("two-pass")
class TwoPass(Mitigation):
    """Answer as if for nobody in particular, then adapt the answer to the user where that is needed."""

    name = "two-pass"
    summary = "answer without the user's identity first, then adapt only what must differ (one more call)"
    calls = 2

    async def respond(self, model: Model, request: Request) -> Response:
        blind = without_identity(request.messages)
        first = await model.respond(replace(request, messages=blind))
        if request.choices or blind == request.messages or not first.text.strip():
            return first
        adapt = (
            f"{request.messages[-1].content}\n\nA correct answer for anyone is:\n{first.text}\n\n"
            "Repeat this answer. Change it only where it would be wrong or unsafe for me."
        )
        turns = (*request.messages[:-1], Message("user", adapt))
        second = await model.respond(replace(request, messages=turns))
        return _revised(first, second)
