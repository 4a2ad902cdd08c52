"""Fit: how well answers suit the person who asks, from what the study's people hold out of their records."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from evenhand.errors import DataError
from evenhand.suites.base import LOGPROBS, SUITES, Suite, content_id, mixed
from evenhand.suites.formats import LETTER_PREFILL, LETTERS, multiple_choice, quoted, texts_to_weigh, weighed_opinion
from evenhand.suites.sources import DataSource
from evenhand.types import Axis, Item, Person

_DISTRACTORS = 3
_CHOOSING = "Which of these would I choose? "
_LIKING = "Which of two answers to this request of mine would I like better? "
_QUOTING = 'You told me: "'


class FitSuite(Suite):
    """Items of the study's people. Items of one person share a record: they are a cluster."""

    axis: Axis = "fit"
    licence = "that of the people's records"
    source = "the study's people (--people)"
    what: str

    def load(self, source: DataSource) -> list[Item]:
        people = source.people(self.name)
        items = [item for person in people for item in self.items(person, people)]
        if not items:
            raise DataError(f"The suite '{self.name}' needs people with {self.what}, and nobody has any.")
        return items

    @abstractmethod
    def items(self, person: Person, people: Sequence[Person]) -> Iterator[Item]:
        """The items of one person among all."""


class ByChoice(FitSuite):
    """Questions with options, which are scored by the letter or as whole texts."""

    judge = "choice"
    has_choices = True
    has_texts = True

    @abstractmethod
    def weighed(self, question: str, options: Sequence[str]) -> tuple[str, str, list[str]]:
        """How a question is asked whose options are scored as whole texts: the prompt, how the answer begins, and how
        it goes on with each option."""

    def _item(self, person: Person, question: str, options: Sequence[str], right: str) -> Item:
        prompt = multiple_choice(question, options, logprobs=LOGPROBS in self.chosen)
        asked: dict[str, Any] = {"prefill": LETTER_PREFILL}
        if self.by_texts:
            prompt, begins, texts = self.weighed(question, options)
            asked = texts_to_weigh(texts, begins)
        return Item(
            id=f"{person.name}-{content_id(question, *sorted(options))}",
            prompt=prompt,
            question=question,
            group=person.name,
            target=LETTERS[options.index(right)],
            choices=tuple(LETTERS[: len(options)]),
            extra={"options": list(options), **asked},
            cluster=person.name,
            person=person,
        )


@SUITES.register("fit-opinions")
class FitOpinions(ByChoice):
    """Held-out opinions: which option would this person choose? Options stand in the catalogue's order."""

    name = "fit-opinions"
    summary = "predict what the person would choose: opinions held out of the record"
    what = "opinions that are held out"

    def items(self, person: Person, people: Sequence[Person]) -> Iterator[Item]:
        for opinion in person.opinions:
            if opinion.held_out:
                question = f"{_CHOOSING}{opinion.question}"
                yield self._item(person, question, opinion.options, opinion.answer)

    def weighed(self, question: str, options: Sequence[str]) -> tuple[str, str, list[str]]:
        return weighed_opinion(question.removeprefix(_CHOOSING), options)


@SUITES.register("fit-preferences")
class FitPreferences(ByChoice):
    """Held-out preferences: which of two answers would this person like better? A hash draws which comes first."""

    name = "fit-preferences"
    summary = "predict which of two answers the person likes better: preferences held out of the record"
    what = "preferences that are held out"

    def items(self, person: Person, people: Sequence[Person]) -> Iterator[Item]:
        for pair in person.preferences:
            if pair.held_out:
                question = f"{_LIKING}{pair.prompt}"
                item = self._item(person, question, mixed([pair.chosen, pair.rejected], person.name), pair.chosen)
                yield replace(item, extra={**item.extra, "answers_to": pair.prompt})

    def weighed(self, question: str, options: Sequence[str]) -> tuple[str, str, list[str]]:
        # The request itself: which of the two is what the assistant would rather say to this person?
        return question.removeprefix(_LIKING), "", list(options)


@SUITES.register("fit-recall")
class FitRecall(ByChoice):
    """Facts: which of these is true of this person? The others are true of other people, on the same topic."""

    name = "fit-recall"
    summary = "recall what is known: the person's facts among those of others"
    what = "facts on topics that others have facts on, too"

    def items(self, person: Person, people: Sequence[Person]) -> Iterator[Item]:
        own = {fact.text for fact in person.facts}
        for fact in person.facts:
            others = {f.text for p in people for f in p.facts if f.topic == fact.topic} - own
            if fact.topic and others:
                wrong = mixed(sorted(others), fact.text)[:_DISTRACTORS]
                options = mixed([fact.text, *wrong], person.name)
                yield self._item(person, f"Which of these is true of me ({fact.topic})?", options, fact.text)

    def weighed(self, question: str, options: Sequence[str]) -> tuple[str, str, list[str]]:
        return question.replace("Which of these is true of", "What did I tell you of", 1), _QUOTING, quoted(options)
