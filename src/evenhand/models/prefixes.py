"""What many prompts begin with, read once: a user's record stands in front of each question that is asked for them.

The states of a beginning are kept between batches. Where a prompt is split is decided by its conversation alone, and
beginnings are read as padded batches are, so that an answer does not depend on what was kept.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    # Keys and values of one layer, each (heads, tokens, size).
    States = list[tuple[torch.Tensor, torch.Tensor]]

# Beginnings read at once.
_ROWS = 16
_MOST_BYTES = 2**31


class Prefixes:
    """States of the beginnings of prompts.

    Args:
        most: bytes that are kept between batches. What goes is drawn at random: a study asks person by person in turn,
            and of a turn that is longer than what is kept, keeping the latest would leave nothing to find.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[tuple[int, ...], States] = {}
        self._drawn = random.Random(0)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(map(_size, self._kept.values()))

    def missing(self, beginnings: Iterable[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
        """Those that are not kept, each once, in batches of similar length."""
        fresh = sorted({b for b in beginnings if b not in self._kept}, key=lambda b: (len(b), b))
        return [fresh[n : n + _ROWS] for n in range(0, len(fresh), _ROWS)]

    def add(self, beginning: tuple[int, ...], states: States) -> None:
        """Keep the states of a beginning, until :meth:`shrink`."""
        self._kept[beginning] = states

    def use(self, beginning: tuple[int, ...]) -> States:
        """The states of a beginning that is kept."""
        return self._kept[beginning]

    def shrink(self) -> None:
        """Forget, until no more is kept than may be."""
        size = self.size
        while self._kept and size > self._most:
            size -= _size(self._kept.pop(self._drawn.choice(list(self._kept))))


@dataclass(frozen=True)
class Begun:
    """How the prompts of a batch are split.

    Attributes:
        lengths: tokens of each prompt's beginning, at least one, and fewer than the prompt has.
        kept: where the states of beginnings are.
    """

    lengths: Sequence[int]
    kept: Prefixes


def new_cache(model: Any, room: int) -> Any:
    """An empty key-value cache in which so many positions are written in place.

    The library's own copies all that is there for each new token. Layers of another kind (sliding windows, states of
    linear attention) stay the library's.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=model.config)
    cache.layers = [_roomy()(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def keeps_everything(model: Any) -> bool:
    """Whether each layer's cache holds the states of all positions, so that those of a beginning are a part of it."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    layers = DynamicCache(config=model.config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def memory_for(device: Any) -> int:
    """Bytes that may be kept: an eighth of the device's memory; of the machine's own 2 GiB at most, because a container
    may have less than it sees."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory // 8)
    try:
        return min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8, _MOST_BYTES)
    except (AttributeError, ValueError, OSError):  # not on every system
        return _MOST_BYTES // 2


def fill(cache: Any, rows: Sequence[States], width: int) -> None:
    """Put the states of each row's beginning into an empty cache, (rows, heads, width, size), padded on the left."""
    for n, layer in enumerate(cache.layers):
        both = []
        for which in (0, 1):
            like = rows[0][n][which]
            padded = like.new_zeros((len(rows), like.shape[0], width, like.shape[2]))
            for row, states in enumerate(rows):
                held = states[n][which]
                padded[row, :, width - held.shape[1] :] = held
            both.append(padded)
        layer.update(*both)


def states_of(cache: Any, row: int, length: int) -> States:
    """The states of the last positions of a row, as :meth:`Prefixes.add` keeps them."""
    return [(layer.keys[row, :, -length:].clone(), layer.values[row, :, -length:].clone()) for layer in cache.layers]


def _size(states: States) -> int:
    return sum(part.numel() * part.element_size() for layer in states for part in layer)


@functools.cache
def _roomy() -> type:
    """The library's layer, with room for what will come: a class of its own only when the library is there."""
    from transformers.cache_utils import DynamicLayer

    class Roomy(DynamicLayer):  # type: ignore[misc]
        def __init__(self, room: int) -> None:
            super().__init__()
            self._room = room

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            before = self.get_seq_length()
            if not before:
                self.lazy_initialization(key_states, value_states)
                self._whole = [self._space(states) for states in (key_states, value_states)]
            now = before + key_states.shape[-2]
            for whole, states in zip(self._whole, (key_states, value_states), strict=True):
                whole[:, :, before:now] = states
            self.keys, self.values = (whole[:, :, :now] for whole in self._whole)
            return self.keys, self.values

        def batch_select_indices(self, indices: Any) -> None:
            now = self.get_seq_length()
            self._whole = [self._selected(whole, indices, now) for whole in self._whole]
            self.keys, self.values = (whole[:, :, :now] for whole in self._whole)

        def _space(self, states: Any) -> Any:
            rows, heads, tokens, size = states.shape
            return states.new_empty((rows, heads, max(self._room, tokens), size))

        def _selected(self, whole: Any, indices: Any, now: int) -> Any:
            chosen = whole.new_empty((len(indices), *whole.shape[1:]))
            chosen[:, :, :now] = whole[:, :, :now][indices]
            return chosen

    return Roomy
