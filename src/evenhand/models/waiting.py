"""A request that waits for its batch."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from evenhand.types import Decoding, Request, Response


@dataclass
class Waiting:
    """One request as a local model batches it: with its tokens, and the future of its answer."""

    request: Request
    tokens: list[int]
    against: list[int]
    candidates: list[int]
    texts: list[list[int]]
    beginning: int
    future: asyncio.Future[Response]

    @property
    def work(self) -> Hashable:
        """What decides the answer: requests with the same work get the same one."""
        request = self.request
        sampled = not request.choices and request.decoding.temperature > 0
        seed = request.seed if sampled else None
        texts = tuple(map(tuple, self.texts))
        return tuple(self.tokens), tuple(self.against), tuple(self.candidates), texts, seed, request.interventions

    @property
    def key(self) -> tuple[Decoding, bool, bool, bool, tuple[float, int] | None]:
        """Requests may share a batch when they are read and decoded alike."""
        blend = (self.request.against_weight, self.request.against_tokens) if self.request.against else None
        return self.request.decoding, bool(self.request.choices), self.request.whole, self.beginning > 0, blend
