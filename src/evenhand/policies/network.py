"""NP-DPO: a policy that reads a user from a few choices, with no training for that user (arXiv 2412.13998, section 4).

The user's vector is read as in :mod:`evenhand.rewards.np_btl`; two linear maps of it scale and shift the output of each
block of a language model whose own weights stay. At initialisation they leave every output as it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from evenhand.errors import DataError
from evenhand.interventions import BlockChange, Intervention
from evenhand.policies.film import Film
from evenhand.rewards import Choices
from evenhand.rewards.reader import batched, reading_layers, torch_for, user_vectors
from evenhand.whole import write_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS_FILE = "policy.safetensors"
POLICY_FILE = "policy.json"


@dataclass(frozen=True)
class PolicyShape:
    """Of the networks, and what they belong to.

    Attributes:
        dim: of the embeddings of choices.
        blocks, width: of the language model.
        hidden: of everything else; a multiple of 8.
        encoder, revision: what made the embeddings.
        model, weights: the language model's reference, and the revision of its weights.
        beta: of the preference loss: the unit of implicit rewards.
    """

    dim: int
    blocks: int
    width: int
    hidden: int = 128
    encoder: str = ""
    revision: str = ""
    model: str = ""
    weights: str = ""
    beta: float = 0.05


class Policy:
    """What conditions a language model on a user.

    Args:
        shape: of the networks.
        network: as :func:`build_policy` makes it.

    Attributes:
        shape, network: the same.
    """

    def __init__(self, shape: PolicyShape, network: nn.Module) -> None:
        self.shape: PolicyShape = shape
        self.network: Any = network

    def users(self, told: list[Choices]) -> Tensor:
        """(n, hidden) vectors of users who have told as many choices each; of no choice it is that of nobody."""
        return user_vectors(self.network, *batched(told))

    def film(self, users: Tensor) -> Film:
        """What it does to the blocks for users (n, hidden)."""
        shape = (len(users), self.shape.blocks, self.shape.width)
        return Film(1 + self.network["scale"](users).view(shape), self.network["shift"](users).view(shape))

    def user(self, choices: Choices) -> NDArray[np.float32]:
        """(hidden,) the vector of one user."""
        with torch_for("A policy").no_grad():
            return np.asarray(self.users([choices])[0].numpy(), dtype=np.float32)

    def intervention(self, user: NDArray[np.float32]) -> Intervention:
        """What it does to the blocks for one user (hidden,), as a request carries it."""
        torch = torch_for("A policy")
        with torch.no_grad():
            film = self.film(torch.from_numpy(user)[None])
        rows = zip(film.scale[0].numpy(), film.shift[0].numpy(), strict=True)
        return Intervention({n: BlockChange(shift=shift, scale=scale) for n, (scale, shift) in enumerate(rows)})

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """Write all of it into a folder: the weights, reader included, and how they were made.

        Args:
            folder: is made where it is missing.
            record: of the training, kept beside the shape.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.network.state_dict(), folder / WEIGHTS_FILE, metadata={"evenhand": "np-policy"})
        data = {"shape": asdict(self.shape), **record}
        # Last: where it is, the policy is whole.
        write_whole(folder / POLICY_FILE, orjson.dumps(data, option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, folder: Path) -> Policy:
        """Read one back, all of it: a missing part is an error, never a random one.

        Raises:
            DataError: the folder holds no whole policy.
        """
        torch_for("A policy")
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            shape = PolicyShape(**read_policy(folder)["shape"])
            network = build_policy(shape)
            network.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=True)
        except FileNotFoundError:
            raise DataError(f"There is no finished policy in {folder}.", "Make one with `evenhand policy`.") from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError):
            raise DataError(f"{folder} holds no whole policy.", "Make one with `evenhand policy`.") from None
        return cls(shape, network.eval())


def read_policy(folder: Path) -> dict[str, Any]:
    """How a finished policy was made: its shape and the record of its training.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    try:
        data: dict[str, Any] = orjson.loads((folder / POLICY_FILE).read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no finished policy in {folder}.", "Make one with `evenhand policy`.") from None
    except (OSError, ValueError):
        raise DataError(
            f"{folder / POLICY_FILE} cannot be read.", "Make a policy anew with `evenhand policy`."
        ) from None
    return data


def build_policy(shape: PolicyShape) -> nn.Module:
    """The networks with fresh weights, which change nothing."""
    layers = torch_for("A policy").nn
    maps = {name: layers.Linear(shape.hidden, shape.blocks * shape.width) for name in ("scale", "shift")}
    for one in maps.values():
        layers.init.zeros_(one.weight)
        layers.init.zeros_(one.bias)
    network: nn.Module = layers.ModuleDict({**reading_layers(shape.dim, shape.hidden), **maps})
    return network
