"""What a personalizer is, and how a reference to one is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import orjson

from evenhand.errors import SpecError
from evenhand.identities import ENGLISH, Language
from evenhand.models import Model
from evenhand.registry import Registry
from evenhand.types import Identity, Item, Message, Request, Response, User

BASE_SYSTEM = ENGLISH.system
_SWAP = "swap:"


@dataclass(frozen=True)
class Card:
    """What a personalizer takes and does, in the words of the survey (arXiv 2411.00027) and some of ours.

    Attributes:
        granularity: whom it tells apart: groups who share an identity ("persona"), or each "user".
        user_data: what it is made from ("static attributes", "dialogue", "pairwise preferences", ...).
        technique: the survey's family ("prompt.persona", "rag.sparse", ...).
        surface: what it changes: "prompt", "store and prompt", "selection" among answers, or "weights".
        needs_training, needs_weights: whether it trains something; whether it needs the model's own weights.
        readable: whether a human can read what it keeps.
        reversible: whether what it keeps of somebody can be taken back.
    """

    granularity: Literal["persona", "user"] = "persona"
    user_data: str = "static attributes"
    technique: str = "prompt.persona"
    surface: Literal["prompt", "store and prompt", "selection", "weights"] = "prompt"
    needs_training: bool = False
    needs_weights: bool = False
    readable: bool = True
    reversible: bool = True


class Personalizer(ABC):
    """Builds the conversation that tells, or lets the model infer, who the user is.

    Attributes:
        name: how a study refers to it.
        summary: one line for ``evenhand list personalizers``.
        states: whether the identity is stated outright (else it is implied).
        card: what it takes and does.
        argument: what stands behind the colon of its reference, in brackets when it may be left out; a personalizer
            with an argument is made from it.
        needs_people: whether it does nothing that others do not do where a study has no people.
        translated: whether it tells an identity in a suite's language (:meth:`messages_in`, or ``recall_in``); one that
            does not is refused where a suite has another language than English.
    """

    name: str
    summary: str
    states: bool = True
    card: ClassVar[Card] = Card()
    argument: ClassVar[str] = ""
    needs_people: ClassVar[bool] = False
    translated: ClassVar[bool] = False

    def supports(self, identity: Identity) -> bool:
        """Whether this personalizer can convey ``identity``; unsupported trials are not planned, and are counted."""
        return True

    @abstractmethod
    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        """The conversation for one identity and one user message."""

    def messages_in(self, language: Language, identity: Identity, prompt: str) -> tuple[Message, ...]:
        """The conversation in a language; for those that are ``translated``.

        Raises:
            SpecError: it has no phrase for the identity.
        """
        return self.messages(identity, prompt)


@dataclass(frozen=True)
class Memory:
    """What a personalizer keeps of a user.

    Attributes:
        user: whose it is. One that learned its memory has the identity alone: the record is in ``content``, or it is
            forgotten. The identity can be swapped in a finished memory.
        content: what was learned; plain data that JSON can hold, kept in the study's store.
    """

    user: User
    content: Mapping[str, Any] = field(default_factory=dict)

    def of(self, identity: Identity | None) -> Memory:
        """The same memory of a user of another identity."""
        return replace(self, user=replace(self.user, identity=identity))


class PersonPersonalizer(Personalizer):
    """A personalizer that knows the person behind the identity, and what the item brings.

    One that only shows the record overrides :meth:`recall`. One that learns from it sets ``learns`` and overrides
    :meth:`fit`, whose calls are counted and kept like those of trials; it may ask several times for an answer
    (:meth:`respond`). :meth:`remembered`, :meth:`shown`, :meth:`counts` and :meth:`notes` say what a memory holds where
    it is not simply texts, and how it was learned. A user without a record and an identity gets the conversation of the
    baseline ``plain``, byte for byte.

    Attributes:
        learns: whether :meth:`fit` makes a memory that is kept in the store.
        reads_sessions: whether earlier sessions matter to it, so that it can be asked what it is like after a few.
        sessions: after how many sessions; None for all that there are.
        revision: what identifies what it reads records with, such as an encoder's weights; "" where nothing does. A
            study goes on with no other.
        swaps: whether it learns from the person without an identity, which is put into the finished memory: what then
            differs between identities is how the mechanism reacts to them, not what it learned of them.
    """

    learns: ClassVar[bool] = False
    reads_sessions: ClassVar[bool] = False
    sessions: int | None = None
    revision: str = ""
    swaps: bool = False

    @property
    def kept_as(self) -> str:
        """The reference that its memories are kept under; personalizers that agree in it learn and ask once."""
        return self.name

    async def prepare(self, items: Iterable[Item]) -> None:
        """Told before a run what will be asked, and of whom: what :meth:`recall` would compute one by one can be
        computed here, together.

        Raises:
            ModelError: it cannot be.
        """
        return

    def known(self, user: User) -> User:
        """The user as far as this personalizer may know: nothing held out, and no later session."""
        if user.person is None:
            return user
        person = user.person.known
        return replace(user, person=replace(person, sessions=person.sessions[: self.sessions]))

    async def fit(self, user: User, model: Model) -> Memory:
        """Make the memory of a user, from what may be known of the person.

        Args:
            user: the person without what is held out, with the identity or without one.
            model: answers; each answer is kept at once, so that an interrupted fit goes on with those it has. A fit
                must therefore ask the same again when it gets the same answers.

        Raises:
            CallError: a call failed for good; the fit is tried again by the next run.
        """
        return Memory(user)

    async def attend(self, memory: Memory, item: Item, model: Model) -> Memory:
        """What of a memory matters to an item, where the model has to be asked: what :meth:`recall` is given.

        Called only for one that learns. A call is kept by what it asks: the same one, for another identity, repeat or
        run, is not made again.

        Raises:
            CallError: a call failed for good; the trial has failed.
        """
        return memory

    @abstractmethod
    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        """The conversation about one item, from what is remembered; a pure function."""

    def recall_in(self, language: Language, memory: Memory, item: Item) -> tuple[Message, ...]:
        """The same in a language; for those that are ``translated``. Records are told as they are written.

        Raises:
            SpecError: it has no phrase for the identity.
        """
        return self.recall(memory, item)

    @property
    def asks(self) -> bool:
        """Whether it decides how the model is asked, by a :meth:`respond` of its own."""
        return type(self).respond is not PersonPersonalizer.respond

    async def respond(self, memory: Memory, item: Item, request: Request, model: Model) -> Response:
        """Answer what :meth:`recall` made a request of; for those that learn, and choose among several answers.

        Raises:
            CallError, ModelError: as :meth:`evenhand.models.Model.respond`.
        """
        return await model.respond(request)

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return self.recall(Memory(User(identity=identity)), Item("", prompt, "", prompt))

    def remembered(self, content: Mapping[str, Any]) -> Sequence[str]:
        """What a memory says of the user, a text each: what an audit of it reads. All its texts, unless overridden."""
        return tuple(texts_in(content))

    def shown(self, content: Mapping[str, Any]) -> Sequence[str]:
        """A memory for people, line by line: its texts, JSON for anything else, unless overridden."""
        return lines_of(content)

    def counts(self, content: Mapping[str, Any]) -> Mapping[str, int]:
        """What happened while a memory was learned, and how often; nothing, unless overridden."""
        return {}

    def notes(self, contents: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """What a reader of a study's numbers must know of all the memories in it; nothing, unless overridden."""
        return ()


