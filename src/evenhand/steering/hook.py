"""Steering any model of transformers, outside a study."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenhand.errors import ModelError
from evenhand.interventions import Where
from evenhand.models.activations import acting, check_fits, sample_of
from evenhand.steering.directions import Directions

# Least cosine of what a block makes of it, between where the directions come from and here. Other precisions of the
# same weights differ by less than a thousandth.
_LIKE = 0.98


@contextlib.contextmanager
def steering(
    model: Any,
    folder: str | Path,
    strength: float | None = None,
    layers: Sequence[int] | None = None,
    where: Where | None = None,
) -> Iterator[None]:
    """Inside, ``model`` runs with the identity taken out of its activations: ``model.generate(...)`` as ever.

    ::

        with steering(model, "directions", strength=1.0):
            model.generate(**inputs)

    Batches must be padded on the left, as generation wants it anyway.

    Args:
        model: a causal language model of transformers, on any device and in any precision.
        folder: what ``evenhand steer fit`` wrote.
        strength: how much is taken out; what was chosen for the folder where None, as for the others.
        layers: behind which blocks, counted from 0.
        where: "all" tokens, or from the "answer" on: then a pass over several tokens at once is taken for a prompt.

    Raises:
        DataError: the folder is damaged or of another kind.
        SpecError: the model has no such layer, or no strength was given or chosen.
        ModelError: the directions are another model's.
    """
    directions = Directions.read(Path(folder))
    act = directions.intervention(directions.settled(strength, layers, where))
    if act is None:
        yield
        return
    check_fits(model, act)
    _check_same(model, directions)
    with acting(model, [(act,)]) as state:
        state.reading = None
        yield


def _check_same(model: Any, directions: Directions) -> None:
    here, there = sample_of(model), directions.sample
    alike = (here * there).sum(axis=1) / (np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1) + 1e-12)
    if not alike.min() >= _LIKE:
        raise ModelError(
            f"These are the directions of {directions.model} ({directions.revision}), and this model's activations "
            "are others.",
            "Load that model, or make directions for this one: evenhand steer fit.",
        )
