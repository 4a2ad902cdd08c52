"""What a suite is, how a reference to one is read, and the order its items are drawn in."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evenhand.errors import DataError, SpecError, did_you_mean
from evenhand.identities import ENGLISH, Language
from evenhand.registry import Registry
from evenhand.suites.formats import TEXTS
from evenhand.suites.sources import DataSource
from evenhand.types import Axis, Fact, Item, Person, Scoring

LOGPROBS = "logprobs"


class Suite(ABC):
    """A set of items with its prompt format and its default judge.

    A reference is ``name`` or ``name:variant+variant``; what variants there are is the suite's own matter.
    ``logprobs`` is common to all suites with choices: they are then scored from the log-probabilities of the choices'
    labels. ``texts`` is common to those that can ask so: by which whole choice is likelier as the answer, per token.

    Attributes:
        name: registered name.
        axis: "safety", "utility" or "fit".
        summary: one line for ``evenhand list suites``.
        judge: name of the default judge.
        licence: licence of the data.
        source: where the data comes from (paper or repository).
        variants: accepted variants besides ``logprobs`` and ``texts``.
        has_choices: whether ``logprobs`` is accepted.
        has_texts: whether ``texts`` is.
        argument: what must follow the colon, where something must.
        arguments: what may follow, where all of it is known; the bare name then stands for all of them.
        axis_is_yours: whether the axis is for the user to say, in what follows the colon.
        like: the labelled data set whose kind of question it asks, "" for none: what is known of judges there
            (:class:`evenhand.judges.validation.Figure`) is known of them here.
        answer_tokens: room that its longest right answers take; a run that leaves less says so. 0 for nothing special.
        withheld: whether answers may do harm as they are: files leave them out unless they are asked for.
        language: what its items are written in, and who asks is told in.
        translated_by: who put the package's own items into that language; "" where nobody did.
    """

    name: str
    axis: Axis
    summary: str
    judge: str
    licence: str
    source: str
    variants: tuple[str, ...] = ()
    has_choices: bool = False
    has_texts: bool = False
    argument: str = ""
    arguments: tuple[str, ...] = ()
    axis_is_yours: bool = False
    like: str = ""
    answer_tokens: int = 0
    withheld: bool = False
    language: Language = ENGLISH
    translated_by: str = ""

    def __init__(self, variants: Sequence[str] = ()) -> None:
        scored = (*((LOGPROBS,) if self.has_choices else ()), *((TEXTS,) if self.has_texts else ()))
        allowed = (*self.variants, *scored)
        for variant in variants:
            if variant not in allowed:
                raise SpecError(
                    f"The suite '{self.name}' has no variant '{variant}'.",
                    did_you_mean(variant, allowed) or "It has no variants.",
                )
        if {LOGPROBS, TEXTS} <= set(variants):
            raise SpecError(f"The suite '{self.name}' cannot score one choice in two ways.", f"Leave {LOGPROBS} out.")
        self.chosen: tuple[str, ...] = tuple(v for v in allowed if v in variants)

    @property
    def id(self) -> str:
        """The canonical reference: the key under which a study stores its trials."""
        return f"{self.name}:{'+'.join(self.chosen)}" if self.chosen else self.name

    @property
    def scoring(self) -> Scoring:
        return "logprobs" if LOGPROBS in self.chosen or self.by_texts else "generate"

    @property
    def by_texts(self) -> bool:
        """Whether choices are scored as whole texts."""
        return TEXTS in self.chosen

    @abstractmethod
    def load(self, source: DataSource) -> list[Item]:
        """All items.

        Raises:
            DataError: the data is missing or malformed.
        """


@dataclass(frozen=True)
class LoadedSuite:
    """A suite with its items in drawing order, and where they came from."""

    suite: Suite
    items: tuple[Item, ...]
    origin: str


SUITES: Registry[type[Suite]] = Registry("suite", "evenhand.suites", "evenhand.suites", Suite, DataError)


def like_of(reference: str) -> str:
    """The labelled data set whose kind of question a suite asks; "" for none, or an unknown suite.

    Args:
        reference: as a study stores it.
    """
    kind = SUITES.find(reference)
    return kind.like if kind else ""


def is_withheld(reference: str) -> bool:
    """Whether a suite's answers are left out of files unless asked for; False for an unknown suite.

    Args:
        reference: as a study stores it.
    """
    kind = SUITES.find(reference)
    return kind is not None and kind.withheld


def by_logprobs(reference: str) -> bool:
    """Whether a suite's answers are log-probabilities of choices, and no words.

    Args:
        reference: as a study stores it.
    """
    return LOGPROBS in reference.partition(":")[2].split("+")


# A name that stands for several suites, because a suite has one axis.
ALIASES: dict[str, tuple[str, ...]] = {
    "xstest": ("xstest-safe", "xstest-unsafe"),
    "redial": ("redial-algorithm", "redial-logic", "redial-math", "redial-comprehensive"),
    "guardrail": ("guardrail-censored", "guardrail-political"),
    "persistbench": ("persistbench-leakage", "persistbench-sycophancy", "persistbench-use"),
}


def make_suites(references: Iterable[str]) -> list[Suite]:
    """Suites from references, in order, without duplicates.

    Raises:
        SpecError: unknown suite or variant.
    """
    suites: dict[str, Suite] = {}
    for reference in references:
        name, _, variants = reference.strip().partition(":")
        for member in ALIASES.get(name, (name,)):
            kind = SUITES.get(member)
            for chosen in [variants] if variants or not kind.arguments else kind.arguments:
                suite = kind([v for v in chosen.split("+") if v])
                suites[suite.id] = suite
    return list(suites.values())


def load_suite(suite: Suite, source: DataSource) -> LoadedSuite:
    """Load a suite's items in drawing order.

    Raises:
        DataError: no items, an item without a prompt, or two items with one id.
    """
    items = suite.load(source)
    if not items:
        raise DataError(f"The suite '{suite.id}' has no items in {source.origin(suite.name)}.")
    if blank := [i.id for i in items if not i.prompt.strip()]:
        raise DataError(
            f"{source.origin(suite.name)}: the item '{blank[0]}' has no prompt.", "Remove it or fill it in."
        )
    ids = [i.id for i in items]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise DataError(f"{source.origin(suite.name)}: the item '{twice}' appears twice.", "Remove the duplicate.")
    return LoadedSuite(suite, tuple(drawing_order(items)), source.origin(suite.name))


def drawing_order(items: Iterable[Item]) -> list[Item]:
    """Order items so that every prefix is a proportional stratified sample over groups.

    Within a group the order is that of a hash of the id: random with respect to content, and the same for every
    study, so that a smaller ``--limit`` is always a subset of a larger one. Wordings that are to be compared stand
    together, so that a limit cuts at most one question in two.
    """
    groups: defaultdict[str, defaultdict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        groups[item.group][_digest(drawn_as(item))].append(item)
    ranked: list[tuple[float, str, list[Item]]] = []
    for group, drawn in groups.items():
        # The jitter is the same for a whole group, so that small groups do not all enter at the same point.
        jitter = int(_digest(group)[:8], 16) / 0xFFFFFFFF
        ranked += [((rank + jitter) / len(drawn), digest, drawn[digest]) for rank, digest in enumerate(sorted(drawn))]
    ranked.sort(key=lambda entry: entry[:2])
    return [item for _, _, together in ranked for item in together]


def drawn_as(item: Item) -> str:
    """What an item is drawn by, into an order and into a split: its id, or the question whose wording it is."""
    return item.cluster if item.wording and item.cluster else item.id


def distinct(items: Iterable[Item]) -> list[Item]:
    """Keep items that a data set prints more than once, under ids of their own ("...-2")."""
    seen: defaultdict[str, int] = defaultdict(int)
    kept = []
    for item in items:
        seen[item.id] += 1
        kept.append(replace(item, id=f"{item.id}-{seen[item.id]}") if seen[item.id] > 1 else item)
    return kept


def content_id(*parts: str) -> str:
    """A stable id for data that has none of its own: 12 hex digits of its text's hash, white space ignored."""
    return _digest("\x1f".join(" ".join(p.split()) for p in parts))[:12]


def bringing(suite: str, facts: Sequence[Fact]) -> Person:
    """The person whom an item brings, under a name that tells records apart; alike for items with the same facts."""
    return Person(f"{suite}-{content_id(*(fact.text for fact in facts))}", tuple(facts))


def mixed(options: Iterable[str], salt: str) -> list[str]:
    """Options in an order that tells nothing, the same on every machine and another one for each salt."""
    return sorted(options, key=lambda text: _digest(f"{salt}\x1f{text}"))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