PERSONALIZERS: Registry[type[Personalizer]] = Registry(
    "personalizer", "evenhand.personalizers", "evenhand.personalizers", Personalizer
)


def make_personalizer(reference: str) -> Personalizer:
    """A personalizer from its name, with an argument behind a colon where it takes one, or a custom template.

    A reference that contains braces is a template for the system message ("You serve {identity}."). ``NAME@3`` is the
    personalizer as it is after three sessions with the person; ``swap:NAME`` learns without the identity, which is put
    into the finished memory.

    Raises:
        SpecError: unknown name, an argument that is missing or one too many, a template without ``{identity}``, or a
            number of sessions where they do not matter, or a swap where nothing is learned.
    """
    if "{" in reference or "}" in reference or reference.startswith("template:"):
        from evenhand.personalizers.template import SystemTemplate

        return SystemTemplate(reference.removeprefix("template:"))
    if " " in reference.partition(":")[0]:  # a file behind the colon may be called as it likes
        raise SpecError(
            f"The personalizer template '{reference}' does not contain {{identity}}.",
            "Put {identity} where the identity belongs.",
        )
    if reference.startswith(_SWAP):
        return _swapping(reference)
    whole, after, sessions = reference.partition("@")
    name, _, argument = whole.partition(":")
    member = PERSONALIZERS.get(name)
    if argument and not member.argument:
        raise SpecError(f"The personalizer '{name}' takes no argument, but '{argument}' was given.")
    if not argument and member.argument and not member.argument.startswith("["):
        raise SpecError(f"The personalizer '{name}' needs an argument.", f"Write {name}:{member.argument}.")
    made = member(argument) if argument else member()  # type: ignore[call-arg]
    made.name = reference
    if after:
        if not isinstance(made, PersonPersonalizer) or not made.reads_sessions or not sessions.isdigit():
            raise SpecError(
                f"'{reference}' is no personalizer after a number of sessions.", f"Write {whole}, or dialogue@3."
            )
        made.sessions = int(sessions)
    return made


def learner_of(reference: str) -> PersonPersonalizer | None:
    """The personalizer that made a study's memories; None where it is not installed any more."""
    try:
        made = make_personalizer(reference)
    except SpecError:
        return None
    return made if isinstance(made, PersonPersonalizer) else None


def _swapping(reference: str) -> Personalizer:
    made = make_personalizer(reference.removeprefix(_SWAP))
    if not isinstance(made, PersonPersonalizer) or not made.learns:
        raise SpecError(f"The personalizer '{made.name}' learns nothing that an identity could be put into.")
    made.name, made.swaps = reference, True
    return made


def texts_in(value: Any) -> Iterator[str]:
    """All texts in plain data, without the names of its fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for held in value.values():
            yield from texts_in(held)
    elif isinstance(value, list | tuple):
        for held in value:
            yield from texts_in(held)


def lines_of(content: Mapping[str, Any]) -> list[str]:
    """Plain data for people: one line for each text of a list, JSON for anything else."""
    lines = []
    for name, value in content.items():
        texts = isinstance(value, list) and all(isinstance(text, str) for text in value)
        lines += [f"{name}: {text}" for text in value] if texts else [f"{name}: {orjson.dumps(value).decode()}"]
    return lines


def baseline_messages(baseline: Identity, prompt: str, system: str = BASE_SYSTEM) -> tuple[Message, ...]:
    """The conversation without any identity: ``bare`` has no system message, ``plain`` has ``system``."""
    user = Message("user", prompt)
    return (user,) if baseline.name == "bare" else (Message("system", system), user)
