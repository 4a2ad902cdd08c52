"""Decoding between the identity's distribution and the baseline's."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from evenhand.errors import SpecError
from evenhand.mitigations.base import MITIGATIONS, Mitigation
from evenhand.mitigations.cues import without_identity
from evenhand.mitigations.ensemble import weighted_logprobs
from evenhand.models import Model, ModelOptions, total
from evenhand.types import Request, Response

_DEFAULT = 0.75


@MITIGATIONS.register("contrast")
class Contrast(Mitigation):
    """``contrast:W``: each next token from ``(1 - W) * identity + W * baseline``, in logits; local models only.

    W = 0 is the model as it is, 1 the baseline that knows no user; above 1 it moves away from the identity. With
    ``contrast:W@N`` the first N tokens are chosen so, and the rest as the model goes on from them by itself. A choice
    is one token.

    Raises:
        SpecError: W is not a number, or N is none from 1.
    """

    name = "contrast"
    summary = "contrastive decoding against the baseline that knows no user (two forward passes; local models)"
    calls = 2
    argument = "[W[@N]]"
    local_only = True
    decodes = True

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        weight, at, tokens = argument.partition("@")
        try:
            self._weight = float(weight or _DEFAULT)
        except ValueError:
            raise SpecError(f"The weight '{weight}' is not a number.", "Write contrast:0.75.") from None
        if at and not (tokens.isascii() and tokens.isdigit() and int(tokens)):
            raise SpecError(f"'{tokens}' is no number of tokens from 1.", "Write contrast:0.75@16.")
        self._tokens = int(tokens or 0)

    async def respond(self, model: Model, request: Request) -> Response:
        baseline = without_identity(request.messages)
        if baseline == request.messages:
            return await model.respond(request)
        if request.choices:
            own, plain = await asyncio.gather(
                model.respond(request), model.respond(replace(request, messages=baseline))
            )
            mixed = weighted_logprobs((own, plain), (1 - self._weight, self._weight))
            return total(replace(own, choice_logprobs=mixed), plain)
        answer = await model.respond(
            replace(request, against=baseline, against_weight=self._weight, against_tokens=self._tokens)
        )
        return replace(answer, calls=2)
