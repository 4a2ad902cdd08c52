"""A local model conditioned on the user: its own activations change, not what it is told (NP-DPO, arXiv 2412.13998)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import ModelError
from evenhand.identities import PLAIN
from evenhand.interventions import Intervention
from evenhand.models import Model, check_interventions, total
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory, baseline_messages
from evenhand.personalizers.taste import Taste, chosen_by, same_encoder
from evenhand.policies import POLICY_FILE, WEIGHTS_FILE, Policy
from evenhand.rewards import Choices
from evenhand.types import Item, Request, Response, User


@PERSONALIZERS.register("np-policy")
class NeuralPolicy(Taste):
    """A policy that reads the user from the known pairs, and scales and shifts what the model's blocks put out.

    ``evenhand policy`` makes it, for one local model. Users without pairs get the model as it is.

    Args:
        folder: the policy's.

    Raises:
        DataError: there is no policy.
        SpecError, ModelError: its encoder cannot be used.
    """

    name = "np-policy"
    summary = "all facts, and a local model whose activations follow the user's choices (NP-DPO; experimental)"
    card = Card(
        "user",
        "static attributes, facts, pairwise preferences",
        "repr.embedding, rlhf",
        "weights",
        needs_training=True,
        needs_weights=True,
        readable=False,
    )
    argument = "FOLDER"

    def __init__(self, folder: str = "") -> None:
        path = Path(folder)
        self._policy = Policy.load(path)
        read = b"".join((path / name).read_bytes() for name in (POLICY_FILE, WEIGHTS_FILE))
        self._digest = hashlib.blake2b(read, digest_size=8).hexdigest()
        self.vectors = Vectors(make_encoder(self._policy.shape.encoder))

    @property
    def revision(self) -> str:  # type: ignore[override]
        """That of the encoder's weights, and of the policy."""
        return f"{super().revision} {self._digest}".strip()

    async def prepare(self, items: Iterable[Item]) -> None:
        await super().prepare(items)
        same_encoder(f"The policy of '{self.name}'", "evenhand policy", self._policy.shape.revision, self.vectors)

    async def fit(self, user: User, model: Model) -> Memory:
        check_interventions(model, f"The personalizer '{self.name}'")
        learned = self._policy.shape
        if (model.id, model.revision) != (learned.model, learned.weights):
            raise ModelError(
                f"The policy of '{self.name}' belongs to {learned.model}, revision {learned.weights or 'unknown'}, and "
                f"not to {model.id}, revision {model.revision or 'unknown'}.",
                "Train one for this model: evenhand policy.",
            )
        return await super().fit(user, model)

    def read(self, chosen: NDArray[np.floating], rejected: NDArray[np.floating]) -> list[float]:
        user = self._policy.user(Choices(chosen.astype(np.float32), rejected.astype(np.float32)))
        return [float(value) for value in user]

    async def respond(self, memory: Memory, item: Item, request: Request, model: Model) -> Response:
        taste: Sequence[float] = memory.content.get("taste", ())
        if not taste:
            return await model.respond(request)
        changed = (self._policy.intervention(np.array(taste, dtype=np.float32)),)
        if "answers_to" in item.extra and model.scores_texts:
            return await self._choice(changed, item, request, model)
        return await model.respond(replace(request, interventions=(*request.interventions, *changed)))

    async def _choice(self, changed: tuple[Intervention, ...], item: Item, request: Request, model: Model) -> Response:
        """Which of the answers that the item holds out this user likes best, by the policy's implicit reward.

        That is how much more likely an answer is with the user than without (DPO, arXiv 2305.18290, section 4).
        """
        asked = replace(
            request, messages=baseline_messages(PLAIN, item.extra["answers_to"]), prefill="",
            choices=tuple(item.extra["options"]), whole=True,
        )  # fmt: skip
        now, before = await asyncio.gather(model.respond(replace(asked, interventions=changed)), model.respond(asked))
        logprobs = (np.array(answer.choice_logprobs, dtype=float) for answer in (now, before))
        return chosen_by(self._policy.shape.beta * np.subtract(*logprobs), item, request, total(now, before))
