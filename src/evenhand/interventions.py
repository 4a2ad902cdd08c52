"""What may be done to the activations of a local model while it answers one request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
# "all": every token, the prompt's too; "answer": from the prompt's last token on, which is where the answer begins.
Where = Literal["all", "answer"]
_PARTS = ("shift", "scale", "reads", "writes")


@dataclass(frozen=True, slots=True, eq=False)
class BlockChange:
    """An affine change of the residual stream behind one block: ``h <- scale * h + shift + (h @ reads.T) @ writes``.

    Attributes:
        shift: (d,), None for zeros; d is the model's hidden size.
        scale: (d,), None for ones.
        reads, writes: (k, d) each, both or neither: what is read off ``h``, and what is written for it. Projecting a
            subspace with the orthonormal rows V out is ``reads=V, writes=-V``.
        longest: tokens whose ``h`` is longer than this are left alone; None for no such limit.

    Raises:
        ValueError: shapes that do not fit one another, a value that is not finite, or nothing at all.
    """

    shift: Array | None = None
    scale: Array | None = None
    reads: Array | None = None
    writes: Array | None = None
    longest: float | None = None

    def __post_init__(self) -> None:
        for name in _PARTS:
            if (given := getattr(self, name)) is not None:
                kept = np.array(given, dtype=np.float32, order="C")
                if kept.ndim != (1 if name in ("shift", "scale") else 2) or not np.isfinite(kept).all():
                    raise ValueError(f"{name} has the shape {kept.shape}, or a value that is not finite")
                kept.setflags(write=False)
                object.__setattr__(self, name, kept)
        if (self.reads is None) != (self.writes is None) or len({part.shape for _, part in self.matrices()}) > 1:
            raise ValueError("reads and writes come together, in one shape")
        if len({part.shape[-1] for _, part in self.arrays()}) != 1:
            raise ValueError("a change needs at least one part, and all of one size")

    @property
    def size(self) -> int:
        """d, the hidden size it is for."""
        return int(next(self.arrays())[1].shape[-1])

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Name and array of each part that it has."""
        return ((name, part) for name in _PARTS if (part := getattr(self, name)) is not None)

    def matrices(self) -> Iterator[tuple[str, Array]]:
        """The same, of those that read and write."""
        return ((name, part) for name, part in self.arrays() if part.ndim == 2)


@dataclass(frozen=True, slots=True, eq=False)
class Intervention:
    """Changes behind some of a model's blocks. Equal, and hashed, by what it does.

    Attributes:
        blocks: block, counted from 0 -> its change.
        where: at which tokens.
        digest: tells it from others.

    Raises:
        ValueError: no block, a negative one, or changes of different sizes.
    """

    blocks: Mapping[int, BlockChange]
    where: Where = "all"
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 0 or len({change.size for change in self.blocks.values()}) != 1:
            raise ValueError("an intervention needs blocks from 0 on, and changes of one size")
        found = hashlib.blake2b(self.where.encode(), digest_size=16)
        for block in sorted(self.blocks):
            found.update(f";{block} {self.blocks[block].longest}".encode())
            for name, part in self.blocks[block].arrays():
                found.update(f"{name} {part.shape} ".encode() + part.tobytes())
        object.__setattr__(self, "digest", found.hexdigest())

    @property
    def size(self) -> int:
        """d, the hidden size of the model that it is for."""
        return next(iter(self.blocks.values())).size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervention) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)
