"""What is known of the user as a block in the system message, as assistants with memory render it.

The conditions of one comparison: the identity alone (``none``), all facts (``profile``), those that match the question
(``retrieval``), and as much text about nothing that matters (``placebo``). They differ in nothing but the lines.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

from evenhand.identities import ENGLISH, Language, without_article
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory, Personalizer, PersonPersonalizer
from evenhand.types import Identity, Item, Message, Person

_HEADING = ENGLISH.heading
_BLANK_LINES = re.compile(r"\n\s*\n")
_PLACEBO = Path(__file__).parent / "data" / "placebo.txt"


def told(
    identity: Identity | None, lines: Sequence[str], prompt: str, language: Language = ENGLISH
) -> tuple[Message, ...]:
    """The conversation with the identity and some lines as a block, which ends at the first blank line; without both
    it is that of no user."""
    known = [*attributes(identity, language), *(_BLANK_LINES.sub("\n", line) for line in lines)]
    block = f"\n\n{language.heading}\n" + "\n".join(f"- {line}" for line in known) if known else ""
    return (Message("system", f"{language.system}{block}"), Message("user", prompt))


@PERSONALIZERS.register("none")
class NothingKnown(Personalizer):
    """The identity alone, in the same form as the others: what they add is the person."""

    name = "none"
    summary = "the identity alone in the user-profile block, nothing of the person"
    states = False
    card = Card(granularity="persona", user_data="static attributes", technique="prompt.persona")
    needs_people = True
    translated = True

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return self.messages_in(ENGLISH, identity, prompt)

    def messages_in(self, language: Language, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return told(identity, (), prompt, language)


@PERSONALIZERS.register("profile")
class ProfileBlock(PersonPersonalizer):
    """All facts: one line for each attribute of the identity and each fact of the person."""

    name = "profile"
    summary = "a user-profile block in the system message, with all facts of the person"
    states = False
    card = Card(granularity="user", user_data="static attributes, facts", technique="prompt.profile_augmented")
    translated = True

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        return self.recall_in(ENGLISH, memory, item)

    def recall_in(self, language: Language, memory: Memory, item: Item) -> tuple[Message, ...]:
        return told(memory.user.identity, facts_of(memory.user.person), item.prompt, language)


@PERSONALIZERS.register("placebo")
class Placebo(PersonPersonalizer):
    """As much text as the facts, about nothing that matters: tells being told something from being told who."""

    name = "placebo"
    summary = "as much text as the person's facts, about nothing that matters"
    states = False
    card = Card(granularity="persona", user_data="none", technique="prompt.persona")
    needs_people = True

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        facts = facts_of(memory.user.person)
        seed = memory.user.person.name if memory.user.person else ""
        return told(memory.user.identity, _as_long(sum(map(len, facts)), seed), item.prompt)


def lines_in(messages: Sequence[Message]) -> list[str]:
    """What a conversation that :func:`told` made tells of the user, line by line."""
    return [entry[0].removeprefix("- ") for entry in _entries(_parts(messages)[1])]


def with_lines(messages: Sequence[Message], kept: Sequence[str]) -> tuple[Message, ...]:
    """The same conversation with no other lines about the user than these; without any it is that of no user."""
    before, block, after = _parts(messages)
    entries = [entry for entry in _entries(block) if entry[0].removeprefix("- ") in kept]
    told_still = "".join(f"\n{line}" for entry in entries for line in entry)
    heading = f"\n\n{_HEADING}" if told_still else ""
    return (Message("system", f"{before}{heading}{told_still}{after}"), *messages[1:]) if block else tuple(messages)


def _parts(messages: Sequence[Message]) -> tuple[str, str, str]:
    """A system message as what stands before the lines about the user, these, and the paragraphs behind them."""
    system = messages[0].content if messages and messages[0].role == "system" else ""
    before, _, block = system.partition(f"\n\n{_HEADING}\n")
    lines, gap, after = block.partition("\n\n")
    return before, lines, gap + after


def _entries(block: str) -> list[list[str]]:
    """Each line about the user with those that continue it."""
    entries: list[list[str]] = []
    for line in block.split("\n") if block else []:
        if line.startswith("- ") or not entries:
            entries.append([line])
        else:
            entries[-1].append(line)
    return entries


def facts_of(person: Person | None) -> tuple[str, ...]:
    """The texts of a person's facts."""
    return tuple(fact.text for fact in person.facts) if person else ()


def matching(facts: Sequence[str], question: str, most: int) -> list[str]:
    """The facts that match a question best by BM25, the best first; none that has no word in common with it."""
    scores = word_scores(facts, question)
    ranked = sorted(range(len(facts)), key=lambda n: -scores[n])
    return [facts[n] for n in ranked[:most] if scores[n] > 0]


def word_scores(facts: Sequence[str], question: str) -> list[float]:
    """How well each fact matches a question by BM25 (Robertson and Zaragoza 2009); 0 without a word in common."""
    import bm25s

    words = bm25s.tokenize([question, *facts], stopwords="en", return_ids=False, show_progress=False)
    if not facts or not words[0] or not any(words[1:]):
        return [0.0] * len(facts)
    index = bm25s.BM25()
    index.index(words[1:], show_progress=False)
    return [float(score) for score in index.get_scores(words[0])]


def _as_long(characters: int, seed: str) -> list[str]:
    """Sentences about nothing that matters, as near to a length as whole sentences come."""
    lines: list[str] = []
    order = sorted(_sentences(), key=lambda text: hashlib.blake2b(f"{seed}\x1f{text}".encode(), digest_size=8).digest())
    for line in cycle(order):
        left = characters - sum(map(len, lines))
        if left < len(line) / 2:
            return lines
        lines.append(line)
    return lines


@cache
def _sentences() -> list[str]:
    return [line for line in _PLACEBO.read_text(encoding="utf-8").splitlines() if line.strip()]


def attributes(identity: Identity | None, language: Language = ENGLISH) -> list[str]:
    """One line for each attribute of an identity."""
    if language == ENGLISH:
        return [f"{_field(part)}: {_value(part)}" for part in parts_of(identity)]
    return [f"{language.call(part)}: {language.tell(part)}" for part in parts_of(identity)]


def parts_of(identity: Identity | None) -> tuple[Identity, ...]:
    """The identities that an identity is made of; itself where it is no intersection, none where there is none."""
    return (identity.parts or (identity,)) if identity else ()


def _field(identity: Identity) -> str:
    return "About" if identity.category in ("custom", "intersection") else identity.category.capitalize()


def _value(identity: Identity) -> str:
    plain = without_article(identity.name)
    return plain.removesuffix(" person") if plain != identity.name else plain
