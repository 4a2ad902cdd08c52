"""Text that models, users and servers wrote, made harmless for whoever shows it: terminals, pages, spreadsheets, XML.

What is kept is kept as it came; these functions stand at the places where text is shown or written for other programs.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "\ufffd"
# Control characters but tab and line feed; zero-width and invisible characters; directions of writing; line and
# paragraph separators; halves of surrogate pairs; what is no character; tags. Joiners are looked at one by one below.
_HIDDEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Scripts that are joined (Arabic to Khmer, Mongolian) and pictures: there a joiner is spelling.
_JOINED = r"\u0600-\u109f\u1780-\u18af\u2190-\u2bff\ufe0f\ufb50-\ufdff\ufe70-\ufefc\U0001f000-\U0001faff"
_UNSEEN = re.compile(rf"[{_HIDDEN}]|(?<![{_JOINED}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}])")
_UNSEEN_IN_JSON = re.compile(rf"[{_HIDDEN}\u200c\u200d]")
# A spreadsheet reads these as the beginning of a formula, whatever blanks stand before them; plain numbers are none.
FORMULA = r"^\s*[=+\-@|%＝＋－＠﹢﹣﹦﹫−]"
NUMBER = r"^\s*[+\-−]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][+\-]?\d{1,3})?\s*\z"
_FORMULA = re.compile(FORMULA)
_NUMBER = re.compile(NUMBER.replace(r"\z", r"\Z"))
# What polars finds in every text that :func:`cell` changes, and in few others: its texts have no halves of pairs.
_ALWAYS_WHOLE = _HIDDEN.replace(r"\ud800-\udfff", "")
IN_A_CELL = rf"{FORMULA}|[{_ALWAYS_WHOLE}\u200c\u200d{MARK}]"
_LONGEST_NAME = 60
# Devices of Windows, and nothing at all.
_RESERVED = {"", "CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}


def visible(text: str) -> str:
    """``text`` with a mark for each character that a terminal would obey or that nobody would see; lines stay lines.

    Escapes, other control characters, zero-width characters and those that turn the direction of writing are marked.
    Line breaks of every kind become ``\\n``.
    """
    return _UNSEEN.sub(MARK, text.replace("\r\n", "\n").replace("\r", "\n"))


def printable(text: str) -> str:
    """``text`` in one line, with a mark in place of what a terminal would obey or could not show."""
    return "".join(c if c.isprintable() else MARK for c in " ".join(text.split()))


def all_visible(value: Any) -> Any:
    """Plain data (dictionaries, lists, tuples, texts, anything else) with every text in it :func:`visible`."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {all_visible(key): all_visible(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [all_visible(inner) for inner in value]
    return value


def visible_json(text: str) -> str:
    r"""The same JSON with ``\u`` escapes for what a terminal would obey or nobody would see: nothing is lost."""
    return _UNSEEN_IN_JSON.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def cell(value: object) -> object:
    """A cell of a file for spreadsheets: a text that would be run as a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if _FORMULA.match(text.replace(MARK, " ")) and not _NUMBER.match(text) else text


def markdown(text: str) -> str:
    """``text`` as a cell of a Markdown table: in one line, and without links, pictures, HTML or columns of its own."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~!])", r"\\\1", shown)


def file_names(texts: Sequence[str]) -> list[str]:
    """A name for a file or directory for each text: one step of a path on every system, and all of them different.

    What is no plain letter, digit, point or underscore becomes a hyphen. Names that would be alike (also where capitals
    are small letters), that mean something to a system, or that would be empty begin with a digest of the text.
    """
    plain = [re.sub(r"[^A-Za-z0-9._]+", "-", text).lstrip("-.")[:_LONGEST_NAME].rstrip("-.") for text in texts]
    alike = Counter(name.casefold() for name in plain)
    return [
        f"{_digest(text)}-{name}".rstrip("-")
        if alike[name.casefold()] > 1 or name.split(".")[0].upper() in _RESERVED
        else name
        for name, text in zip(plain, texts, strict=True)
    ]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
