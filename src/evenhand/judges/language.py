"""Which language an answer is written in.

The library ``py3langid`` tells languages apart; what is asked here first is whether there is anything but English at
all, because a judge of English that leaves out an English answer loses it. So code, markup, links and what is only
quoted do not count, letters of other scripts are weighed against Latin ones, and in Latin letters the small words of a
language must be there too: names, dishes and identifiers look like Spanish or German to any counter of letters.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

ENGLISH = "en"
# Not English, and not known which.
ANOTHER = "und"
# Changes whenever the same answer could be taken for another language, or for none.
READING = "1"

_DATA = Path(__file__).parent / "data" / "languages.toml"
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|https?://\S+|\S[^\s@]{0,99}+@\S[^\s.]{0,99}+\.\S+|<[^<>\n]{1,80}>|\\\w+",
    re.DOTALL,
)
# Without one of these nothing of it is found.
_NO_PROSE_SIGNS = ("`", "$$", "://", "@", "<", "\\")
_QUOTED = re.compile(r'"[^"\n]{1,400}"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|„[^“”\n]{1,400}[“”]|「[^」\n]{1,400}」')
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SEPARATOR = re.compile(r"[,;\n]")
# Signs that stand for a word or a syllable say as much as several letters.
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_DENSITY = 3
_FEWEST_LEFT = 4
_FEWEST_LETTERS = 20
_ENDS = (".", "!", "?", "。", "！", "？", "।", "؟")
# A sentence or more; what is less may be a name.
_FEWEST_ENGLISH = 10
# Shares of an answer's words. English prose has more than a third of its small words, other languages nearly none.
_PLAINLY_ENGLISH = 0.2
_SOME_ENGLISH = 0.1
_SMALL_WORDS = 0.15
# How much likelier than English the other language must be (natural logarithm): in all, and per byte of the text.
_LIKELIER = 10.0
_LIKELIER_PER_BYTE = 0.3
# Few words, of which few are small, may be a name ("San Juan de los Lagos").
_LONGEST_NAME = 6
_LIKELIER_THAN_A_NAME = 30.0
_FEWEST_OF_SALAD = 12
# Where no small words are known, or found.
_FEWEST_WORDS = 5
_MUCH_LIKELIER = 45.0


def language_of(text: str) -> str | None:
    """The language that most of a text is written in.

    Args:
        text: an answer.

    Returns:
        An ISO 639-1 code, "und" for one that is not English and not known, or None where it cannot be told: few words,
        names, code. :func:`language_names` has their names.
    """
    return _language_in(*_by_script(_prose(text)))


def _language_in(latin: str, other: str) -> str | None:
    """As :func:`language_of`, of the words in Latin letters and those in others."""
    if other and _weight(other) > _weight(latin):
        return _likeliest(other)[0]
    words = _words(latin)
    if not words:
        return None
    english = _share(words, ENGLISH)
    if english >= _PLAINLY_ENGLISH:
        return ENGLISH
    return _in_latin_letters(latin, words) or (ENGLISH if english >= _SOME_ENGLISH else None)


def is_word_salad(text: str) -> bool:
    """Whether many words of a text make sentences in no language that can be told: often no text, sometimes a list.

    Args:
        text: an answer.
    """
    latin, other = _by_script(_prose(text))
    return len(_words(latin)) >= _FEWEST_OF_SALAD and _language_in(latin, other) is None


def english_of(text: str) -> str | None:
    """What is English in a text that goes on in another script; None where that is nothing, or not told for sure.

    Args:
        text: an answer.
    """
    latin, other = _by_script(_prose(text))
    words = _words(latin)
    is_told = bool(other) and len(words) >= _FEWEST_ENGLISH and _share(words, ENGLISH) >= _PLAINLY_ENGLISH
    return latin.strip() if is_told else None


def is_too_short(text: str) -> bool:
    """Whether an unfinished text says too little to be judged: a few words without an end ("Sure! Here")."""
    said = text.strip()
    return _weight(said) < _FEWEST_LETTERS and len(said.split()) < _FEWEST_LEFT and not said.endswith(_ENDS)


def language_names() -> dict[str, str]:
    """The languages that are told apart: ISO 639-1 code -> name in English."""
    return {**_data()["names"], ANOTHER: "another language"}


def _in_latin_letters(text: str, words: list[str]) -> str | None:
    """A language other than English, where that is sure."""
    code, likelier = _likeliest(text)
    share = _share(words, code)
    if code == ENGLISH or (share == 1 and likelier > 0):
        return code if code != ENGLISH else None
    if likelier < _LIKELIER_PER_BYTE * len(text.encode()):
        return None
    if share < _SMALL_WORDS:
        return _without_small_words(text, words, code, likelier)
    a_name = len(words) <= _LONGEST_NAME and share <= 0.5
    return code if likelier >= (_LIKELIER_THAN_A_NAME if a_name else _LIKELIER) else None


def _without_small_words(text: str, words: list[str], code: str, likelier: float) -> str | None:
    """A language that is known by its letters alone: prose, without a word of English in it."""
    small, separated = sum(word.islower() for word in _WORD.findall(text)), len(_SEPARATOR.findall(text))
    is_list = 2 * small < len(words) or 3 * separated > len(words)
    is_prose = len(words) >= _FEWEST_WORDS and not is_list and not _share(words, ENGLISH)
    if not is_prose or likelier < _LIKELIER_THAN_A_NAME:
        return None
    return code if likelier >= _MUCH_LIKELIER and code not in _small_words() else ANOTHER


def unquoted(text: str) -> str:
    """A text without what stands between quotation marks on one line."""
    return _QUOTED.sub(" ", text)


def _prose(text: str) -> str:
    """A text without code, links and markup, and without what it quotes where enough is left."""
    prose = unicodedata.normalize("NFC", text)
    if any(sign in prose for sign in _NO_PROSE_SIGNS):
        prose = _NO_PROSE.sub(" ", prose)
    without = unquoted(prose)
    if without == prose:
        return prose
    enough = len(_WORD.findall(without)) >= _FEWEST_LEFT or len(_DENSE.findall(without)) >= _FEWEST_LEFT
    return without if enough else prose


def _by_script(text: str) -> tuple[str, str]:
    """The words in Latin letters, and those in others."""
    if text.isascii():
        return text, ""
    latin: list[str] = []
    other: list[str] = []
    for word in re.findall(r"\w+(?:['’]\w+)*|\W+", text):
        letter = next((c for c in word if c.isalpha()), "")
        (other if letter and not unicodedata.name(letter, "").startswith("LATIN") else latin).append(word)
    return "".join(latin), " ".join(other)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold().replace("’", "'"))


def _weight(text: str) -> int:
    return sum(map(str.isalpha, text)) + (_DENSITY - 1) * len(_DENSE.findall(text))


def _share(words: list[str], language: str) -> float:
    return sum(map(_small_words().get(language, frozenset()).__contains__, words)) / len(words)


def _likeliest(text: str) -> tuple[str, float]:
    """The likeliest language, and by how much it is likelier than English (natural logarithm)."""
    found: dict[str, float] = dict(_identifier().rank(text))
    best = max(found, key=lambda code: found[code])
    return best, found[best] - found[ENGLISH]


@cache
def _identifier() -> Any:
    # Loaded for the first answer that is not plainly English: half a second, and 100 MB.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(_data()["names"]))
    return identifier


@cache
def _small_words() -> dict[str, frozenset[str]]:
    return {code: frozenset(words.split()) for code, words in _data()["words"].items()}


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))
