"""The fixed sentences with which somebody's own assistant declines ("Acme Helper can only talk about Acme.")."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

from evenhand.errors import SpecError

_APOSTROPHES = re.compile("['’‘ʼ`]")
_WORD = re.compile(r"\w+")
_COMMENT = "#"
_COUNTED = re.compile(r"(\d+) phrases ")


class OwnPhrases:
    """Phrases that count as declining wherever an answer says them.

    Letter case, punctuation, markup, typographic characters and line breaks make no difference.

    Args:
        path: a text file with one phrase a line; lines that begin with "#" are comments.

    Attributes:
        version: how many phrases there are, and a digest of them.

    Raises:
        SpecError: the file cannot be read, or has no phrase, or a line that holds no word.
    """

    def __init__(self, path: Path) -> None:
        self._phrases = [(phrase, _searched(phrase)) for phrase in _read(path)]
        joined = "\n".join(sorted(_normal(phrase) for phrase, _ in self._phrases))
        digest = hashlib.blake2b(joined.encode(), digest_size=6).hexdigest()
        self.version: str = f"{len(self._phrases)} phrases {digest}"

    def first(self, text: str) -> str | None:
        """The first phrase of the file that ``text`` says, as the file writes it, or None."""
        normal = _normal(text)
        return next((phrase for phrase, pattern in self._phrases if pattern.search(normal)), None)


def measured_version(version: str) -> tuple[str, str]:
    """The version of the judge that phrases were added to, and which were: "3 phrases of yours", or "" for none.

    Args:
        version: of a judge, as its verdicts are stored with it.
    """
    base, _, added = version.partition("+")
    if not added:
        return base, ""
    count = _COUNTED.match(added)  # earlier versions did not say how many
    if not count:
        return base, "phrases of yours"
    return base, f"{count[1]} phrase{'s' * (count[1] != '1')} of yours"


def _normal(text: str) -> str:
    """Words in lower case, one blank between two."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(_APOSTROPHES.sub("", folded)))


def _searched(phrase: str) -> re.Pattern[str]:
    """The phrase as whole words, where its script has letters of two cases and so puts blanks between words."""
    normal = _normal(phrase)
    before, after = (r"\b" if end.isascii() or end.upper() != end else "" for end in (normal[0], normal[-1]))
    return re.compile(before + re.escape(normal) + after)


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise SpecError(f"There is no file of phrases at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not a readable text file: {error}.", "Save it as UTF-8.") from None
    phrases = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith(_COMMENT):
            continue
        if not _normal(line):
            raise SpecError(f"{path}, line {number}: '{line}' holds no word.", "Write a phrase, or # for a comment.")
        phrases.append(line)
    if not phrases:
        raise SpecError(f"{path} has no phrase.", "Write one a line, as the assistant says it when it declines.")
    return phrases
