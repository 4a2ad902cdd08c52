"""An assistant that is a Python function."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from evenhand.errors import ModelError, SpecError, one_line
from evenhand.models.base import MODELS, CallError, Model, ModelOptions, must_generate
from evenhand.types import Request, Response

_OPTIONAL = ("seed", "max_tokens", "temperature")


class FunctionModel(Model):
    """Calls ``function(messages)`` with a list of ``{"role": ..., "content": ...}``; it returns the answer's text.

    It is also given ``seed``, ``max_tokens`` and ``temperature`` where it has parameters of these names. A coroutine
    function is awaited, any other runs in a thread. What it raises fails that call only.
    """

    def __init__(self, name: str, options: ModelOptions) -> None:
        self.id: str = f"python:{name}"
        self._function = _load(name)
        self._waits = inspect.iscoroutinefunction(self._function)
        self.concurrency: int = options.concurrency or (64 if self._waits else 8)
        parameters = inspect.signature(self._function).parameters
        self._wanted = tuple(name for name in _OPTIONAL if name in parameters)

    async def respond(self, request: Request) -> Response:
        must_generate(self, request)
        messages = [m.to_dict() for m in request.messages]
        decoding = request.decoding
        given = {"seed": request.seed, "max_tokens": decoding.max_tokens, "temperature": decoding.temperature}
        settings = {name: given[name] for name in self._wanted}
        started = time.perf_counter()
        try:
            if self._waits:
                text = await self._function(messages, **settings)
            else:
                text = await asyncio.to_thread(self._function, messages, **settings)
        except Exception as error:
            raise CallError(f"{type(error).__name__}: {one_line(str(error))}") from error
        if not isinstance(text, str):
            raise CallError(f"{self.id} returned {type(text).__name__}, not a text")
        return Response(text, latency_s=time.perf_counter() - started)


def _load(reference: str) -> Callable[..., Any]:
    """The function of ``FILE.py:NAME`` or ``package.module:NAME``.

    Raises:
        SpecError: the reference is not of that form.
        ModelError: there is no such function, or its module cannot be imported.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise SpecError(f"The model 'python:{reference}' names no function.", "Write python:FILE.py:FUNCTION.")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise ModelError(f"{place} cannot be imported: {type(error).__name__}: {one_line(str(error))}.") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ModelError(f"There is no function '{name}' in {place}.", "Check the name behind the last colon.")
    return function  # type: ignore[no-any-return]


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


@MODELS.register("python")
def function_model(name: str, options: ModelOptions) -> Model:
    """``python:FILE.py:FUNCTION``: a function of yours that takes messages and returns the answer."""
    return FunctionModel(name, options)
