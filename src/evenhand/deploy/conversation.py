"""Conversations in OpenAI's form, and what of them a mitigation sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.errors import SpecError
from evenhand.mitigations.base import Messages, Mitigation
from evenhand.types import Message, Role

Turn = Mapping[str, Any]

_ROLES: dict[object, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXT_TYPES = ("text", "input_text")
_BETWEEN = "\n\n"


@dataclass(frozen=True)
class Conversation:
    """A conversation as a client gave it.

    A mitigation sees the texts up to the last turn of the user, as a study's conversations end there. Tool calls, what
    tools return, pictures, and whatever follows the question stay as they are, where they are.

    Attributes:
        given: the turns, as they came.
        seen: what a mitigation sees.
        places: which turn each of the messages seen is.
    """

    given: tuple[Turn, ...]
    seen: Messages
    places: tuple[int, ...]

    @classmethod
    def of(cls, messages: object) -> Conversation:
        """Read messages in OpenAI's form.

        Raises:
            SpecError: they are no list of objects with a role.
        """
        if not isinstance(messages, list | tuple):
            raise SpecError("'messages' is not a list of messages.")
        for number, turn in enumerate(messages):
            if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
                raise SpecError(f"messages[{number}] is not an object with a role.")
        users = [n for n, turn in enumerate(messages) if turn["role"] == "user"]
        question = users[-1] if users else -1
        found: list[tuple[int, Message]] = []
        for number, turn in enumerate(messages[: question + 1]):
            text, role = text_of(turn), _ROLES.get(turn["role"])
            # An assistant's turn that calls tools belongs to what the tools return.
            if role and (text or number == question) and not (turn.get("tool_calls") or turn.get("function_call")):
                found.append((number, Message(role, text)))
        return cls(tuple(messages), tuple(m for _, m in found), tuple(n for n, _ in found))

    def rewritten(self, mitigation: Mitigation) -> Conversation:
        """As a mitigation rewrites it; without a user's turn, and where nothing changes, as it is."""
        return self.changed_to(mitigation.rewrite(self.seen)) if self.seen else self

    def changed_to(self, messages: Messages) -> Conversation:
        """The conversation with other texts in place of those seen.

        Turns keep everything but their text. What was not seen stays behind what it stood behind.

        Args:
            messages: the texts seen, changed, with some left out or added.
        """
        if messages == self.seen:
            return self
        turns: list[Turn] = []
        places: list[int] = []
        hidden = sorted(set(range(len(self.given))) - set(self.places))
        last = -1
        for message, origin in zip(messages, _origins(self.seen, messages), strict=True):
            if origin is not None:
                last = self.places[origin]
                turns += _until(hidden, last, self.given)
                turn = with_text(self.given[last], self.seen[origin].content, message.content)
            else:
                following = next((place for place in self.places if place > last), len(self.given))
                turns += _until(hidden, following, self.given) if last >= 0 else []
                turn = message.to_dict()
            places.append(len(turns))
            turns.append(turn)
        turns += _until(hidden, len(self.given), self.given)
        return Conversation(tuple(turns), messages, tuple(places))

    def texts(self) -> Messages:
        """All of it as messages, for models that read text alone.

        Raises:
            SpecError: it holds something else, or does not end with the user's turn.
        """
        for number, turn in enumerate(self.given):
            content = turn.get("content")
            parts = content if isinstance(content, list) else []
            if turn["role"] not in _ROLES or turn.get("tool_calls") or any(_part_text(p) is None for p in parts):
                raise SpecError(f"messages[{number}] holds what this model does not read: it reads texts alone.")
        if not self.given or self.given[-1]["role"] != "user":
            raise SpecError("The conversation does not end with a turn of the user, which this model would answer.")
        return tuple(Message(_ROLES[turn["role"]], text_of(turn)) for turn in self.given)


def _until(hidden: list[int], place: int, given: Sequence[Turn]) -> list[Turn]:
    """Take the turns that were not seen and stand before a place."""
    taken = []
    while hidden and hidden[0] < place:
        taken.append(given[hidden.pop(0)])
    return taken


def _origins(before: Messages, after: Messages) -> list[int | None]:
    """For each message after a change, which one before it was; None for a new one.

    What did not change at the beginning and the end is itself; between, turns of one role are matched from the end,
    where the question is.
    """
    if [m.role for m in before] == [m.role for m in after]:
        return list(range(len(before)))
    shared = min(len(before), len(after))
    head = next((n for n in range(shared) if before[n] != after[n]), shared)
    tail = next((n for n in range(shared - head) if before[-1 - n] != after[-1 - n]), shared - head)
    found: list[int | None] = [None] * len(after)
    found[:head] = range(head)
    found[len(after) - tail :] = range(len(before) - tail, len(before))
    place = len(before) - tail
    for n in range(len(after) - tail - 1, head - 1, -1):
        match = next((m for m in range(place - 1, head - 1, -1) if before[m].role == after[n].role), None)
        if match is not None:
            found[n] = place = match
    return found


def text_of(turn: Turn) -> str:
    """The text of a turn, whose content is a text or a list of parts; parts are joined by a blank line."""
    content = turn.get("content")
    if isinstance(content, list):
        return _BETWEEN.join(text for part in content if (text := _part_text(part)))
    return content if isinstance(content, str) else ""


def _part_text(part: object) -> str | None:
    """The text of a content part, None for a part that is something else."""
    if not isinstance(part, Mapping) or part.get("type") not in _TEXT_TYPES or not isinstance(part.get("text"), str):
        return None
    return str(part["text"])


def with_text(turn: Turn, before: str, after: str) -> Turn:
    """A turn with another text and everything else that it holds.

    Of several text parts those are changed in which the texts differ; parts that are left without text go.

    Args:
        turn: as it came.
        before: its text.
        after: its new one.
    """
    if before == after:
        return turn
    content = turn.get("content")
    if not isinstance(content, list):
        return {**turn, "content": after}
    shared = min(len(before), len(after))
    head = next((n for n in range(shared) if before[n] != after[n]), shared)
    tail = next((n for n in range(shared - head) if before[-1 - n] != after[-1 - n]), shared - head)
    middle, kept_from = after[head : len(after) - tail], len(before) - tail
    parts: list[object] = []
    start, placed = 0, False
    for part in content:
        text = _part_text(part)
        if not text:
            parts.append(part)
            continue
        end = start + len(text)
        new = text[: max(0, head - start)]
        if not placed and end >= head:
            new, placed = new + middle, True
        new += text[max(0, kept_from - start) :] if kept_from < end else ""
        if new.strip():
            parts.append({**part, "text": new})
        start = end + len(_BETWEEN)
    if not placed:
        parts.append({"type": "text", "text": middle.strip()})
    return {**turn, "content": parts}
