"""What a user wrote in a TOML file or on the command line, checked; every mistake in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evenhand.errors import SpecError, did_you_mean
from evenhand.types import whole_characters

S = TypeVar("S", bound=BaseModel)


class Strict(BaseModel):
    """What every file takes: no field that is not known, and no number that is none. It does not change."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: the file.
        what: what it is, for messages ("study file").

    Raises:
        SpecError: it is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SpecError(f"There is no {what} at {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: not a readable TOML file: {error}.") from None


def validated(kind: type[S], data: dict[str, Any], where: str, known: Iterable[str] = ()) -> S:
    """Data as a spec.

    A field that stands at the wrong depth is told where it belongs.

    Args:
        kind: the spec's class.
        data: plain data.
        where: where it comes from, for messages.
        known: further names of fields to suggest for a misspelt one.

    Raises:
        SpecError: a field is unknown, missing or out of range; the message names it.
    """
    if (field := _unreadable(data)) is not None:
        raise SpecError(f"{where}: {field}: it is not valid UTF-8.", "Neither files nor servers take it.")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # A misspelt name explains why another field is missing, not the other way round.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        if first["type"] == "extra_forbidden":
            leaf, elsewhere = str(first["loc"][-1]), _places(kind, str(first["loc"][-1]))
            places = sorted((place for place in elsewhere if place != field), key=len)
            near = f"It is {' or '.join(places)}." if places else did_you_mean(leaf, [*known, *kind.model_fields])
            raise SpecError(f"{where}: there is no field '{field}'.", near) from None
        raise SpecError(f"{where}: {field}: {first['msg']}.", f"Got: {first.get('input')!r}.") from None


def _unreadable(value: Any, place: str = "") -> str | None:
    """Where a text in plain data holds half a character, as arguments do that are not UTF-8; None where none does."""
    if isinstance(value, str):
        return (place or "the whole") if whole_characters(value) != value else None
    held = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (_unreadable(inner, f"{place}.{key}".lstrip(".")) for key, inner in held)
    return next((field for field in found if field is not None), None)


def _places(kind: type[BaseModel], name: str, above: str = "") -> list[str]:
    """The dotted paths of the fields of that name, in a spec and the specs within it."""
    found = [above + name] if name in kind.model_fields else []
    for field, described in kind.model_fields.items():
        if isinstance(described.annotation, type) and issubclass(described.annotation, BaseModel):
            found += _places(described.annotation, name, f"{above}{field}.")
    return found
