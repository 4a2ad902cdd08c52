"""Rows as token ids, and batches of them: prompts end where answers begin, so that answers of all rows line up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evenhand.models.chat import ChatFormat
from evenhand.tuning.pairs import Pair
from evenhand.types import Message

Side = Literal["chosen", "rejected"]


@dataclass(frozen=True)
class Encoded:
    """One pair as token ids.

    Attributes:
        prompt: of the identity's conversation.
        reference: of what the reference reads; the same as ``prompt`` where no distribution is matched.
        answers: side -> ids of the answer, its end of turn included unless it was cut.
        identity, preferred: as of the pair.
    """

    prompt: tuple[int, ...]
    reference: tuple[int, ...]
    answers: dict[Side, tuple[int, ...]]
    identity: str
    preferred: bool


def encode(pairs: Sequence[Pair], tokenizer: Any, max_length: int) -> list[Encoded]:
    """Pairs as token ids, as the evaluated model reads them; a pair whose prompt leaves no room is left out.

    Args:
        pairs: what to encode.
        tokenizer: of the model.
        max_length: tokens of prompt and answer; the end of a longer answer is cut.
    """
    chat = ChatFormat(tokenizer)
    known: dict[tuple[Message, ...], tuple[int, ...]] = {}

    def read(messages: tuple[Message, ...]) -> tuple[int, ...]:
        if messages not in known:
            known[messages] = tuple(chat.tokens(messages))
        return known[messages]

    found = []
    for pair in pairs:
        prompt, reference = read(pair.messages), read(pair.reference or pair.messages)
        room = max_length - max(len(prompt), len(reference))
        sides: tuple[tuple[Side, str, bool], ...] = (
            ("chosen", pair.chosen, pair.chosen_cut),
            ("rejected", pair.rejected, pair.rejected_cut),
        )
        answers = {side: answer_ids(pair.messages, text, cut, chat, tokenizer)[:room] for side, text, cut in sides}
        if room > 0 and all(answers.values()):
            found.append(Encoded(prompt, reference, answers, pair.identity, pair.preferred))
    return found


def answer_ids(
    messages: tuple[Message, ...], text: str, cut: bool, chat: ChatFormat, tokenizer: Any
) -> tuple[int, ...]:
    """Token ids of an answer with the end of turn that the chat template puts behind it, and without it where cut."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return tuple(ids if cut else [*ids, *_end_of_turn(messages, chat, tokenizer)])


def _end_of_turn(messages: tuple[Message, ...], chat: ChatFormat, tokenizer: Any) -> list[int]:
    """What ends an answer: what the template writes there up to the first special token, else the end of text."""
    said = "evenhand"
    whole = chat.text((*messages, Message("assistant", said)))
    behind = whole.rpartition(said)[2] if chat.has_template else ""
    special = set(tokenizer.all_special_ids)
    for token in tokenizer(behind, add_special_tokens=False)["input_ids"]:
        if token in special:
            return [token]
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def batch(
    rows: Sequence[Encoded], sides: Sequence[Side], matched: Sequence[Side], pad: int, groups: Sequence[str]
) -> dict[str, Any]:
    """Tensors of a batch: the rows once for each side, one side after the other.

    Args:
        rows: the batch.
        sides: answers that the tuned model is forced along.
        matched: those of them on which the reference reads its own conversation.
        pad: id to pad with, on the left.
        groups: names of all groups, by whose place a row's is told.

    Returns:
        ``input_ids`` and ``attention_mask``, shape (sides x rows, width); ``targets`` and ``answer_mask``, shape
        (sides x rows, longest answer), at the right end; ``reference_ids`` and ``reference_mask``, shape
        (matched sides x rows, width); ``groups`` and ``preferred``, shape (rows,).
    """
    import torch

    longest = max(len(row.answers[side]) for row in rows for side in sides)
    ours = [(row.prompt, row.answers[side]) for side in sides for row in rows]
    theirs = [(row.reference, row.answers[side]) for side in matched for row in rows]
    ids, mask = _padded([(*prompt, *answer) for prompt, answer in ours], pad)
    found = {
        "input_ids": ids,
        "attention_mask": mask,
        "targets": _padded([answer for _, answer in ours], pad, longest)[0],
        "answer_mask": _padded([answer for _, answer in ours], pad, longest)[1],
        "groups": torch.tensor([groups.index(row.identity) for row in rows]),
        "preferred": torch.tensor([float(row.preferred) for row in rows]),
    }
    if theirs:
        reference_ids, reference_mask = _padded([(*prompt, *answer) for prompt, answer in theirs], pad)
        found |= {"reference_ids": reference_ids, "reference_mask": reference_mask}
    return found


def _padded(rows: Sequence[Sequence[int]], pad: int, width: int = 0) -> tuple[Any, Any]:
    import torch

    width = width or max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask
