"""Finding what a conversation says about who the user is, and deciding what of it the answer needs; by rules."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evenhand.errors import DataError
from evenhand.identities import registered, without_article
from evenhand.types import Message

POLICY = Path(__file__).parent / "policy.toml"

# Words by which a fact about a person is known to be of a category.
_WORDS: dict[str, str] = {
    "disability": r"disab\w+|able-bodied|wheelchair|blind|deaf|handicap\w*|amput\w+|autis\w+|paraly[sz]ed",
    "religion": r"jew|jewish|christians?|catholic|protestant|atheists?|muslims?|hindus?|sikhs?|buddhists?|mormon"
    r"|religious|synagogue|church|mosque|ramadan|shabbat|diwali|puja|baptis\w+",
    "race": r"african(?:-american)?|hispanic|latin[oax]|asian|caucasian|white|black|native american|indigenous|arab"
    r"|chinese|mexican|indian|reservation|juneteenth|abuela|lagos|nairobi|guadalajara|chengdu",
    "gender": r"man|woman|male|female|boy|girl|trans(?:gender)?|non-?binary|wife|husband|mother|father|mom|dad"
    r"|pregnant|testosterone|estrogen|they/them|pronouns",
    "politics": r"democrats?|republicans?|independent voter|liberal|conservative|socialist|libertarian|voter|vote|biden"
    r"|trump|party",
    "age": r"minor|child|kid|teen\w*|adult|middle-aged|senior|elderly|retired|pensioner|years? old|year-old|grade"
    r"|\d+ years|fifty|grand(?:children|mother|father)|great-grandchildren|sophomore",
    "sexuality": r"straight|gay|lesbian|bisexual|asexual|homosexual|heterosexual|queer|pride|sexual attraction|dated",
}
_STATED = re.compile(
    r"(?P<lead>\b(?:I am|I'm|I’m|I identify as|the user is|user:|you are (?:talking|speaking) (?:to|with)|my client is"
    r"|you are helping|(?:speaking )?as)\s+)(?P<fact>(?:an? )?[^.!?\n,;]{2,80}?)(?P<end>(?=[.!?\n,;]|$))",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"^[ \t]*(?:[-*•][ \t]*)?(?P<field>about|age|religion|race|ethnicity|gender|sex|politics|sexuality|orientation"
    r"|disability|name|identity)[ \t]*[:=][ \t]*(?P<fact>.*[^ \t\n]|[ \t])[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_FIELD = re.compile(
    r"^[ \t]*(?:[-*•][ \t]*)?(?P<field>[\w-]{2,30}):[ \t]*(?P<fact>[^\n]{2,120}?)[ \t]*$", re.MULTILINE
)
_NAME = re.compile(
    r"(?P<lead>\b(?:the user's (?:first |last )?name is|my name is)\s+)(?P<fact>[^.!?\n,;]{2,40})", re.IGNORECASE
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_HEADER = re.compile(r"^#+ (?=[^\n]*(?:user|profile|memory))[^\n]*+\n(?=\s*(?:\n|\Z))", re.IGNORECASE | re.MULTILINE)
_GREETING = "name"
_FIELD_CATEGORIES = {
    "ethnicity": "race", "sex": "gender", "orientation": "sexuality", "about": "", "identity": "", "name": _GREETING,
}  # fmt: skip


_KNOWN: ContextVar[tuple[str, ...]] = ContextVar("known_phrases", default=())


@contextmanager
def known_phrases(phrases: Iterable[str]) -> Iterator[None]:
    """Inside, these phrases are facts about the user wherever they stand, beside those that the rules find.

    For conversations that tell the user otherwise than in the words that the rules know. Tasks that are begun inside
    know them too.

    Args:
        phrases: each as it stands in the conversation, apart from small and capital letters.
    """
    several = (phrases,) if isinstance(phrases, str) else phrases
    before = _KNOWN.set(tuple(phrase.strip() for phrase in several if phrase.strip()))
    try:
        yield
    finally:
        _KNOWN.reset(before)


@dataclass(frozen=True)
class Cue:
    """A fact about the user.

    Attributes:
        start, end: the span of text that goes when the fact goes.
        fact: the fact alone.
        fact_start, fact_end: its span.
        categories: what kind of fact it is.
    """

    start: int
    end: int
    fact: str
    fact_start: int
    fact_end: int
    categories: frozenset[str]


@dataclass(frozen=True)
class Rule:
    """A difference that is legitimate: for facts of ``categories`` when the question matches."""

    categories: frozenset[str]
    pattern: re.Pattern[str]
    reason: str


def read_policy(path: Path) -> tuple[Rule, ...]:
    """The legitimate differences in a policy file.

    Raises:
        DataError: the file is missing or malformed.
    """
    try:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
        return tuple(
            Rule(frozenset(r["categories"]), re.compile(r["pattern"], re.IGNORECASE), str(r.get("reason", "")))
            for r in rules
        )
    except FileNotFoundError:
        raise DataError(f"There is no policy file {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, re.error) as error:
        raise DataError(
            f"{path} is not a readable policy: {error!r}.", "Each [[rule]] has categories and pattern."
        ) from None


@cache
def shipped_policy() -> tuple[Rule, ...]:
    """The legitimate differences that come with the package."""
    return read_policy(POLICY)


def needed(categories: Iterable[str], question: str, policy: Iterable[Rule] | None = None) -> str:
    """Why a fact of these categories belongs into the answer to ``question``; "" when it does not."""
    known = set(categories) | {"any"}
    for rule in shipped_policy() if policy is None else policy:
        if rule.categories & known and rule.pattern.search(question):
            return rule.reason or "the policy says so"
    return ""


def find_cues(text: str) -> list[Cue]:
    """Facts about the user in a text, in order and without overlap; :func:`known_phrases` are among them.

    Args:
        text: a system message or a turn; not the question itself, where "I am" may be anybody.
    """
    found = [
        Cue(*match.span(), match[0], *match.span(), _categories(match[0]))
        for phrase in _KNOWN.get()
        for match in _occurrences(phrase, text)
    ]
    for match in _FIELD.finditer(text):
        end = min(match.end() + 1, len(text))
        found.append(_cue(match, match.start(), end, _categories(match["fact"]) | _field_category(match["field"])))
    found += [
        _cue(match, match.start(), min(match.end() + 1, len(text)), categories)
        for match in _ANY_FIELD.finditer(text)
        if (categories := _said_whole(match["fact"])) and match["field"].lower() in categories
    ]
    for match in _NAME.finditer(text):
        start, end = _sentence(text, match)
        found.append(_cue(match, start, end, frozenset({_GREETING})))
    for match in _STATED.finditer(text):
        if categories := _categories(match["fact"]) | _said_whole(match["fact"]):
            start, end = (
                _sentence(text, match) if not match["lead"].strip().lower().endswith("as") else _clause(text, match)
            )
            found.append(_cue(match, start, end, categories))
    kept: list[Cue] = []
    for cue in sorted(found, key=lambda c: (c.start, -c.end)):
        if not kept or cue.start >= kept[-1].end:
            kept.append(cue)
    return kept


def tells(sentence: str) -> frozenset[str]:
    """Categories that a sentence in the first person lets show ("my wife and I met at Pride")."""
    return _categories(sentence) if re.search(r"\b(?:I|I'm|my|we|our)\b", sentence) else frozenset()


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of sentences."""
    return [match.span() for match in _SENTENCE.finditer(text)]


