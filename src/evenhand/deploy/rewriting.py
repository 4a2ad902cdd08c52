"""Mitigations that only rewrite, as a function of messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import orjson

from evenhand import __version__
from evenhand.deploy.conversation import Conversation
from evenhand.errors import SpecError
from evenhand.mitigations import Mitigation, make_mitigation
from evenhand.mitigations.cues import known_phrases
from evenhand.types import Message

_PROBE = (Message("system", "You are a helpful assistant. I am a minor."), Message("user", "What is 2+2?"))


# What acts on a study's records of people, where a mitigation has it; a client's conversation brings no record.
_ON_RECORDS = ("known", "attend")


def only_rewrites(mitigation: Mitigation) -> bool:
    """Whether a mitigation asks the model once, as it would be asked without it."""
    return all(type(part).respond is Mitigation.respond for part in _parts(mitigation))


def check_acts_on_messages(mitigation: Mitigation) -> None:
    """Refuse what would do nothing, or less than was measured, before a conversation alone.

    Raises:
        SpecError: the mitigation acts on records of people.
    """
    for part in _parts(mitigation):
        if any(getattr(type(part), hook, None) is not getattr(Mitigation, hook, None) for hook in _ON_RECORDS):
            raise SpecError(
                f"The mitigation '{part.name}' acts on records of people, and a conversation brings none.",
                "Apply it where your product keeps and shows its memories.",
            )


def _parts(mitigation: Mitigation) -> tuple[Mitigation, ...]:
    """Those of a mitigation that is made of several."""
    return tuple(getattr(mitigation, "parts", (mitigation,)))


def mitigated(
    messages: Iterable[dict[str, Any]], mitigation: str | Mitigation, *, told: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """The conversation to send in place of ``messages``: what a study with this mitigation sends.

    Nothing is asked, read or waited for, and ``messages`` stays as it is. Pictures, names, tool calls and what tools
    return pass through; a conversation without a turn of the user is returned as it came.

    Args:
        messages: in OpenAI's form; content is a text or a list of parts.
        mitigation: a reference ("defense:fairness", "neutralize"), or one that :func:`make_mitigation` made, which
            reads its files once.
        told: phrases of the conversation that say who the user is, where they are not said in words that the rules
            know ("single mother of two"). For mitigations that look for such facts.

    Raises:
        SpecError: messages of another form, an unknown mitigation, one that asks the model itself
            (:class:`evenhand.deploy.Assistant`), or one that acts on records of people.
        DataError: a file of the mitigation is missing or malformed.
    """
    found = make_mitigation(mitigation) if isinstance(mitigation, str) else mitigation
    check_acts_on_messages(found)
    if not only_rewrites(found):
        raise SpecError(
            f"The mitigation '{found.name}' asks the model itself: no rewriting of messages does what it does.",
            "Use evenhand.deploy.Assistant, or the proxy (evenhand deploy).",
        )
    with known_phrases(told):
        return [dict(turn) for turn in Conversation.of(list(messages)).rewritten(found).given]


def label_of(reference: str) -> str:
    """A mitigation's reference as clients may see it: without folders, and without the text of a defense."""
    name, colon, argument = reference.partition(":")
    shown = "(text)" if " " in argument else PurePath(argument).name if "/" in argument else argument
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in f"{name}{colon}{shown}")[:200]


def fingerprint(reference: str, mitigation: Mitigation) -> str:
    """12 hexadecimal digits that change with the mitigation's reference, what it does to texts, and the version."""
    did = [m.to_dict() for m in mitigation.rewrite(_PROBE)]
    return hashlib.blake2b(orjson.dumps([__version__, reference, did]), digest_size=6).hexdigest()
