"""Earlier sessions as the updaters read them: numbered, and no longer than a prompt can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.fences import fenced
from evenhand.personalizers.persona.dictionary import Place
from evenhand.types import Session

_MOST_TURNS = 20
_MOST_CHARACTERS = 600


@dataclass(frozen=True)
class Turn:
    """A turn of the user's.

    Attributes:
        place: where it stands.
        text: what was said, cut where it is long.
        is_feedback: whether it is what the user said of the answers at the session's end.
    """

    place: Place
    text: str
    is_feedback: bool = False


@dataclass(frozen=True)
class Batch:
    """The sessions of one update.

    Attributes:
        numbers: which, from 1.
        turns: the user's, in order; the only ones that an entry may rest on.
        text: all that was said, each session between two lines that nothing in it can be.
    """

    numbers: tuple[int, ...]
    turns: tuple[Turn, ...]
    text: str


def batches(sessions: Sequence[Session], every: int) -> list[Batch]:
    """The sessions in groups of ``every``; the last group may be smaller."""
    return [_batch(first, sessions[first : first + every]) for first in range(0, len(sessions), every)]


def _batch(first: int, sessions: Sequence[Session]) -> Batch:
    turns: list[Turn] = []
    told: list[str] = []
    for number, session in enumerate(sessions, first + 1):
        said, lines = 0, []
        shown = [(m.role == "user", m.content, False) for m in session.messages[:_MOST_TURNS]]
        for is_user, content, is_feedback in [*shown, *([(True, session.feedback, True)] if session.feedback else [])]:
            text = content if len(content) <= _MOST_CHARACTERS else content[:_MOST_CHARACTERS] + " ..."
            said += is_user
            if is_user:
                turns.append(Turn(Place(number, said), text, is_feedback))
            # Lines within a turn are indented, so that none of them looks like the next turn.
            lines.append((f"[{number}.{said}] user: " if is_user else "assistant: ") + "\n    ".join(text.splitlines()))
        told.append(fenced(f"conversation {number}", "\n".join(lines)))
    return Batch(tuple(range(first + 1, first + 1 + len(sessions))), tuple(turns), "\n\n".join(told))
