"""Values on their way out of the program's process: plain data, never code.


A program could return an object that claims to be equal to everything. Such an object stays where it is; the tests see
its type and its truth.
"""

from __future__ import annotations

import functools
import importlib
import math
import sys
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_NODES = 100_000
_MOST_DEPTH = 60
# JSON numbers up to here survive any reader; Python's own limit on digits does not apply to hexadecimal.
_EXACT = 1 << 53
# Types that few programs use, by the modules that take long to import.
_NUMBERS = {"decimal": "Decimal", "fractions": "Fraction"}


class Unplain:
    """Stands for an object that is no plain data: equal to itself only, true or false as it was."""

    def __init__(self, kind: str, truth: bool) -> None:
        self._kind = kind
        self._truth = truth

    def __bool__(self) -> bool:
        return self._truth

    def __repr__(self) -> str:
        return f"<an object of type {self._kind}>"


def encode(value: Any) -> Any:
    """A value as JSON.

    Raises:
        ValueError: it is too large or too deep.
    """
    return _Encoder().encode(value, 0)


class _Encoder:
    def __init__(self) -> None:
        self._left = _MOST_NODES

    def encode(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _MOST_DEPTH:
            raise ValueError("the value is too large to compare")
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return value if -_EXACT < value < _EXACT else {"int": hex(value)}
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, complex):
            return {"complex": repr(value)}
        if isinstance(value, bytes | bytearray):
            return {"bytes": value.hex()}
        for module, name in _NUMBERS.items():
            # Imported by the program, where one of its values is of that type.
            if module in sys.modules and isinstance(value, getattr(sys.modules[module], name)):
                return {name: str(value)}
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            return self._all(value, depth)
        for kind in (tuple, set, frozenset):
            if isinstance(value, kind):
                return {kind.__name__: self._all(value, depth)}
        if isinstance(value, dict):
            return {"dict": [self._all(pair, depth) for pair in value.items()]}
        if isinstance(value, range):
            return {"range": [value.start, value.stop, value.step]}
        if isinstance(value, Iterator):
            return {"iterator": self._all(value, depth)}
        return {"unplain": type(value).__name__, "truth": bool(value)}

    def _all(self, values: Any, depth: int) -> list[Any]:
        return [self.encode(v, depth + 1) for v in values]


def decode(data: Any) -> Any:
    """The value of what :func:`encode` made; whatever else a hostile program sent is a ValueError or an Unplain.

    Raises:
        ValueError, TypeError, KeyError: it is no encoded value.
    """
    if isinstance(data, list):
        return [decode(d) for d in data]
    if not isinstance(data, dict):
        return data
    if "unplain" in data:
        return Unplain(str(data["unplain"])[:80], data.get("truth") is True)
    ((kind, content),) = data.items()
    return _DECODERS[kind](content)


def _number(module: str, text: str) -> Any:
    return getattr(importlib.import_module(module), _NUMBERS[module])(text)


_DECODERS: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "float": lambda text: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[text],
    "complex": complex,
    "bytes": bytes.fromhex,
    **{name: functools.partial(_number, module) for module, name in _NUMBERS.items()},
    "tuple": lambda members: tuple(decode(members)),
    "set": lambda members: set(decode(members)),
    "frozenset": lambda members: frozenset(decode(members)),
    "dict": lambda pairs: dict(decode(pairs)),
    "range": lambda ends: range(*ends),
    "iterator": lambda members: iter(decode(members)),
}
