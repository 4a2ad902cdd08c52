"""Feature-wise linear modulation of a transformer's blocks, by hooks: without any, the model is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Film:
    """What happens to the output of each block, ``scale * output + shift`` (FiLM, arXiv 1709.07871, equation 2).

    Attributes:
        scale, shift: (rows, blocks, width), of each row of a batch.
    """

    scale: Tensor
    shift: Tensor


def blocks_of(model: Any) -> Any:
    """The decoder blocks of a transformers causal language model, first to last.

    Raises:
        ModelError: its architecture has no list of blocks that could be found.
    """
    decoder = model.get_decoder()
    for name in ("layers", "h", "blocks"):
        if hasattr(decoder, name):
            return getattr(decoder, name)
    raise ModelError(f"The blocks of a {type(model).__name__} are not where they are looked for.")


@contextmanager
def filmed(model: Any, film: Film | None) -> Iterator[None]:
    """While this lasts, the blocks' outputs are modulated, at every position; None changes nothing.

    Raises:
        ModelError: as :func:`blocks_of`.
    """
    hooks = []
    if film is not None:
        hooks = [block.register_forward_hook(_hook(film, n)) for n, block in enumerate(blocks_of(model))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(film: Film, block: int) -> Any:
    def modulated(_module: Any, _inputs: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        changed = (hidden * film.scale[:, block, None] + film.shift[:, block, None]).to(hidden.dtype)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return modulated
