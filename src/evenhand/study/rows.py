"""Rows of the store's tables."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson

from evenhand.judges.base import further_name
from evenhand.types import Message, Request, Response, Verdict

# SQL that is true in the rows of a cell.
IN_CELL = "(suite, item, personalizer, identity, repeat) = (?, ?, ?, ?, ?)"
# A cell of the grid: suite, item, personalizer, identity, repeat.
Cell = tuple[str, str, str, str, int]
# Whose memory, learned by whom: personalizer, person, identity ("" without one).
MemoryKey = tuple[str, str, str]


def trial_row(
    trial: int, cell: Cell, run: int, request: Request, encoded: bytes, response: Response
) -> tuple[Any, ...]:
    """A row of the table ``trials``.

    Args:
        trial, cell, run: which.
        request: what was asked.
        encoded: its messages, by :func:`encode_request`.
        response: the answer.
    """
    logprobs = None if response.choice_logprobs is None else orjson.dumps(response.choice_logprobs).decode()
    return (
        trial, *cell, run, request.seed, encoded.decode(), response.text, response.finish_reason,
        response.prompt_tokens, response.completion_tokens, response.latency_s, logprobs, response.model, time.time(),
        response.calls, response.reasoning, response.reasoning_tokens, response.cached_tokens, response.filtered,
        request.decoding.max_tokens,
    )  # fmt: skip


def judgement_row(trial: int, judge: str, version: str, verdict: Verdict) -> tuple[Any, ...]:
    """A row of the table ``judgements``."""
    return (trial, judge, version, verdict.score, verdict.label, verdict.reason, time.time())


def judgement_rows(trial: int, judge: str, version: str, verdict: Verdict) -> list[tuple[Any, ...]]:
    """Rows of the table ``judgements``: the verdict's, and one for each further score, with the same label."""
    rows = [judgement_row(trial, judge, version, verdict)]
    for what, score in verdict.further:
        rows.append(judgement_row(trial, further_name(judge, what), version, replace(verdict, score=score)))
    return rows


def round_row(
    cell: Cell, number: int, run: int, judge: str, request: Request, response: Response, reply: str | None
) -> tuple[Any, ...]:
    """A row of the table ``rounds``.

    Args:
        cell, number, run: which trial, which round from 1, in which run.
        judge: the simulated user.
        request: what was asked.
        response: the answer.
        reply: what the user said to it, "" where the conversation ended; None where the user has not spoken yet.
    """
    return (
        *cell, number, run, judge, request.seed, orjson.dumps(asdict(response)).decode(), reply,
        request.decoding.max_tokens, response.prompt_tokens, response.completion_tokens, response.reasoning_tokens,
        response.cached_tokens, response.calls, time.time(),
    )  # fmt: skip


def part_row(cell: Cell, part: int, run: int, response: Response) -> tuple[Any, ...]:
    """A row of the table ``parts``: one of the calls of an answer that is not there yet."""
    return (
        *cell, part, run, orjson.dumps(asdict(response)).decode(), response.prompt_tokens, response.completion_tokens,
        response.reasoning_tokens, response.cached_tokens, response.calls, time.time(),
    )  # fmt: skip


def learning_row(key: MemoryKey, call: int, run: int, request: Request, response: Response) -> tuple[Any, ...]:
    """A row of the table ``learning``: one of the calls that a memory took."""
    return (
        *key, call, run, request.seed, encode_request(request.messages).decode(),
        orjson.dumps(asdict(response)).decode(), response.prompt_tokens, response.completion_tokens,
        response.reasoning_tokens, response.cached_tokens, response.calls, time.time(),
    )  # fmt: skip


def learned_from(row: dict[str, Any]) -> Response:
    """The response in a row of the table ``learning``, ``rounds`` or ``parts``."""
    held = orjson.loads(row["response"])
    for name in ("choice_logprobs", "choice_tokens"):
        held[name] = None if held.get(name) is None else tuple(held[name])
    return Response(**held)


def response_of(row: dict[str, Any]) -> Response:
    """The response in a row of :meth:`Store.unjudged`, as far as judges need it."""
    logprobs = orjson.loads(row["choice_logprobs"]) if row["choice_logprobs"] else None
    return Response(
        row["response"],
        row["finish_reason"],
        choice_logprobs=None if logprobs is None else tuple(logprobs),
        reasoning=row["reasoning"],
        filtered=row["filtered"],
    )


def encode_request(messages: Sequence[Message]) -> bytes:
    """Messages as JSON, as they are kept in the store."""
    return orjson.dumps([m.to_dict() for m in messages])


def decode_request(text: str) -> tuple[Message, ...]:
    """Messages from what :func:`encode_request` made of them."""
    return tuple(Message(**m) for m in orjson.loads(text))


def staircase(corners: Sequence[tuple[int, int]]) -> int:
    """Cells in a union of grids (items, repeats) that all begin at the first item and the first repeat."""
    cells, high = 0, 0
    for items, repeats in sorted(corners, reverse=True):
        cells += items * max(repeats - high, 0)
        high = max(high, repeats)
    return cells


def dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    """What a query found, each row by the names of its columns."""
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
