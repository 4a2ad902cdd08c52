"""Catalogues of people, from files and from packages, and who asks which item."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError, SpecError, did_you_mean, one_line
from evenhand.registry import Registry
from evenhand.types import Person

_FILES = (".toml", ".jsonl", ".parquet")

PEOPLE: Registry[Callable[[], Sequence[Person]]] = Registry("catalogue of people", "evenhand.people", "evenhand.people")


def select_people(references: Iterable[str]) -> tuple[Person, ...]:
    """People from catalogues, in order, without duplicates.

    Args:
        references: names of registered catalogues ("starter"), or TOML, JSONL and Parquet files.

    Raises:
        SpecError: there is no such catalogue, or two people have one name.
        DataError: a file is malformed.
    """
    found: dict[str, Person] = {}
    for reference in references:
        people = read_people(Path(reference)) if reference.endswith(_FILES) else make_people(reference)
        for person in people:
            if found.setdefault(person.name, person) != person:
                raise SpecError(f"Two different people are called '{person.name}'.", "Rename one in its catalogue.")
    return tuple(found.values())


def make_people(name: str) -> tuple[Person, ...]:
    """The people of a registered catalogue.

    Raises:
        SpecError: there is none of that name, or it cannot be made.
    """
    make = PEOPLE.get(name)
    try:
        made = tuple(make())
    except Exception as error:  # it may be somebody else's code
        raise SpecError(
            f"The catalogue of people '{name}' cannot be made: {type(error).__name__}: {one_line(str(error))}."
        ) from error
    if not made or not all(isinstance(person, Person) for person in made):
        raise SpecError(f"The catalogue of people '{name}' holds something that is no Person, or nobody.")
    return made


def read_people(path: Path) -> tuple[Person, ...]:
    """The people of a file: ``[[person]]`` tables of TOML, lines of JSONL, or rows of Parquet.

    Raises:
        DataError: it is missing or malformed, a person is, or two have one name; the message names the entry.
    """
    records = _records(path)
    if not records:
        raise DataError(f"{path}: no people.", "Write a [[person]] table, or a line, for each.")
    people: dict[str, Person] = {}
    for number, record in enumerate(records, 1):
        person = read_person(record, f"{path}: person {number}")
        if people.setdefault(person.name, person) is not person:
            raise DataError(f"{path}: two people are called '{person.name}'.", "Rename one.")
    return tuple(people.values())


def read_person(record: Any, where: str) -> Person:
    """A person from plain data.

    Raises:
        DataError: a field is unknown, missing or of the wrong kind, or an opinion's answer is none of its options.
    """
    from pydantic import ValidationError

    try:
        person: Person = _adapter().validate_python(record)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DataError(f"{where}: {field}: {first['msg']}.", f"Got: {one_line(repr(first.get('input')))}.") from None
    if unknown := _unknown(record, plain_person(person)):
        field, known = unknown
        raise DataError(f"{where}: there is no field '{field}'.", did_you_mean(field.rpartition(".")[2], known))
    if not person.name.strip():
        raise DataError(f"{where} has no name.", "Give one; no model is told it.")
    for session in person.sessions:
        roles = [message.role for message in session.messages]
        if roles != ["user", "assistant"] * (len(roles) // 2) or not roles:
            raise DataError(f"{where}: a session's turns are not user, assistant, user, ..., assistant.")
    for opinion in person.opinions:
        if opinion.answer not in opinion.options or len(set(opinion.options)) < len(opinion.options):
            raise DataError(
                f"{where}: the answer '{opinion.answer}' to '{opinion.question}' is none of its options, or two of "
                "these are the same."
            )
    return person


def plain_person(person: Person) -> dict[str, Any]:
    """A person as plain data, which :func:`read_person` reads."""
    return asdict(person)


def assigned(suite: str, item: str, people: Sequence[Person]) -> Person | None:
    """Who asks an item that belongs to nobody: by a hash, the same for all identities; None where there is nobody."""
    return max(people, key=lambda person: _digest(suite, item, person.name), default=None)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Person)


def _unknown(record: Any, read: Any, above: str = "") -> tuple[str, list[str]] | None:
    """The first field of a record that was not read, by its dotted path, with those that are known there."""
    if isinstance(record, dict):
        for key, value in record.items():
            if key not in read:
                return f"{above}{key}", list(read)
            if found := _unknown(value, read[key], f"{above}{key}."):
                return found
    elif isinstance(record, list | tuple):
        for number, (value, held) in enumerate(zip(record, read, strict=True)):
            if found := _unknown(value, held, f"{above}{number}."):
                return found
    return None


def _records(path: Path) -> list[Any]:
    try:
        if path.suffix == ".toml":
            import tomllib

            found = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("person", [])
            return found if isinstance(found, list) else [found]
        if path.suffix == ".parquet":
            import polars as pl

            return [_without_nulls(row) for row in pl.read_parquet(path).to_dicts()]
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        return [orjson.loads(line) for line in lines if line.strip()]
    except FileNotFoundError:
        raise DataError(f"There is no file of people at {path}.") from None
    except Exception as error:  # each reader raises kinds of its own
        raise DataError(f"{path}: not a readable {path.suffix[1:].upper()} file: {one_line(str(error))}.") from None


def _without_nulls(value: Any) -> Any:
    """Parquet has every column for every row; a null there is a field that was left out."""
    if isinstance(value, dict):
        return {key: _without_nulls(held) for key, held in value.items() if held is not None}
    return [_without_nulls(held) for held in value] if isinstance(value, list) else value
