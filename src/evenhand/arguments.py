"""What callers of the library may give for a study, a model and settings, made into one kind each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from evenhand.analysis import Settings
from evenhand.analysis.estimand import ESTIMANDS
from evenhand.errors import SpecError, did_you_mean
from evenhand.models import Model
from evenhand.models.function import FunctionModel
from evenhand.study import StudySpec

Study = StudySpec | Mapping[str, Any] | Path | str


def study_of(study: Study) -> StudySpec:
    """A study from a spec, its fields, or its file.

    Raises:
        SpecError: it is none of these, or not valid.
    """
    if isinstance(study, str | Path):
        return StudySpec.from_toml(Path(study))
    if isinstance(study, StudySpec):
        return study
    if not isinstance(study, Mapping):
        raise SpecError(f"A study is no {type(study).__name__}.", "Give a StudySpec, a mapping, or a file's path.")
    return StudySpec.parse(dict(study))


def with_model(study: Study, model: Model | str | Callable[..., Any] | None) -> tuple[StudySpec, Model | None]:
    """A study and what to call for it; ``study.model`` may be missing from a mapping when a model is given.

    Raises:
        SpecError: the study is not valid, or the model is neither a reference, a function, nor a model.
    """
    if model is None:
        return study_of(study), None
    if isinstance(model, str):
        spec = study_of({**study, "model": model} if isinstance(study, Mapping) else study)
        return spec.model_copy(update={"model": model}), None
    if isinstance(model, type) or not (isinstance(model, Model) or callable(model)):
        raise SpecError(
            f"The model {model!r} is neither a reference, a function, nor a model.",
            'Give "openai:NAME", a function of messages, or an object of a subclass of evenhand.models.Model.',
        )
    spec = study_of(study if not isinstance(study, Mapping) else {"model": _name_of(model), **study})
    if isinstance(model, Model):
        return spec, model
    return spec, FunctionModel(spec.model, spec.options.options(), model)


def _name_of(model: Any) -> str:
    return model.id if isinstance(model, Model) else f"function:{getattr(model, '__name__', type(model).__name__)}"


def settings_of(given: Settings | Mapping[str, Any] | None) -> Settings | None:
    """How the analysis is done, from its fields.

    Raises:
        SpecError: a field is unknown, or it is no mapping.
    """
    if given is None or isinstance(given, Settings):
        return given
    if not isinstance(given, Mapping):
        raise SpecError(f"Settings are no {type(given).__name__}.", 'Give Settings(...) or a mapping: {"draws": 500}.')
    known = [field.name for field in fields(Settings)]
    for name, value in given.items():
        if name not in known:
            raise SpecError(f"The settings have no field '{name}'.", did_you_mean(str(name), known))
        if name == "level":
            if not isinstance(value, float) or not 0 < value < 1:
                raise SpecError(f"The settings' level is {value!r}, not between 0 and 1.", "Give 0.95, or 0.99.")
        elif name == "estimand":
            if value not in ESTIMANDS:
                raise SpecError(f"The settings' estimand is {value!r}.", f"It is one of {', '.join(ESTIMANDS)}.")
        elif not isinstance(value, int):
            raise SpecError(f"The settings' {name} is {value!r}, not a whole number.")
    return Settings(**given)
