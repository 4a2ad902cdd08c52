"""NP-BTL: a reward that reads a user from a few choices, with no training for that user (arXiv 2412.13998, section 3).

A neural process over Bradley-Terry choices: pairs of frozen embeddings are encoded, attend to each other, and their
mean is the user's vector; the reward of an answer is a function of its embedding and that vector. The deterministic
form, as in all of the paper's experiments. The mean, not the sum of the authors' code, so that the vector cannot merely
tell how many choices there were; an empty context is a vector of zeros.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import DataError
from evenhand.rewards.reader import (
    Choices,
    batched,
    part,
    reading_layers,
    share_right,
    torch_for,
    two_layers,
    user_vectors,
)
from evenhand.whole import whole

if TYPE_CHECKING:
    from torch import Tensor, nn

_MOST_CONTEXT = 10
_MOST_TARGETS = 20


@dataclass(frozen=True)
class Shape:
    """Of the network: ``dim`` of the embeddings, ``hidden`` of everything else, and what made the embeddings."""

    dim: int
    hidden: int = 128
    encoder: str = ""
    revision: str = ""


class NeuralReward:
    """A trained NP-BTL reward.

    Args:
        shape: of the network.
        network: as :func:`build` makes it.
    """

    def __init__(self, shape: Shape, network: nn.Module) -> None:
        self.shape: Shape = shape
        self._network: Any = network.eval()

    def user(self, choices: Choices) -> NDArray[np.float32]:
        """(hidden,) the user's vector; of no choice it is that of nobody in particular."""
        with _torch().no_grad():
            return np.asarray(user_vectors(self._network, *batched([choices]))[0].numpy(), dtype=np.float32)

    def rewards(self, user: NDArray[np.float32], answers: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) rewards of answers (n, dim) for a user (hidden,); only differences mean anything."""
        torch = _torch()
        with torch.no_grad():
            found = _rewards(self._network, torch.from_numpy(user)[None], torch.from_numpy(answers)[None])
        return np.asarray(found[0].numpy(), dtype=float)

    def predicted(self, told: Choices, unseen: Choices) -> float:
        """Share of unseen choices that those told of the same user predict, in [0, 1]."""
        user = self.user(told)
        return share_right(self.rewards(user, unseen.chosen), self.rewards(user, unseen.rejected))

    def accuracy(self, users: Sequence[Choices], context: int, seed: int = 0) -> float:
        """Share of unseen choices predicted from ``context`` others of the same user, in [0, 1], every user alike.

        The pairs of the context are never among those predicted. NaN without a user who has more pairs than that.
        """
        rng = np.random.default_rng(seed)
        found = []
        for choices in (user for user in users if len(user) > context):
            order = rng.permutation(len(choices))
            found.append(self.predicted(part(choices, order[:context]), part(choices, order[context:])))
        return float(np.mean(found)) if found else float("nan")

    def save(self, path: Path) -> None:
        """Write the weights, and what they were made with, as safetensors."""
        _torch()
        from safetensors.torch import save_file

        metadata = {"evenhand": "np-btl", "shape": json.dumps(asdict(self.shape))}
        with whole(path) as half:
            save_file(self._network.state_dict(), half, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> NeuralReward:
        """Read one back, all of it: a missing part is an error, never a random one.

        Raises:
            DataError: the file is missing, or holds no such reward.
        """
        _torch()
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as held:
                metadata = held.metadata() or {}
                weights = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
            shape = Shape(**json.loads(metadata["shape"]))
            network = build(shape)
            network.load_state_dict(weights, strict=True)
        except FileNotFoundError:
            raise DataError(f"There is no reward at {path}.", "Make one with `evenhand reward`.") from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError):
            raise DataError(f"{path} holds no reward.", "Make one with `evenhand reward`.") from None
        return cls(shape, network)


def train(
    users: Sequence[Choices],
    shape: Shape,
    *,
    steps: int = 1500,
    batch: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> NeuralReward:
    """Learn from users who each have at least two choices.

    Args:
        users: whose choices to learn from.
        shape: of the network.
        steps, batch: episodes are drawn ``batch`` at a time: a user, up to 20 of the choices, and 0 to 10 of these as
            context.
        learning_rate: of AdamW.
        seed: of the weights and episodes.
        tell: called with each step's number and loss.

    Raises:
        DataError: nobody has two choices.
    """
    torch = _torch()
    able = [user for user in users if len(user) > 1]
    if not able:
        raise DataError("A reward is learned from users with at least two choices, and nobody has them.")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = build(shape)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate)
    targets = min(_MOST_TARGETS, min(map(len, able)))
    for step in range(steps):
        context = int(rng.integers(0, min(_MOST_CONTEXT, targets - 1) + 1))
        drawn = [able[n] for n in rng.integers(0, len(able), batch)]
        shown = [part(user, rng.permutation(len(user))[:targets]) for user in drawn]
        vectors = user_vectors(network, *batched([part(one, np.arange(context)) for one in shown]))
        chosen, rejected = batched(shown)
        margin = _rewards(network, vectors, chosen) - _rewards(network, vectors, rejected)
        loss = torch.nn.functional.softplus(-margin).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tell(step + 1, float(loss.detach()))
    return NeuralReward(shape, network)


def build(shape: Shape) -> nn.Module:
    """The network with fresh weights."""
    hidden = shape.hidden
    return _torch().nn.ModuleDict(
        {
            **reading_layers(shape.dim, hidden),
            "answer": two_layers(shape.dim, hidden, hidden),
            "reward": two_layers(2 * hidden, hidden, 1),
        }
    )


def _rewards(network: Any, users: Tensor, answers: Tensor) -> Tensor:
    """(b, n) rewards of answers (b, n, dim) for users (b, hidden)."""
    torch = _torch()
    encoded = network["answer"](answers)
    spread = users[:, None].expand(-1, answers.shape[1], -1)
    return network["reward"](torch.cat([encoded, spread], dim=-1)).squeeze(-1)


def _torch() -> Any:
    return torch_for("A reward learned from many users")
