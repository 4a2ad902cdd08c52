"""Answers that take several calls: each call is kept as soon as it is answered, until the answer is there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple

import orjson

from evenhand.models import Model
from evenhand.runner.memories import Asked
from evenhand.runner.writer import Writer
from evenhand.study.rows import Cell, encode_request, part_row
from evenhand.types import Request, Response


class Parts(Asked):
    """The model as one trial asks it: a call that an earlier run has paid for is not made again.

    Args:
        model: what answers.
        writer: keeps the calls.
        cell: which trial.
        run: the id of the run.
        paid: number of a call -> what was answered to it in earlier runs.
    """

    def __init__(self, model: Model, writer: Writer, cell: Cell, run: int, paid: Mapping[int, Response]) -> None:
        super().__init__(model, model.respond)
        self._writer, self._cell, self._run, self._paid = writer, cell, run, paid
        self._asked, self._made = Counter[bytes](), list[Response]()

    async def respond(self, request: Request) -> Response:
        part = self._number(request)
        if part in self._paid:
            return self._paid[part]
        response = await super().respond(request)
        self._made.append(response)
        self._writer.put(part=part_row(self._cell, part, self._run, response))
        await self._writer.committed()
        return response

    def made(self) -> list[Response]:
        """What was answered in this run since this was last asked."""
        made, self._made = self._made, []
        return made

    def _number(self, request: Request) -> int:
        """A number of what is asked, and of how often it was asked before."""
        told = (request.prefill, request.choices, request.seed, astuple(request.decoding))
        asked = encode_request(request.messages) + orjson.dumps(told, default=str)
        self._asked[asked] += 1
        digest = hashlib.blake2b(asked + bytes([self._asked[asked] % 256]), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1
