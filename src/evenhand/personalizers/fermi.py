"""FERMI: instructions for one user, improved from the answers that missed the user's opinions (arXiv 2406.18678).

An instruction is scored by how many of the user's known opinions the model predicts with it. The model itself then
reads what was tried and what was missed, and writes others. Where the paper's reimplementation goes wrong this differs:
every instruction that is kept has been scored, ties go to the better one, and a third of the opinions is never shown to
the writer. The record stays in front of every instruction, so that ``profile`` is the same without one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from evenhand.errors import SpecError
from evenhand.fences import between
from evenhand.models import Model
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory, PersonPersonalizer
from evenhand.personalizers.record import facts_of, matching, told
from evenhand.personalizers.relevance import SCORING, sums
from evenhand.suites.base import LOGPROBS
from evenhand.suites.formats import LETTER_PREFILL, LETTERS, TEXTS, multiple_choice, weighed_opinion
from evenhand.types import Decoding, Identity, Item, Message, Opinion, Request, User

# With 8 known opinions at most 89 calls a user; the paper's 10 rounds of 4 would be 330.
_ROUNDS = 3
_WRITTEN = 3
_KEPT = 5
_SIMILAR = 3
_LONGEST = 800
_HEADING = "# How to answer this user"
_ANSWERING = Decoding(temperature=0.0, max_tokens=40)
_WRITING = Decoding(temperature=1.0, max_tokens=200)
# A letter that stands alone: "A" may be an article, too.
_LETTER = re.compile(r"\W*(?:the (?:correct )?answer is\W*)?([A-Z])(?:[).:,]|\s*$|\s*\n)", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One that was tried.

    Attributes:
        text: what the model is told besides the record; "" for the record alone.
        answers: the option predicted for each known opinion; None where the answer named none.
        right: whether that is the user's.
    """

    text: str
    answers: tuple[str | None, ...]
    right: tuple[bool, ...]

    def score(self, among: Sequence[int] | None = None) -> float:
        """Share of opinions predicted, in [0, 1], of all or of those numbered."""
        return fmean(self.right if among is None else [self.right[n] for n in among])


@PERSONALIZERS.register("fermi")
class Fermi(PersonPersonalizer):
    """The record, and the instruction that did best on the opinions most like the question.

    Args:
        scoring: ``logprobs`` to read the model's choices from the log-probabilities of letters, ``texts`` from those of
            the options themselves; else it writes them.

    Raises:
        SpecError: another scoring.
    """

    name = "fermi"
    summary = "all facts, and an instruction improved on the opinions that the model got wrong"
    states = False
    card = Card("user", "static attributes, facts, opinions", "prompt.refinement", "store and prompt")
    learns = True
    argument = f"[{LOGPROBS}|{TEXTS}]"
    needs_people = True

    def __init__(self, scoring: str = "") -> None:
        if scoring not in ("", LOGPROBS, TEXTS):
            ways = f"fermi, fermi:{LOGPROBS} or fermi:{TEXTS}"
            raise SpecError(f"'fermi:{scoring}' is no way to read a choice.", f"Write {ways}.")
        self.scoring = scoring

    async def fit(self, user: User, model: Model) -> Memory:
        person = user.person
        if person is None:
            return Memory(user)
        if self.scoring == TEXTS and not model.scores_texts:
            raise SpecError(
                f"'{self.name}' asks how likely texts are, which {model.id} does not say.",
                "Use fermi, or a model in this process (smollm2, hf:).",
            )
        facts = facts_of(person)
        if not person.opinions:
            return Memory(user, {"facts": list(facts)})
        search = _Search(model, user.identity, facts, person.opinions, self.scoring)
        return Memory(user, {"facts": list(facts), **await search.run()})

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        known = memory.content
        best = chosen(known["instructions"], known["questions"], item.question) if known.get("instructions") else ""
        return instructed(memory.user.identity, known.get("facts", ()), best, item.prompt)


def instructed(identity: Identity | None, facts: Sequence[str], text: str, prompt: str) -> tuple[Message, ...]:
    """The conversation with the record and an instruction behind it."""
    system, user = told(identity, facts, prompt)
    return (replace(system, content=f"{system.content}\n\n{_HEADING}\n{text}") if text else system, user)


def chosen(tried: Sequence[dict[str, Any]], questions: Sequence[str], question: str) -> str:
    """Retrieval of prompts: the instruction that was right most often on the opinions most like the question.

    Args:
        tried: instructions as the memory keeps them: ``text``, and ``right`` for each of ``questions``.
        questions: the known opinions'; without one like ``question`` all count.
    """
    places = [questions.index(text) for text in matching(questions, question, _SIMILAR)]

    def standing(instruction: dict[str, Any]) -> tuple[float, float]:
        right = instruction["right"]
        return fmean(right[n] for n in places) if places else 0.0, fmean(right)

    return str(max(tried, key=standing)["text"])


