"""The nouns every layer shares. Plain frozen dataclasses: cheap to make by the hundred thousand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evenhand.reasoning import split_reasoning

if TYPE_CHECKING:  # arrays, which the nouns do without
    from evenhand.interventions import Intervention

Axis = Literal["safety", "utility", "fit"]
Role = Literal["system", "user", "assistant"]
Scoring = Literal["generate", "logprobs"]

AXES: tuple[Axis, ...] = ("safety", "utility", "fit")
# The axes of the paper's joint bias, on which every study is looked at; others appear where they were run.
JOINT: tuple[Axis, Axis] = ("safety", "utility")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str

    def to_dict(self) -> dict[str, str]:
        """As chat APIs and templates take it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the user is said to be.

    Attributes:
        name: the phrase that completes "I am ..." ("a senior citizen"); the identity's id everywhere.
        category: its category ("age"), "intersection", "custom", or "baseline".
        cue: a sentence in the first person that implies the identity without stating it, or "".
        first_name: a first name that suggests the identity, or "".
        parts: the identities an intersection is made of.
        bios: texts in which people of this identity introduce themselves; each question draws one.
    """

    name: str
    category: str
    cue: str = ""
    first_name: str = ""
    parts: tuple[Identity, ...] = ()
    bios: tuple[str, ...] = ()

    @property
    def is_baseline(self) -> bool:
        return self.category == BASELINE_CATEGORY


BASELINE_CATEGORY = "baseline"
# Labels of answers that a judge cannot read: "in Spanish", and what no one can.
IN_LANGUAGE = "in "
GARBLED = "garbled"
# And of one that a judge would have read for too long.
TOO_SLOW = "too-slow"
# The baseline of people without an identity; all others are nobody in particular.
PERSON_BASELINE = "person"
# The wording of a question that its other wordings (a dialect) are set against.
STANDARD = "standard"
# The wording in which the user pushes against what the provider wants: its score is how often the provider wins.
PRESSED = "pressed"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that an assistant may know of a person.

    Attributes:
        text: a sentence without its subject ("Keeps two rescue greyhounds.").
        topic: what it is about ("home"); facts of different people on one topic can be told apart.
        sensitive: whether the person would not want it shown where it does not help.
    """

    text: str
    topic: str = ""
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """An earlier conversation.

    Attributes:
        messages: its turns, the person's and the assistant's.
        feedback: what the person said of the answers at its end, or "".
    """

    messages: tuple[Message, ...]
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a person answers to a question with options; ``held_out`` from what personalizers may learn from."""

    question: str
    options: tuple[str, ...]
    answer: str
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Which of two answers a person likes better; ``held_out`` from what personalizers may learn from."""

    prompt: str
    chosen: str
    rejected: str
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Everything an assistant may know of one human apart from the identity.

    Attributes:
        name: how studies refer to the person; no model is ever told it.
        facts, sessions, opinions, preferences: the record.
    """

    name: str
    facts: tuple[Fact, ...] = ()
    sessions: tuple[Session, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    preferences: tuple[PreferencePair, ...] = ()

    @property
    def known(self) -> Person:
        """The person without what is held out: all that a personalizer may see."""
        return replace(
            self,
            opinions=tuple(o for o in self.opinions if not o.held_out),
            preferences=tuple(p for p in self.preferences if not p.held_out),
        )


@dataclass(frozen=True, slots=True)
class User:
    """A person with an identity; either may be absent.

    Crossing them gives counterfactual users: the same person, only the identity differs.
    """

    person: Person | None = None
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a suite.

    Attributes:
        id: stable across versions and machines, so that studies on different days pair up.
        prompt: the user message, in the suite's format.
        group: what the suite groups items by (harm type, subject, task).
        question: the bare question, without the format, for judges and reports.
        target: the reference answer, or None where there is none.
        choices: labels of the answer choices ("A", "B", ...), empty for free answers.
        extra: what a judge needs beyond that (asserts, set-up code, option texts).
        cluster: what it shares with other items, such as the question behind paraphrases; "" for the item itself.
        person: the person whose item it is (a held-out opinion) or whom it brings with it; None where anybody may ask.
        wording: which wording of its cluster's question it is, :data:`STANDARD` or another ("AAVE"); "" where wordings
            are not to be compared.
    """

    id: str
    prompt: str
    group: str
    question: str
    target: str | None = None
    choices: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    cluster: str = ""
    person: Person | None = None
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How text is sampled. ``top_k=0`` and ``top_p=1`` mean no cut; temperature 0 is greedy.

    ``max_tokens`` holds for thoughts and answer together; ``reasoning_effort`` None leaves thinking to the model.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_tokens: int = 300
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None

    def cuts(self) -> dict[str, float]:
        """``top_p`` and ``top_k``, where they cut anything."""
        set_to: dict[str, float] = {"top_p": self.top_p} if self.top_p < 1 else {}
        return set_to | ({"top_k": self.top_k} if self.top_k > 0 else {})


