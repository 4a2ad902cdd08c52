"""What personalizers that read a user's taste from preference pairs have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from evenhand.embeddings import Vectors
from evenhand.errors import ModelError
from evenhand.models import Model
from evenhand.personalizers.base import Memory
from evenhand.personalizers.encoded import Encoded
from evenhand.personalizers.record import facts_of, told
from evenhand.rewards import answer_text, embedded_choices
from evenhand.suites.formats import LETTER_PREFILL
from evenhand.types import Item, Message, Person, PreferencePair, Request, Response, User


class Taste(Encoded):
    """The conversation is that of ``profile``; what the pairs tell is kept as numbers, and used when it is answered.

    Attributes:
        vectors: embeddings of answers with their prompts.
    """

    states = False
    learns = True
    needs_people = True
    vectors: Vectors

    @abstractmethod
    def read(self, chosen: NDArray[np.floating], rejected: NDArray[np.floating]) -> list[float]:
        """What is kept of a user, from the embeddings (n, d) of the answers chosen and of those rejected."""

    async def prepare(self, items: Iterable[Item]) -> None:
        people = {item.person.name: item.person for item in items if item.person}
        pairs = [(pair.prompt, a) for p in people.values() for pair in p.known.preferences for a in _answers(pair)]
        await self.vectors.add(answer_text(prompt, answer) for prompt, answer in pairs)

    async def fit(self, user: User, model: Model) -> Memory:
        person = user.person
        if person is None or person == Person(person.name):
            return Memory(user)
        content: dict[str, Any] = {"facts": list(facts_of(person)), "pairs": len(person.preferences)}
        if person.preferences:
            choices = await embedded_choices(person, self.vectors)
            content["taste"] = [round(value, 5) for value in self.read(choices.chosen, choices.rejected)]
        return Memory(user, content)

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        return told(memory.user.identity, memory.content.get("facts", ()), item.prompt)

    def shown(self, content: Mapping[str, Any]) -> Sequence[str]:
        facts = [f"facts: {fact}" for fact in content.get("facts", ())]
        taste = content.get("taste", ())
        return [*facts, f"taste: {len(taste)} numbers, from {content['pairs']} pairs"] if taste else facts


def chosen_by(rewards: NDArray[np.floating], item: Item, request: Request, cost: Response) -> Response:
    """What is answered where rewards choose among the answers that an item offers.

    Args:
        rewards: (n,), of the item's options.
        item, request: of the trial.
        cost: what finding the rewards took.
    """
    if request.choices:
        logprobs = tuple(float(value) for value in log_softmax(rewards))
        return replace(cost, text="", choice_logprobs=logprobs, choice_tokens=None)
    letter = item.choices[int(np.argmax(rewards))]
    return replace(cost, text=f"{LETTER_PREFILL}{letter}).", choice_logprobs=None, choice_tokens=None)


def same_encoder(what: str, command: str, learned: str, vectors: Vectors) -> None:
    """Refuse to read users with other weights of an encoder than something was learned with.

    Args:
        what: was learned, to begin the message with.
        command: learns it anew.
        learned: the revision of the encoder then.
        vectors: by the encoder as it is.

    Raises:
        ModelError: the revisions differ.
    """
    now = vectors.encoder.revision
    if now and learned != now:
        raise ModelError(
            f"{what} was learned with revision {learned or 'unknown'} of the encoder {vectors.encoder.name}, which is "
            f"now {now}.",
            f"Learn it anew: {command}.",
        )


def _answers(pair: PreferencePair) -> tuple[str, str]:
    return pair.chosen, pair.rejected
