"""Models: what answers. Local through transformers, or any OpenAI-compatible server."""

from evenhand.models.base import (
    MODELS,
    CallError,
    Model,
    ModelOptions,
    check_interventions,
    make_model,
    respond_all,
    total,
)

__all__ = [
    "MODELS",
    "CallError",
    "Model",
    "ModelOptions",
    "check_interventions",
    "make_model",
    "respond_all",
    "total",
]