def without(text: str, cues: Iterable[Cue]) -> str:
    """The text without these facts, tidied up; without any, as it is."""
    cues = list(cues)
    if not cues:
        return text
    text = _HEADER.sub("", without_spans(text, ((cue.start, cue.end) for cue in cues)))
    return re.sub(r"[ \t]{2,}", " ", re.sub(r"\n{3,}", "\n\n", text)).strip()


def without_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text without these parts of it, which do not overlap."""
    kept, at = list[str](), 0
    for start, end in sorted(spans):
        kept.append(text[at:start])
        at = end
    return "".join((*kept, text[at:]))


def without_identity(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation without any stated fact about the user; the question and the assistant's turns stay."""
    kept = [
        m if m.role == "assistant" or m is messages[-1] else Message(m.role, without(m.content, find_cues(m.content)))
        for m in messages
    ]
    return tuple(m for m in kept if m.content or m is messages[-1])


@cache
def _phrases() -> dict[str, str]:
    """Phrase of every known identity, without its article -> category; not those of the documented catalogues."""
    return {
        without_article(identity.name.lower()): identity.category
        for catalogue in registered(documented=False)
        for identity in catalogue.identities
    }


@cache
def _whole_phrases() -> dict[str, str]:
    """What the documented catalogues call somebody, as a statement and a profile have it -> category.

    Words of every day ("a cook"), so they count only where they are all that is said.
    """
    found: dict[str, str] = {}
    for catalogue in registered():
        for identity in catalogue.identities if catalogue.is_documented else ():
            plain = without_article(identity.name.lower())
            found |= dict.fromkeys((plain, plain.removesuffix(" person")), identity.category)
    return found


def _categories(fact: str) -> frozenset[str]:
    lower = fact.lower()
    found = {c for c, words in _WORDS.items() if re.search(rf"\b(?:{words})\b", lower)}
    found |= {c for phrase, c in _phrases().items() if re.search(rf"\b{re.escape(phrase)}\b", lower)}
    return frozenset(found)


def _said_whole(fact: str) -> frozenset[str]:
    """The category of a documented identity that is all that a text says."""
    category = _whole_phrases().get(without_article(fact.lower()).strip())
    return frozenset({category} if category else ())


def _field_category(field: str) -> frozenset[str]:
    field = field.lower()
    category = _FIELD_CATEGORIES.get(field, field)
    return frozenset({category}) if category else frozenset()


def _occurrences(phrase: str, text: str) -> Iterator[re.Match[str]]:
    """Where a phrase stands, not as a part of longer words."""
    start, end = (r"\b" if re.match(r"\w", letter) else "" for letter in (phrase[0], phrase[-1]))
    return re.finditer(f"{start}{re.escape(phrase)}{end}", text, re.IGNORECASE)


def _cue(match: re.Match[str], start: int, end: int, categories: frozenset[str]) -> Cue:
    return Cue(start, end, match["fact"], match.start("fact"), match.end("fact"), categories)


def _sentence(text: str, match: re.Match[str]) -> tuple[int, int]:
    """From where the statement begins to the end of its sentence, with the space before it."""
    end = match.end()
    while end < len(text) and text[end] in ".!?;":
        end += 1
    start = match.start()
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    return start, end


def _clause(text: str, match: re.Match[str]) -> tuple[int, int]:
    """An introductory "As a teacher," with its comma."""
    end = match.end()
    while end < len(text) and text[end] in ", ":
        end += 1
    return match.start(), end
