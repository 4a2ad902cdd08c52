"""An assistant that is a Python function."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO, cast

from evenhand.errors import ModelError, SpecError, one_line
from evenhand.models.base import MODELS, CallError, Model, ModelOptions, must_generate
from evenhand.types import Request, Response

# Files of installed packages and of Python itself: a traceback goes through them, its cause is seldom there.
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3\.\d+[/\\]|[/\\]importlib[/\\]")
_OPTIONAL = ("seed", "max_tokens", "temperature")


class FunctionModel(Model):
    """Calls ``function(messages)`` with a list of ``{"role": ..., "content": ...}``; it returns the answer's text.

    It is also given ``seed``, ``max_tokens`` and ``temperature`` where it has parameters of these names. A coroutine
    function, or an object whose ``__call__`` is one, is awaited; any other runs in a thread, and what it returns is
    awaited where it can be. What it raises fails that call only. What it prints goes to stderr.

    ``revision`` is that of the file which defines it: an edited function is another model.
    """

    counts_tokens = False

    def __init__(self, id: str, options: ModelOptions, function: Callable[..., Any]) -> None:
        self.id: str = id
        self._function = function
        self.revision: str = _revision(self._function)
        self._waits = _is_coroutine_function(self._function)
        self.concurrency: int = options.concurrency or (64 if self._waits else 8)
        self._redirected: TextIO | None = None
        parameters = inspect.signature(self._function).parameters
        self._wanted = tuple(name for name in _OPTIONAL if name in parameters)

    async def start(self) -> None:
        self._redirected = sys.stdout = cast("TextIO", _ToStderr(sys.stdout))

    async def aclose(self) -> None:
        if sys.stdout is self._redirected and isinstance(sys.stdout, _ToStderr):
            sys.stdout = sys.stdout.stdout

    async def respond(self, request: Request) -> Response:
        must_generate(self, request)
        messages = [m.to_dict() for m in request.messages]
        decoding = request.decoding
        given = {"seed": request.seed, "max_tokens": decoding.max_tokens, "temperature": decoding.temperature}
        settings = {name: given[name] for name in self._wanted}
        started = time.perf_counter()
        before = _IN_FUNCTION.set(True)
        try:
            if self._waits:
                text = await self._function(messages, **settings)
            else:
                text = await asyncio.to_thread(self._function, messages, **settings)
            if inspect.isawaitable(text):
                text = await text
        except Exception as error:
            raise CallError(f"{type(error).__name__}: {one_line(str(error))}{_where(error)}") from error
        finally:
            _IN_FUNCTION.reset(before)
        if not isinstance(text, str):
            raise CallError(f"{self.id} returned {type(text).__name__}, not a text")
        return Response(text, latency_s=time.perf_counter() - started)


class _ToStderr:
    """Stands in for ``sys.stdout``, which is the command's own answer: what the function prints goes to stderr.

    Told by context, as many calls are under way at once; threads of :func:`asyncio.to_thread` inherit it.
    """

    def __init__(self, stdout: TextIO) -> None:
        self.stdout = stdout

    def _stream(self) -> TextIO:
        return sys.stderr if _IN_FUNCTION.get() else self.stdout

    def write(self, text: str) -> int:
        return self._stream().write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)


_IN_FUNCTION: ContextVar[bool] = ContextVar("in_function", default=False)


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    called = function if inspect.isroutine(function) else type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _home(function: Callable[..., Any]) -> Path | None:
    """The file that defines it, or its class; None for what is built in."""
    while isinstance(function, functools.partial):
        function = function.func
    plain = inspect.unwrap(function)
    try:
        found = inspect.getsourcefile(plain if inspect.isroutine(plain) else type(plain))
    except TypeError:
        return None
    return Path(found) if found else None


def _revision(function: Callable[..., Any]) -> str:
    """Of the source file, "" where there is none."""
    home = _home(function)
    try:
        return hashlib.blake2b(home.read_bytes(), digest_size=6).hexdigest() if home else ""
    except OSError:
        return ""


def _where(error: BaseException) -> str:
    """File and line of the user's code: the innermost that is no installed package's, else the innermost."""
    if isinstance(error, SyntaxError):  # says it itself
        return ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and f.filename[0] != "<"]
    own = [frame for frame in frames if not _INSTALLED.search(frame.filename)] or frames
    if not own:
        return ""
    file = Path(own[-1].filename)
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f" ({shown}, line {own[-1].lineno})"


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
        with contextlib.redirect_stdout(sys.stderr):
            module = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise ModelError(
            f"{place} cannot be imported: {type(error).__name__}: {one_line(str(error))}{_where(error)}."
        ) from error
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
    return FunctionModel(f"python:{name}", options, _load(name))
