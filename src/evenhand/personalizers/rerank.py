"""The best of several answers by a reward that knows the user's choices: selection, not another prompt.

``np-rerank`` reads the user with a reward learned from many users (arXiv 2412.13998); ``logistic-rerank`` fits one
user's choices alone, which is what the other has to beat. What the model is told is the same as with ``profile``.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import SpecError
from evenhand.models import Model, total
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory
from evenhand.personalizers.taste import Taste, chosen_by, same_encoder
from evenhand.rewards import (
    Choices,
    LogisticReward,
    NeuralReward,
    answer_text,
    between,
    read_safe_pairs,
    safe_choices,
)
from evenhand.types import Item, Request, Response, User

_CANDIDATES = 4
_KNOB = re.compile(r"(?P<file>.+?):(?P<pairs>[^:]+\.jsonl):?(?P<weight>[^:]*)")


class Rerank(Taste):
    """What both have in common."""

    @abstractmethod
    def rewards(self, taste: Sequence[float], answers: NDArray[np.floating]) -> NDArray[np.floating]:
        """(n,) rewards of answers (n, d) for a user."""

    async def prepare(self, items: Iterable[Item]) -> None:
        asked = list(items)
        await super().prepare(asked)
        offered = [(i.extra["answers_to"], o) for i in asked if "answers_to" in i.extra for o in i.extra["options"]]
        await self.vectors.add(answer_text(prompt, answer) for prompt, answer in offered)

    async def respond(self, memory: Memory, item: Item, request: Request, model: Model) -> Response:
        taste = memory.content.get("taste")
        if taste and "answers_to" in item.extra:
            return self._choice(taste, item, request)
        # Greedy answers are all the same one, and a scored choice is not written.
        if not taste or request.choices or not request.decoding.temperature:
            return await model.respond(request)
        requests = [replace(request, seed=request.seed ^ n) for n in range(_CANDIDATES)]
        answers = await asyncio.gather(*map(model.respond, requests))
        whole = [n for n, answer in enumerate(answers) if answer.text.strip()] or [0]
        best = whole[0] if len(whole) == 1 else whole[await self._best(taste, item, [answers[n].text for n in whole])]
        return total(answers[best], *(answer for n, answer in enumerate(answers) if n != best))

    async def _best(self, taste: Sequence[float], item: Item, texts: Sequence[str]) -> int:
        shown = [answer_text(item.question, text) for text in texts]
        await self.vectors.add(shown)
        return int(np.argmax(self.rewards(taste, self.vectors.of(shown))))

    def _choice(self, taste: Sequence[float], item: Item, request: Request) -> Response:
        """Which of the answers that the item holds out this user likes best: the reward says it, without the model."""
        shown = [answer_text(item.extra["answers_to"], option) for option in item.extra["options"]]
        rewards = self.rewards(taste, self.vectors.of(shown))
        return chosen_by(rewards, item, request, Response("", prompt_tokens=0, completion_tokens=0, calls=0))


def _weight(text: str, reference: str) -> float:
    """The place of the knob.

    Raises:
        SpecError: it is no number from 0 to 1.
    """
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight <= 1:
        raise SpecError(
            f"The personalizer 'np-rerank:{reference}' needs a weight of the safe pairs from 0 to 1.",
            "Write np-rerank:FILE:PAIRS.jsonl:0.5.",
        )
    return weight


@PERSONALIZERS.register("logistic-rerank")
class LogisticRerank(Rerank):
    """The user's choices alone: a direction in the space of the encoder.

    Args:
        encoder: what embeds answers ("use").

    Raises:
        SpecError: there is no such encoder.
        ModelError: it needs an extra that is not installed.
    """

    name = "logistic-rerank"
    summary = f"all facts, and the best of {_CANDIDATES} answers by a reward fitted to the user's own choices"
    card = Card("user", "static attributes, facts, pairwise preferences", "repr.embedding", "selection", readable=False)
    argument = "ENCODER"

    def __init__(self, encoder: str = "") -> None:
        self.vectors = Vectors(make_encoder(encoder))

    def read(self, chosen: NDArray[np.floating], rejected: NDArray[np.floating]) -> list[float]:
        return [float(weight) for weight in LogisticReward.fit(chosen, rejected).weights]

    def rewards(self, taste: Sequence[float], answers: NDArray[np.floating]) -> NDArray[np.floating]:
        return LogisticReward(np.array(taste)).rewards(answers)


@PERSONALIZERS.register("np-rerank")
class NeuralRerank(Rerank):
    """A reward learned from many users, which reads this one from a few choices (``evenhand reward`` makes it).

    With ``FILE:PAIRS.jsonl:WEIGHT`` the user's vector is moved towards that of an operator's safe pairs: at 0 it stays,
    at 1 everybody is ranked by the pairs alone (:mod:`evenhand.rewards.knob`).

    Args:
        reward: the file, with pairs and a weight behind it or not.

    Raises:
        DataError: there is no reward, or no pairs.
        SpecError: the weight is none.
        ModelError: it needs an extra that is not installed.
    """

    name = "np-rerank"
    summary = f"all facts, and the best of {_CANDIDATES} answers by a reward learned from many users (NP-BTL)"
    card = Card(
        "user",
        "static attributes, facts, pairwise preferences",
        "repr.embedding, rlhf",
        "selection",
        needs_training=True,
        readable=False,
    )
    argument = "FILE"

    def __init__(self, reward: str = "") -> None:
        knob = _KNOB.fullmatch(reward)
        path = Path(knob["file"] if knob else reward)
        self._weight = _weight(knob["weight"], reward) if knob else 0.0
        self._pairs = read_safe_pairs(Path(knob["pairs"])) if knob else ()
        self._safe: NDArray[np.float32] | None = None
        self._reward = NeuralReward.load(path)
        read = [path, Path(knob["pairs"])] if knob else [path]
        self._digest = hashlib.blake2b(b"".join(one.read_bytes() for one in read), digest_size=8).hexdigest()
        self.vectors = Vectors(make_encoder(self._reward.shape.encoder))

    @property
    def revision(self) -> str:  # type: ignore[override]
        """That of the encoder's weights, and of the reward and the safe pairs."""
        return f"{super().revision} {self._digest}".strip()

    async def prepare(self, items: Iterable[Item]) -> None:
        await super().prepare(items)
        same_encoder(f"The reward of '{self.name}'", "evenhand reward", self._reward.shape.revision, self.vectors)

    async def fit(self, user: User, model: Model) -> Memory:
        if self._pairs and self._safe is None:
            self._safe = self._reward.user(await safe_choices(self._pairs, self.vectors))
        return await super().fit(user, model)

    def read(self, chosen: NDArray[np.floating], rejected: NDArray[np.floating]) -> list[float]:
        own = self._reward.user(Choices(chosen, rejected))
        found = own if self._safe is None else between(own, self._safe, self._weight)
        return [float(value) for value in found]

    def rewards(self, taste: Sequence[float], answers: NDArray[np.floating]) -> NDArray[np.floating]:
        return self._reward.rewards(np.array(taste, dtype=np.float32), answers)