class _Search:
    """The search for one user's instructions.

    Args:
        model: answers, and writes the instructions.
        identity, facts: what every conversation tells.
        opinions: at least one.
        scoring: how choices are read.
    """

    def __init__(
        self, model: Model, identity: Identity | None, facts: Sequence[str], opinions: Sequence[Opinion], scoring: str
    ) -> None:
        self._model, self._identity, self._facts, self._opinions = model, identity, facts, opinions
        self._scoring = scoring
        self._shown = [n for n in range(len(opinions)) if n % 3 < 2]
        self._kept_back = [n for n in range(len(opinions)) if n % 3 == 2]

    async def run(self) -> dict[str, Any]:
        """What the memory keeps: the best instructions and the last ones, and how they did."""
        tried = [await self._try("")]
        last: list[Instruction] = []
        discarded = 0
        for _ in range(_ROUNDS):
            best = sorted(tried, key=self._standing)[-_KEPT:]
            if best[-1].score(self._shown) == 1:
                break  # No answer missed, nothing to learn from.
            written = await asyncio.gather(*(self._write(best) for _ in range(_WRITTEN)))
            new = [text for text in dict.fromkeys(written) if text and text not in {one.text for one in tried}]
            discarded += len(written) - len(new)
            last = list(await asyncio.gather(*map(self._try, new)))
            tried += last
        kept = sorted(tried, key=self._standing)[-_KEPT:]
        kept += [one for one in last if one not in kept]
        return {
            "instructions": [self._plain(one) for one in reversed(kept)],
            "questions": [opinion.question for opinion in self._opinions],
            "discarded": discarded,
        }

    def _standing(self, one: Instruction) -> float:
        return one.score(self._shown)

    def _plain(self, one: Instruction) -> dict[str, Any]:
        plain: dict[str, Any] = {"text": one.text, "right": [int(right) for right in one.right]}
        plain["learned_from"] = round(100 * one.score(self._shown), 1)
        if self._kept_back:
            plain["kept_back"] = round(100 * one.score(self._kept_back), 1)
        return plain | {"unread": one.answers.count(None)}

    async def _try(self, text: str) -> Instruction:
        answers = await asyncio.gather(*(self._predict(text, opinion) for opinion in self._opinions))
        right = [answer == opinion.answer for answer, opinion in zip(answers, self._opinions, strict=True)]
        return Instruction(text, tuple(answers), tuple(right))

    async def _predict(self, text: str, opinion: Opinion) -> str | None:
        if self._scoring == TEXTS:
            return await self._weigh(text, opinion)
        question = multiple_choice(f"Which of these would I choose? {opinion.question}", opinion.options, logprobs=True)
        messages = instructed(self._identity, self._facts, text, question)
        if not self._scoring:
            answered = await self._model.respond(Request(messages, _ANSWERING, 0))
            return option_in(answered.text, opinion.options)
        letters = tuple(LETTERS[: len(opinion.options)])
        answered = await self._model.respond(Request(messages, _ANSWERING, 0, letters, LETTER_PREFILL))
        logprobs = answered.choice_logprobs or ()
        read = [(value, n) for n, value in enumerate(logprobs) if value is not None]
        return opinion.options[max(read)[1]] if read else None

    async def _weigh(self, text: str, opinion: Opinion) -> str | None:
        """The option that is likelier, per token, than the others as the answer."""
        question, begins, texts = weighed_opinion(opinion.question, opinion.options)
        messages = instructed(self._identity, self._facts, text, question)
        asked = Request(messages, SCORING, 0, tuple(texts), prefill=begins, whole=True)
        scored = sums((await self._model.respond(asked)).per_token)
        return opinion.options[scored.index(max(scored))]

    async def _write(self, best: Sequence[Instruction]) -> str:
        """A new instruction; "" where the model wrote none."""
        asked = Message("user", self._request(best))
        written = (await self._model.respond(Request((asked,), _WRITING, 0))).text
        return between("instruction", written)[:_LONGEST]

    def _request(self, best: Sequence[Instruction]) -> str:
        """What was tried, from worst to best, and what it missed: the worst in full, of the others what they share."""
        missed = [set(self._missed(one)) for one in best]
        parts = [
            "You write the instruction for an assistant that must answer as one user would. Here is what was tried "
            "so far, from worst to best, and which of the user's choices the assistant got wrong.",
            "What is known of the user:\n" + ("\n".join(f"- {fact}" for fact in self._facts) or "- nothing"),
        ]
        for n, one in enumerate(best):
            right = len(self._shown) - len(missed[n])
            heading = f"Instruction {n + 1} ({right} of {len(self._shown)} right): {one.text or '(none)'}"
            parts.append(f"{heading}\n{self._in_full(one) if n == 0 else _shared(missed[0], missed[n])}")
        parts.append(
            "Find what the wrong choices have in common. Then write a new instruction, unlike all above, with which "
            "more choices would be right: two or three sentences to the assistant about what this user likes and "
            "thinks. Write it between <instruction> and </instruction>, and nothing else."
        )
        return "\n\n".join(parts)

    def _missed(self, one: Instruction) -> list[int]:
        return [n for n in self._shown if not one.right[n]]

    def _in_full(self, one: Instruction) -> str:
        lines = []
        for n in self._missed(one):
            opinion = self._opinions[n]
            said = one.answers[n] or "none of them"
            lines.append(f"Q{n + 1}: {opinion.question} The user: {opinion.answer}. The assistant: {said}.")
        return "\n".join(lines)


def option_in(text: str, options: Sequence[str]) -> str | None:
    """The option that an answer names by its letter, or by its words where it has only one option's; else None."""
    if (letter := _LETTER.match(text)) and (n := LETTERS.index(letter[1].upper())) < len(options):
        return options[n]
    named = [option for option in options if option.lower() in text.lower()]
    return named[0] if len(named) == 1 else None


def _shared(worst: set[int], missed: set[int]) -> str:
    shared = ", ".join(f"Q{n + 1}" for n in sorted(worst & missed)) or "none of these"
    return f"Wrong as well: {shared}. Others wrong: {len(missed - worst)}."
