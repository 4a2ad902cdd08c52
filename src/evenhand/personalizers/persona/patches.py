"""Changes to the dictionary as a JSON patch (RFC 6902: add, replace, remove), validated before any of it is made.

A patch is made as a whole or not at all, as the standard has it. Beyond the standard every operation names the turn it
rests on, and only turns that were shown count: what nobody said cannot be learned from a source that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evenhand.errors import one_line
from evenhand.json_text import json_objects
from evenhand.personalizers.persona.dictionary import Dictionary, Edit, PatchError, Place

MOST_CHANGES = 12
_LIST = "changes"
_PATH = re.compile(r"/?(?P<field>[a-z]+/[a-z]+)(?:/(?P<number>\d{1,3}|-))?")
_PLACE = re.compile(r"\[?(\d{1,6})\.(\d{1,6})\]?")
_SHOWN = 100


class Change(BaseModel):
    """One operation of a patch.

    Attributes:
        op: what to do.
        path: "/GROUP/FIELD", with "/NUMBER" (from 0) for one of several entries; a new one goes last.
        value: the entry, for all but "remove".
        source: the user's turn it rests on, "SESSION.TURN".
        sensitive: whether the user would not want it shown where it does not help.
    """

    # Members that the standard does not know are to be ignored.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True)

    op: Literal["add", "replace", "remove"]
    path: str
    value: str = ""
    source: str
    sensitive: bool = False


_PATCH: TypeAdapter[list[Change]] = TypeAdapter(Annotated[list[Change], Field(max_length=MOST_CHANGES)])


def read_patch(text: str) -> list[Change]:
    """The operations in what a model wrote: an object with "changes", or the operations themselves.

    Raises:
        PatchError: there is none, or one is malformed.
    """
    found = [value for _, _, value in json_objects(text)]
    lists = [value[_LIST] for value in found if isinstance(value.get(_LIST), list)]
    bare = [value for value in found if "op" in value]
    if not lists and not bare and text.strip().strip("`").removeprefix("json").strip() != "[]":
        raise PatchError(f'there is no JSON object with "{_LIST}"')
    try:
        return _PATCH.validate_python(lists[0] if lists else bare)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or _LIST
        raise PatchError(f"{where}: {one_line(first['msg'])}"[:_SHOWN]) from None


def applied(
    dictionary: Dictionary, changes: Sequence[Change], shown: Collection[Place]
) -> tuple[Dictionary, list[Edit]]:
    """The dictionary with all changes, and what they changed.

    Args:
        dictionary: as it is.
        changes: in order; numbers count what stands there when an operation's turn comes.
        shown: the turns that may be named as sources.

    Raises:
        PatchError: one of them cannot be made.
    """
    edits = []
    for change in changes:
        dictionary, edit = _applied(dictionary, change, shown)
        edits.append(edit)
    return dictionary, edits


def _applied(dictionary: Dictionary, change: Change, shown: Collection[Place]) -> tuple[Dictionary, Edit]:
    path = _PATH.fullmatch(change.path.strip())
    if path is None:
        raise PatchError(f"the path {one_line(change.path)[:_SHOWN]} is not /GROUP/FIELD")
    place = _PLACE.fullmatch(change.source.strip())
    source = Place(int(place[1]), int(place[2])) if place else None
    if source not in shown or source is None:
        raise PatchError(f"the source {one_line(change.source)[:_SHOWN]} is no turn of the user's that was shown")
    name, number = path["field"], path["number"]
    if change.op == "add":
        return dictionary.add(name, change.value, source, sensitive=change.sensitive)
    if number == "-" or (number is None and len(dictionary.entries.get(name, ())) > 1):
        raise PatchError(f"which entry of {name} is meant? Say it as in /{name}/0")
    at = int(number or 0)
    if change.op == "remove":
        return dictionary.take(name, at, source)
    return dictionary.put(name, at, change.value, source, sensitive=change.sensitive)
