"""People's choices as embeddings, and a reward learned from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import DataError
from evenhand.rewards.logistic import LogisticReward
from evenhand.rewards.np_btl import NeuralReward, Shape, train
from evenhand.rewards.reader import Choices, part, share_right
from evenhand.types import Person

# Every fourth person is kept apart.
_APART = 4
CONTEXTS = (0, 1, 3, 5, 10)


@dataclass(frozen=True)
class Standing:
    """How well choices are predicted of people whom the reward has not seen.

    Attributes:
        context: how many of a person's choices it was told.
        people: of how many people others are left to predict.
        neural: share of these predicted by the reward learned from many users, in [0, 1], every person alike.
        logistic: by a fit to this person's choices alone.
        error: the standard error of ``neural - logistic`` over people; None for fewer than two.
    """

    context: int
    people: int
    neural: float
    logistic: float
    error: float | None

    @property
    def beats(self) -> bool:
        """Whether the reward is better by more than two standard errors, with at least one choice told."""
        return self.context > 0 and self.error is not None and self.neural - self.logistic > 2 * self.error


def answer_text(prompt: str, answer: str) -> str:
    """What is embedded for an answer."""
    return f"{prompt.strip()}\n\n{answer.strip()}"


async def embedded_choices(person: Person, vectors: Vectors) -> Choices:
    """The person's preference pairs as embeddings.

    Raises:
        ModelError: the encoder cannot be used.
    """
    chosen = [answer_text(pair.prompt, pair.chosen) for pair in person.preferences]
    rejected = [answer_text(pair.prompt, pair.rejected) for pair in person.preferences]
    await vectors.add([*chosen, *rejected])
    return Choices(vectors.of(chosen), vectors.of(rejected))


async def kept_apart(people: Sequence[Person], vectors: Vectors) -> list[Choices]:
    """The choices of those people from whom :func:`learned_reward` does not learn.

    Raises:
        ModelError: the encoder cannot be used.
    """
    return [await embedded_choices(person, vectors) for person in parted(people)[0]]


def parted(people: Sequence[Person]) -> tuple[list[Person], list[Person]]:
    """Who is kept apart to measure with, every fourth, and who is learned from, without what is held out of theirs.

    People with fewer than two preference pairs that are not held out are in neither.
    """
    able = [person for person in people if len(person.known.preferences) > 1]
    return able[::_APART], [person.known for n, person in enumerate(able) if n % _APART]


def enough(what: str, people: Sequence[Person]) -> None:
    """Whether something can be learned from people's choices, and measured.

    Raises:
        DataError: fewer than eight people have two choices.
    """
    able = sum(map(len, parted(people)))
    if able < 2 * _APART:
        raise DataError(
            f"{what} needs at least {2 * _APART} people with two preference pairs each, and there are {able}.",
            "Add people who have preferences.",
        )


async def learned_reward(
    people: Sequence[Person],
    encoder: str,
    *,
    steps: int = 400,
    seed: int = 0,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> tuple[NeuralReward, list[Standing]]:
    """Learn a reward from three quarters of the people, and measure it on the others.

    Args:
        people: nothing that is held out of those it is learned from is used, so that a study may ask them for it.
        encoder: what embeds answers.
        steps, seed, tell: of the training.

    Raises:
        DataError: fewer than eight people have two choices.
        SpecError, ModelError: the encoder cannot be used.
    """
    enough("A reward", people)
    vectors = Vectors(make_encoder(encoder))
    apart = await kept_apart(people, vectors)
    seen = [await embedded_choices(person, vectors) for person in parted(people)[1]]
    shape = Shape(seen[0].chosen.shape[1], encoder=encoder, revision=vectors.encoder.revision)
    reward = train(seen, shape, steps=steps, learning_rate=3e-4, seed=seed, tell=tell)
    return reward, [standing for context in CONTEXTS if (standing := _standing(reward, apart, context, seed))]


def _standing(reward: NeuralReward, people: Sequence[Choices], context: int, seed: int) -> Standing | None:
    rng = np.random.default_rng(seed)
    able = [person for person in people if len(person) > context]
    rows = [_predicted(reward, person, rng.permutation(len(person)), context) for person in able]
    if not rows:
        return None
    neural, logistic = np.array(rows).T
    error = float(np.std(neural - logistic, ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else None
    return Standing(context, len(rows), float(neural.mean()), float(logistic.mean()), error)


def _predicted(reward: NeuralReward, person: Choices, order: NDArray[np.integer], context: int) -> tuple[float, float]:
    told, unseen = part(person, order[:context]), part(person, order[context:])
    alone = LogisticReward.fit(told.chosen, told.rejected)
    by_alone = share_right(alone.rewards(unseen.chosen), alone.rewards(unseen.rejected))
    return reward.predicted(told, unseen), by_alone
