"""How a reference to a mitigation, or to several at once, is read."""

from __future__ import annotations

from evenhand.errors import EvenhandError, SpecError
from evenhand.mitigations.base import MITIGATIONS, Mitigation
from evenhand.mitigations.combination import Combination
from evenhand.mitigations.defense import shipped_defenses
from evenhand.models import ModelOptions

_FILES = (".toml", ".txt")


def make_mitigation(reference: str, options: ModelOptions | None = None) -> Mitigation:
    """A mitigation from ``name`` or ``name:argument`` ("neutralize", "defense:fairness"), or several joined by "+".

    Args:
        reference: as :func:`parts_of` reads it.
        options: how to reach a model of its own.

    Raises:
        SpecError: an unknown name, an argument missing or one too many, or mitigations that cannot be combined.
        DataError: a file that one of them reads is missing or malformed.
    """
    parts = parts_of(reference)
    if len(parts) == 1:
        return _made(reference, options)
    return Combination([_part(part, n, reference, options) for n, part in enumerate(parts, 1)], parts)


def parts_of(reference: str) -> list[str]:
    """The mitigations that a reference names, each a reference of its own.

    A plus separates where the name of a mitigation or of a shipped defense stands directly behind it, up to the end, a
    colon, an at sign or another plus; and behind such a name that stands alone. Any other plus belongs to the text or
    the file's name around it.
    """
    found = [""]
    for number, piece in enumerate(reference.split("+")):
        if number and (_begins_one(piece) or _is_name(found[-1])):
            found.append(piece)
        else:
            found[-1] = f"{found[-1]}+{piece}" if number else piece
    return found


def full_reference(text: str) -> str:
    """A reference from what a user wrote: prompt defenses may go without their prefix, by name, file or text."""
    return "+".join(map(_full, parts_of(text)))


def _full(text: str) -> str:
    if text.partition(":")[0] in MITIGATIONS:
        return text
    is_defense = text.partition("@")[0] in shipped_defenses() or " " in text or text.endswith(_FILES)
    return f"defense:{text}" if is_defense else text


def _begins_one(text: str) -> bool:
    name = text.partition(":")[0]
    return name in MITIGATIONS or _is_name(text)


def _is_name(text: str) -> bool:
    """Whether a text is a mitigation's name, or a shipped defense's with or without its place."""
    return text in MITIGATIONS or text.partition("@")[0] in shipped_defenses()


def _made(reference: str, options: ModelOptions | None) -> Mitigation:
    name, _, argument = reference.partition(":")
    return MITIGATIONS.get(name)(argument, options or ModelOptions())


def _part(part: str, number: int, whole: str, options: ModelOptions | None) -> Mitigation:
    """One of several; what is wrong with it says which one it is.

    Raises:
        EvenhandError: as without the others, or for one that is missing.
    """
    where = f"In '{whole}', part {number}"
    if not part:
        raise SpecError(f"{where} is empty.", "Write a mitigation on each side of every plus.")
    try:
        return _made(part, options)
    except EvenhandError as error:
        fix = f"Write defense:{part}." if part.partition("@")[0] in shipped_defenses() else error.fix
        raise type(error)(f"{where} ('{part}'): {error.problem}", fix) from None