@dataclass(frozen=True, slots=True)
class Request:
    """One model call.

    Attributes:
        messages: the conversation.
        decoding: sampling settings.
        seed: this trial's own seed (unsigned 31 bit).
        choices: when not empty, score these one-token answers by log-probability instead of generating.
        whole: the choices are texts, scored by all their tokens; for models with ``scores_texts``.
        prefill: text that the assistant's turn starts with when choices are scored (local models).
        against, against_weight: a second conversation whose next-token logits are blended in with this weight
            (contrastive decoding, local models).
        against_tokens: for how many tokens of the answer, from the first; 0 for all.
        interventions: what is done to the model's activations for this request alone, one after the other, with the
            second conversation, too (local models through transformers).
    """

    messages: tuple[Message, ...]
    decoding: Decoding
    seed: int
    choices: tuple[str, ...] = ()
    prefill: str = ""
    against: tuple[Message, ...] = ()
    against_weight: float = 0.0
    against_tokens: int = 0
    whole: bool = False
    interventions: tuple[Intervention, ...] = ()


def whole_characters(text: str) -> str:
    """``text`` with a mark in place of half a character (a lone surrogate), which can be neither stored nor sent."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered.

    Thoughts are taken out of ``text`` here, where every answer enters, so that nobody takes them for the answer.

    Attributes:
        text: the answer ("" when choices were scored, or nothing but thoughts came), in whole characters.
        finish_reason: "stop", "length", "content_filter" (the provider or the model's own channel for it declined), or
            the server's own word.
        prompt_tokens, completion_tokens: counts, None where the server does not tell; thoughts are completion tokens.
        latency_s: seconds from sending to receiving, retries included; of a batch that is computed here, its share.
        choice_logprobs: natural log-probability per choice, None where it could not be read.
        choice_tokens: tokens that a choice was scored by, where it was scored as a whole.
        model: the model name and revision the server reported.
        calls: model calls it took; more than one with some mitigations.
        reasoning: the model's thoughts, "" without any.
        reasoning_tokens: how many completion tokens were thoughts, None where the server does not tell.
        cached_tokens: how many prompt tokens came from the provider's cache, None where it does not tell.
        filtered: with "content_filter", the provider's category ("violence"), or "" where it names none.
    """

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_s: float = 0.0
    choice_logprobs: tuple[float | None, ...] | None = None
    model: str = ""
    calls: int = 1
    reasoning: str = ""
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    filtered: str = ""
    choice_tokens: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        split = split_reasoning(self.text, finished=self.finish_reason != "length")
        if split.answer is not self.text or not self.text.isascii():
            object.__setattr__(self, "text", whole_characters(split.answer))
        if split.reasoning or not self.reasoning.isascii():
            apart = "\n\n".join(part for part in (self.reasoning, split.reasoning) if part)
            object.__setattr__(self, "reasoning", whole_characters(apart))

    @property
    def per_token(self) -> Response:
        """The same with whole choices scored by the mean over their tokens: long ones are not unlikely for it."""
        if self.choice_logprobs is None or self.choice_tokens is None:
            return self
        pairs = zip(self.choice_logprobs, self.choice_tokens, strict=True)
        return replace(self, choice_logprobs=tuple(None if lp is None else lp / max(1, n) for lp, n in pairs))

    @property
    def is_cut(self) -> bool:
        """Whether the token limit left no answer."""
        return self.finish_reason == "length" and not self.text.strip() and self.choice_logprobs is None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's decision about one response.

    Attributes:
        score: in [0, 1], 1 is good on the suite's axis; None when nobody can judge the response (missing, never 0).
        label: a short class ("refusal", "correct", "no-answer").
        reason: why, in a few words.
        further: names and values, in [0, 1] or missing, of what else the judge scores.
    """

    score: float | None
    label: str
    reason: str = ""
    further: tuple[tuple[str, float | None], ...] = ()


class ScoreRow(NamedTuple):
    """One response with its score: what a store gives and every analysis begins with.

    Attributes:
        suite, axis, group, item: the question.
        personalizer, identity, category, repeat: who asked it, how that was conveyed, and which time.
        score: in [0, 1]; None when it is missing, never 0 for that.
        label: the judge's class, "unjudged", or "failed" where the call failed for good.
        finish_reason: how the answer ended; the error of a failed call.
        human: people's score in [0, 1]; None where nobody labelled the response.
        cluster: what the item shares with others, such as the question behind paraphrases; "" for the item itself.
        wording: which wording of its cluster's question the item is; "" where wordings are not compared.
        way: how the identity was told on this item, where its personalizer has several ways and drew one of them.
    """

    suite: str
    axis: Axis
    group: str
    item: str
    personalizer: str
    identity: str
    category: str
    repeat: int
    score: float | None
    label: str
    finish_reason: str
    human: float | None = None
    cluster: str = ""
    wording: str = ""
    way: str = ""

    @property
    def cell(self) -> tuple[str, str, str, int]:
        """Where the response stands within its suite."""
        return (self.item, self.personalizer, self.identity, self.repeat)

    @property
    def is_baseline(self) -> bool:
        return self.category == BASELINE_CATEGORY
