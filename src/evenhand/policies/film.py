"""Feature-wise linear modulation of a transformer's blocks while it learns, by hooks that gradients pass through.

When it answers, a request carries the same as an intervention (:mod:`evenhand.interventions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.models.activations import blocks_of, hidden_of

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


@contextmanager
def filmed(model: Any, film: Film | None) -> Iterator[None]:
    """While this lasts, the blocks' outputs are modulated, at every position; None changes nothing.

    Raises:
        ModelError: the blocks of the model cannot be found.
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
        hidden = hidden_of(output)
        changed = (hidden * film.scale[:, block, None] + film.shift[:, block, None]).to(hidden.dtype)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return modulated
