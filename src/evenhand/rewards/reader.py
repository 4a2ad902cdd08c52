"""Reading a user from a few choices: what the reward and the policy of arXiv 2412.13998 have in common.

Pairs of frozen embeddings are encoded, attend to each other, and their mean is the user's vector. The mean, not the sum
of the authors' code, so that the vector cannot merely tell how many choices there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenhand.extras import importing

if TYPE_CHECKING:
    from torch import Tensor, nn

_HEADS = 8


@dataclass(frozen=True)
class Choices:
    """One user's choices.

    Attributes:
        chosen, rejected: (n, d), float32, frozen embeddings of the two answers of each pair with their prompt.
    """

    chosen: NDArray[np.float32]
    rejected: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.chosen)


def part(choices: Choices, which: NDArray[np.integer]) -> Choices:
    """Some of a user's choices."""
    return Choices(choices.chosen[which], choices.rejected[which])


def share_right(chosen: NDArray[np.floating], rejected: NDArray[np.floating]) -> float:
    """Share of pairs whose chosen answer has the greater reward, in [0, 1]; a tie is half."""
    return float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected)))


def batched(users: Sequence[Choices]) -> tuple[Tensor, Tensor]:
    """The chosen and the rejected answers (b, n, d) of users who have told as many choices each."""
    torch = torch_for("Reading users from their choices")
    return (
        torch.from_numpy(np.stack([user.chosen for user in users])),
        torch.from_numpy(np.stack([user.rejected for user in users])),
    )


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Module:
    """A network of two layers with fresh weights."""
    layers = torch_for("Reading users from their choices").nn
    made: nn.Module = layers.Sequential(layers.Linear(inputs, hidden), layers.GELU(), layers.Linear(hidden, outputs))
    return made


def reading_layers(dim: int, hidden: int) -> dict[str, nn.Module]:
    """The layers of :func:`user_vectors` with fresh weights.

    Args:
        dim: of the embeddings.
        hidden: of everything else; a multiple of 8.
    """
    attention = torch_for("Reading users from their choices").nn.MultiheadAttention
    return {
        "pair": two_layers(2 * dim, hidden, hidden),
        "attention": attention(hidden, _HEADS, batch_first=True),
        "user": two_layers(hidden, hidden, hidden),
    }


def user_vectors(network: Any, chosen: Tensor, rejected: Tensor) -> Tensor:
    """Users' vectors (b, hidden) from their choices (b, n, dim); n may be 0.

    Args:
        network: has :func:`reading_layers`.
        chosen, rejected: as :func:`batched` makes them.
    """
    torch = torch_for("Reading users from their choices")
    encoded = network["pair"](torch.cat([chosen, rejected], dim=-1))
    if not encoded.shape[1]:
        return network["user"](encoded.new_zeros(encoded.shape[0], encoded.shape[2]))
    attended, _ = network["attention"](encoded, encoded, encoded, need_weights=False)
    return network["user"](attended.mean(dim=1))


def torch_for(what: str) -> Any:
    """PyTorch.

    Args:
        what: needs it, for the message.

    Raises:
        ModelError: it is not installed.
    """
    with importing("local", what):
        import torch
    return torch
