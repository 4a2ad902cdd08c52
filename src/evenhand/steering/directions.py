"""The identities' directions of one model, in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from evenhand.errors import DataError, SpecError
from evenhand.extras import importing
from evenhand.interventions import Array, BlockChange, Intervention, Where
from evenhand.steering.reference import layers_text
from evenhand.steering.subspace import Layer, shared_subspace
from evenhand.whole import whole, write_whole

# What says of the folder what it is, and which items it learned from; adapters have a file of the same name.
RECORD_FILE = "evenhand.json"
TENSORS_FILE = "directions.safetensors"
KIND = "steering"
# A token's activation this many times as long as the baseline's mean is a massive one: they are ten to hundreds of
# times as long, others at most twice.
_LIKE_OTHERS = 4.0
_TENSORS = ("contrasts", "centre", "sample")


@dataclass(frozen=True)
class Chosen:
    """How strongly to steer, and where.

    Attributes:
        strength: share of the identities' subspace that is taken out; 0 for nothing.
        layers: behind which blocks, counted from 0.
        where: at which tokens.
        by: how it was chosen: what was tried, and what was seen; empty where nobody chose.
    """

    strength: float
    layers: tuple[int, ...]
    where: Where = "all"
    by: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Directions:
    """How a model's activations differ by who the user is said to be.

    Attributes:
        model, revision: whose activations they are.
        identities: U of them.
        baseline: which one they were set against.
        items: suite -> the items that were asked.
        energy: share of the contrasts' squared length that the subspace taken out holds at each block.
        contrasts: (U, L, d), mean over items of the activation behind each block under an identity, less that under
            the baseline; the mean over the tokens at the end of the prompt that both share.
        centre: (L, d), the baseline's mean.
        sample: (L, d), activations of a fixed short text, by which the model is known again.
        profile: what each block tells of the user.
        personalizers: by which the identities were told.
        chosen: how strongly to steer; None where nobody chose.
    """

    model: str
    revision: str
    identities: tuple[str, ...]
    baseline: str
    items: Mapping[str, Sequence[str]]
    energy: float
    contrasts: Array
    centre: Array
    sample: Array
    profile: tuple[Layer, ...]
    personalizers: tuple[str, ...] = ()
    chosen: Chosen | None = None

    @property
    def blocks(self) -> int:
        """L, how many blocks the model has."""
        return int(self.contrasts.shape[1])

    def basis(self, block: int) -> Array:
        """Orthonormal rows (k, d) of the identities' subspace behind a block."""
        return shared_subspace(self.contrasts[:, block], self.energy)

    def settled(
        self, strength: float | None = None, layers: Sequence[int] | None = None, where: Where | None = None
    ) -> Chosen:
        """What was asked for, and for the rest what was chosen; where nobody chose, every block and all tokens.

        Raises:
            SpecError: the model has no such block, the strength is not a number, or nobody said or chose one.
        """
        if self.chosen is None and strength is None:
            raise SpecError(
                f"Nobody chose how strongly to steer {self.model} with these directions.",
                "Choose it: evenhand steer choose. Or give a strength, as in steer:FOLDER:0.5.",
            )
        base = self.chosen or Chosen(0.0, tuple(range(self.blocks)))
        asked = replace(
            base,
            strength=base.strength if strength is None else strength,
            layers=base.layers if layers is None else tuple(sorted(set(layers))),
            where=where or base.where,
        )
        if not asked.layers or not 0 <= asked.layers[0] <= asked.layers[-1] < self.blocks:
            raise SpecError(
                f"There are no layers {layers_text(asked.layers) or '(none)'} in a model of {self.blocks} blocks.",
                f"Give some of 0-{self.blocks - 1}.",
            )
        if not np.isfinite(asked.strength):
            raise SpecError(f"The strength {asked.strength} is not a number.", "Give one from 0 to 1.")
        return asked

    def intervention(self, chosen: Chosen) -> Intervention | None:
        """What takes the identity out: ``h - s V'V (h - centre)`` behind each layer; None for nothing.

        The rows of V span the identities' contrasts. The component along them is brought to where the baseline has it
        on average, not to zero, where no conversation has it: what knows no user stays as it is, as nearly as can be.
        Tokens with massive activations, on which attention rests (arXiv 2402.17762), tell of nobody and are left alone:
        the model would be lost without them.
        """
        if chosen.strength == 0:
            return None
        changes = {}
        for layer in chosen.layers:
            basis = self.basis(layer)
            if len(basis):
                shift = chosen.strength * (self.centre[layer] @ basis.T) @ basis
                longest = _LIKE_OTHERS * float(np.linalg.norm(self.centre[layer]))
                changes[layer] = BlockChange(shift=shift, reads=basis, writes=-chosen.strength * basis, longest=longest)
        return Intervention(changes, chosen.where) if changes else None

    def save(self, folder: Path) -> None:
        """Write the folder.

        Raises:
            SpecError: it holds something else.
        """
        if (folder / RECORD_FILE).exists() and _record(folder).get("kind") != KIND:
            raise SpecError(f"{folder} holds something else, such as an adapter.", "Choose another --out.")
        with importing("local", "Steering"):
            from safetensors.numpy import save_file
        record = {"kind": KIND, "version": 1, **{k: v for k, v in asdict(self).items() if k not in _TENSORS}}
        with whole(folder / TENSORS_FILE) as half:
            save_file({name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}, half)
        # Last: where it is, the rest is.
        write_whole(folder / RECORD_FILE, orjson.dumps(record, option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, folder: Path) -> Directions:
        """Read a folder.

        Raises:
            DataError: there is none, or it is damaged or of another kind.
            ModelError: safetensors is not installed.
        """
        record = _record(folder)
        if record.get("kind") != KIND or record.get("version") != 1:
            raise DataError(f"{folder} holds no directions that this version reads.", "Make them: evenhand steer fit.")
        with importing("local", "Steering"):
            from safetensors import SafetensorError
            from safetensors.numpy import load_file
        try:
            tensors = load_file(folder / TENSORS_FILE)
            chosen = record["chosen"]
            found = cls(
                model=str(record["model"]),
                revision=str(record["revision"]),
                identities=tuple(map(str, record["identities"])),
                baseline=str(record["baseline"]),
                items={str(suite): tuple(map(str, items)) for suite, items in record["items"].items()},
                energy=float(record["energy"]),
                **{name: tensors[name].astype(np.float32) for name in _TENSORS},
                profile=tuple(Layer(**layer) for layer in record["profile"]),
                personalizers=tuple(map(str, record["personalizers"])),
                chosen=Chosen(**{**chosen, "layers": tuple(chosen["layers"])}) if chosen else None,
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(folder, error) from None
        users, blocks, size = found.contrasts.shape if found.contrasts.ndim == 3 else (0, 0, 0)
        shapes = {found.centre.shape, found.sample.shape}
        if users != len(found.identities) or len(found.profile) != blocks or shapes != {(blocks, size)}:
            raise _damaged(folder, ValueError("its parts do not fit one another"))
        return found


def _record(folder: Path) -> dict[str, Any]:
    """What the folder says of itself.

    Raises:
        DataError: nothing, or nothing readable.
    """
    try:
        record = orjson.loads((folder / RECORD_FILE).read_bytes())
        return record if isinstance(record, dict) else {}
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"There are no directions in {folder}.", "Make them: evenhand steer fit.") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder} is damaged: {type(error).__name__}: {error}.", "Make it anew: evenhand steer fit.")
