"""A model without weights that says how likely texts are: the more words they share with the conversation, the more."""

from __future__ import annotations

import re
from collections.abc import Callable

from evenhand.errors import ModelError
from evenhand.models import Model
from evenhand.types import Request, Response

_WORD = re.compile(r"[a-z]{4,}")


def words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


class Scorer(Model):
    """Each word of a text costs a nat; one that the conversation has, or that it ``prefers``, costs none.

    Args:
        writes: what it generates.
        prefers: words that it always finds likely.
        scores: whether it gives log-probabilities at all.
        most: calls after which it breaks.
    """

    id = "scorer"
    is_local = True
    concurrency = 8

    def __init__(
        self,
        writes: Callable[[Request], str] = lambda _: "job<sep>pet<sep>food",
        prefers: str = "",
        *,
        scores: bool = True,
        most: int | None = None,
    ) -> None:
        self.writes, self.prefers, self.scores_texts, self.most = writes, words(prefers), scores, most
        self.asked: list[Request] = []

    async def respond(self, request: Request) -> Response:
        if self.most is not None and len(self.asked) >= self.most:
            raise ModelError("the machine broke down")
        self.asked.append(request)
        if not request.choices:
            return Response(self.writes(request), prompt_tokens=1, completion_tokens=1)
        # What stands in brackets is only offered.
        told = (re.sub(r"\([^)]*\)", "", message.content) for message in request.messages)
        heard = self.prefers.union(*map(words, told))
        scored = [[-0.1 if word in heard else -1.0 for word in words(text)] or [-1.0] for text in request.choices]
        return Response(
            "",
            prompt_tokens=1,
            completion_tokens=0,
            choice_logprobs=tuple(sum(row) for row in scored),
            choice_tokens=tuple(map(len, scored)) if request.whole else None,
        )
