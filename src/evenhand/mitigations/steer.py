"""The identity taken out of the model's activations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evenhand.errors import ModelError
from evenhand.mitigations.base import MITIGATIONS, Mitigation
from evenhand.models import Model, ModelOptions, check_interventions
from evenhand.steering import Directions, SteerReference
from evenhand.types import Request, Response


@MITIGATIONS.register("steer")
class Steer(Mitigation):
    """``steer:FOLDER[:STRENGTH][@LAYERS][@TOKENS]``: the subspace in which identities differ, projected out.

    Raises:
        SpecError: a malformed reference, or layers that the model does not have.
        DataError: the folder is not one of ``evenhand steer fit``.
    """

    name = "steer"
    summary = "the identity is taken out of the model's activations (evenhand steer fit; local models)"
    argument = "FOLDER[:STRENGTH][@LAYERS][@all|@answer]"
    local_only: bool = True
    acts_on_texts: bool = True
    any_language: bool = True

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        reference = SteerReference.parse(argument)
        self.learned_from: tuple[Path, ...] = (reference.folder,)
        self._directions = Directions.read(reference.folder)
        settled = self._directions.settled(reference.strength, reference.layers, reference.where)
        act = self._directions.intervention(settled)
        self._acts = (act,) if act else ()
        self.revision: str = f"steer-{act.digest[:12]}" if act else ""

    def check(self, model: Model) -> None:
        check_interventions(model, f"The mitigation '{self.name}'")
        check_revision(model, self._directions)

    async def respond(self, model: Model, request: Request) -> Response:
        return await model.respond(replace(request, interventions=(*request.interventions, *self._acts)))


def check_revision(model: Model, directions: Directions) -> None:
    """Refuse directions that were found in other weights than those of a model that was started.

    Raises:
        ModelError: they were.
    """
    if model.revision != directions.revision:
        raise ModelError(
            f"The directions are those of {directions.model} ({directions.revision}), but the study's model is "
            f"{model.id} ({model.revision}).",
            "Make directions for this model: evenhand steer fit.",
        )
