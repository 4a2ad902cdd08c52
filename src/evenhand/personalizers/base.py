"""What a personalizer is, and how a reference to one is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from evenhand.errors import SpecError
from evenhand.models import Model
from evenhand.registry import Registry
from evenhand.types import Identity, Item, Message, User

BASE_SYSTEM = "You are a helpful assistant."
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
    """

    name: str
    summary: str
    states: bool = True
    card: ClassVar[Card] = Card()
    argument: ClassVar[str] = ""
    needs_people: ClassVar[bool] = False

    def supports(self, identity: Identity) -> bool:
        """Whether this personalizer can convey ``identity``; unsupported trials are not planned, and are counted."""
        return True

    @abstractmethod
    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        """The conversation for one identity and one user message."""


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
    :meth:`fit`, whose calls are counted and kept like those of trials. A user without a record and an identity gets
    the conversation of the baseline ``plain``, byte for byte.

    Attributes:
        learns: whether :meth:`fit` makes a memory that is kept in the store.
        reads_sessions: whether earlier sessions matter to it, so that it can be asked what it is like after a few.
        sessions: after how many sessions; None for all that there are.
        swaps: whether it learns from the person without an identity, which is put into the finished memory: what then
            differs between identities is how the mechanism reacts to them, not what it learned of them.
    """

    learns: ClassVar[bool] = False
    reads_sessions: ClassVar[bool] = False
    sessions: int | None = None
    swaps: bool = False

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

    @abstractmethod
    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        """The conversation about one item, from what is remembered; a pure function."""

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return self.recall(Memory(User(identity=identity)), Item("", prompt, "", prompt))


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


def _swapping(reference: str) -> Personalizer:
    made = make_personalizer(reference.removeprefix(_SWAP))
    if not isinstance(made, PersonPersonalizer) or not made.learns:
        raise SpecError(f"The personalizer '{made.name}' learns nothing that an identity could be put into.")
    made.name, made.swaps = reference, True
    return made


def baseline_messages(baseline: Identity, prompt: str, system: str = "") -> tuple[Message, ...]:
    """The conversation without any identity: ``bare`` has no system message, ``plain`` has ``system``, or the base."""
    user = Message("user", prompt)
    return (user,) if baseline.name == "bare" else (Message("system", system or BASE_SYSTEM), user)
