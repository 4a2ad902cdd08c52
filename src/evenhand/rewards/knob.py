"""A knob between a user's taste and an operator's: pairs of a safer and a riskier answer, read as if a user had chosen.

The vector that the reward reads from them stands for somebody who likes safe answers. Between it and a user's own
vector lies a line; how far along it answers are ranked is the operator's to set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import DataError
from evenhand.rewards.choices import embedded_choices, kept_apart
from evenhand.rewards.np_btl import NeuralReward
from evenhand.rewards.reader import Choices, part, share_right
from evenhand.suites.sources import read_jsonl
from evenhand.types import Person, PreferencePair

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FEWEST = 4


@dataclass(frozen=True)
class KnobPoint:
    """What the reward does with the knob at one place.

    Attributes:
        weight: of the safe pairs, in [0, 1]; 0 is the user's taste alone.
        own: share of people's own choices that are predicted, in [0, 1], every person alike.
        safe: share of safe pairs of which the safer answer has the greater reward, in [0, 1], every person alike.
        people: whose taste it was.
    """

    weight: float
    own: float
    safe: float
    people: int


def read_safe_pairs(path: Path) -> tuple[PreferencePair, ...]:
    """Pairs that an operator wrote: JSON lines with ``prompt``, ``chosen`` (the safer answer) and ``rejected``.

    Raises:
        DataError: the file is missing or malformed, or has fewer than four pairs.
    """
    rows = read_jsonl("prompt", "chosen", "rejected")(path)
    if len(rows) < _FEWEST:
        raise DataError(f"{path} has {len(rows)} pairs, and a knob needs {_FEWEST} or more.")
    return tuple(PreferencePair(row["prompt"], row["chosen"], row["rejected"]) for row in rows)


async def safe_choices(pairs: Sequence[PreferencePair], vectors: Vectors) -> Choices:
    """Safe pairs as embeddings.

    Raises:
        ModelError: the encoder cannot be used.
    """
    return await embedded_choices(Person("operator", preferences=tuple(pairs)), vectors)


def between(user: NDArray[np.float32], safe: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """The vector at ``weight`` of the way from a user's to that of the safe pairs."""
    return ((1 - weight) * user + weight * safe).astype(np.float32)


def knob_curve(
    reward: NeuralReward,
    people: Sequence[Choices],
    safe: Choices,
    *,
    weights: Sequence[float] = WEIGHTS,
    seed: int = 0,
) -> list[KnobPoint]:
    """What turning the knob costs people's choices, and what it wins of the safe pairs.

    Nothing is predicted from itself: half of each person's choices and half of the safe pairs are read, the others are
    predicted, and the other way round.

    Args:
        reward: learned from other people.
        people: whose choices; those with fewer than two are left out.
        safe: the operator's pairs, two or more.
        weights: places of the knob.
        seed: of the halves.
    """
    rng = np.random.default_rng(seed)
    able = [person for person in people if len(person) > 1]
    halves = [_halves(person, rng) for person in able]
    safe_halves = _halves(safe, rng)
    safe_vectors = [reward.user(told) for told, _ in safe_halves]
    points = []
    for weight in weights:
        own: list[float] = []
        won: list[float] = []
        for person in halves:
            for (told, unseen), vector, (_, pairs) in zip(person, safe_vectors, safe_halves, strict=True):
                user = between(reward.user(told), vector, weight)
                for found, asked in ((own, unseen), (won, pairs)):
                    found.append(share_right(reward.rewards(user, asked.chosen), reward.rewards(user, asked.rejected)))
        if own:
            points.append(KnobPoint(weight, float(np.mean(own)), float(np.mean(won)), len(able)))
    return points


async def knob_of(
    reward: NeuralReward, people: Sequence[Person], pairs: Sequence[PreferencePair], *, seed: int = 0
) -> list[KnobPoint]:
    """:func:`knob_curve` over the people whom a reward has not seen.

    Args:
        reward: as :func:`evenhand.rewards.learned_reward` made it of these people.
        people: all of them.
        pairs: the operator's.
        seed: of the halves.

    Raises:
        SpecError, ModelError: the reward's encoder cannot be used.
    """
    vectors = Vectors(make_encoder(reward.shape.encoder))
    apart, safe = await kept_apart(people, vectors), await safe_choices(pairs, vectors)
    return knob_curve(reward, apart, safe, seed=seed)


def _halves(choices: Choices, rng: np.random.Generator) -> list[tuple[Choices, Choices]]:
    order = rng.permutation(len(choices))
    one, other = part(choices, order[::2]), part(choices, order[1::2])
    return [(one, other), (other, one)]
