"""What a search found as a small suite and gate of its own, for every release."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from evenhand.analysis.factorial import Conjunction
from evenhand.errors import SpecError, StoreError
from evenhand.searching.asking import Part
from evenhand.searching.drawing import items_for
from evenhand.searching.universe import Universe
from evenhand.study import StudySpec
from evenhand.study.spec import SPEC_FILE
from evenhand.suites import make_suites
from evenhand.visible import file_names

FOLDER = "regression"
_USERS = "users.toml"
# Others that each finding is set against.
_OTHERS = 4


def write_regression(
    study: StudySpec, part: Part, universe: Universe, found: Sequence[Conjunction], directory: Path
) -> Path:
    """Write the confirmed users, others beside them, and the items as a study to run and to gate.

    Args:
        study: what was searched.
        part: whose items confirmed it.
        universe: of the users.
        found: confirmed findings.
        directory: where to.

    Returns:
        The study's file; its paths are relative to its folder.

    Raises:
        SpecError: nothing was confirmed.
        StoreError: the directory cannot be written.
    """
    if not found:
        raise SpecError(
            "Nothing was confirmed, so there is nothing to check releases for.", "Search with more --calls."
        )
    by_suite: dict[str, list[str]] = {}
    for place in sorted({int(n) for who in found for n in items_for(universe, part.group_names, who)}):
        suite, item = part.places[place]
        by_suite.setdefault(suite, []).append(item)
    files = dict(zip(by_suite, file_names(list(by_suite)), strict=True))
    references = _references(study)
    contents: dict[str, dict[str, Any]] = {
        f"{files[suite]}.toml": {"suite": references[suite], "items": items} for suite, items in by_suite.items()
    }
    contents[_USERS] = {"name": _name(universe, found), "version": "1", "identity": _users(universe, found)}
    kept = study.model_copy(
        update={
            "suites": tuple(f"subset:{files[suite]}.toml" for suite in by_suite),
            "identities": (_USERS,),
            "limit": None,
            "limits": {},
            "repeats": 1,
            "split": "all",
            "data_dir": study.data_dir.absolute() if study.data_dir else None,
        }
    )
    folder = directory / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(tomli_w.dumps(content), encoding="utf-8")
        (folder / SPEC_FILE).write_text(kept.to_toml(), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"Cannot write to {folder}: {error.strerror}.", "Choose another --out.") from None
    return folder / SPEC_FILE


def _references(study: StudySpec) -> dict[str, str]:
    """Suite -> how a study elsewhere names it: files by their whole path."""
    found: dict[str, str] = {}
    for reference in study.suites:
        kind, _, argument = reference.partition(":")
        whole = f"{kind}:{Path(argument).absolute()}" if kind == "file" else ""
        found |= {suite.id: whole or suite.id for suite in make_suites([reference])}
    return found


def _users(universe: Universe, found: Sequence[Conjunction]) -> list[dict[str, str]]:
    """Each finding's user, of whom nothing else is said, and others of whom the same kinds of things are said."""
    users: dict[str, str] = {}
    for number, who in enumerate(found, 1):
        rng = np.random.default_rng(number)
        alone = universe.alone(who)
        category = f"finding {number}"
        users.setdefault(universe.identity(alone).name, category)
        for _ in range(_OTHERS):
            users.setdefault(universe.identity(universe.other(rng, alone, who)).name, category)
    return [{"name": name, "category": category} for name, category in users.items()]


def _name(universe: Universe, found: Sequence[Conjunction]) -> str:
    """A catalogue's name, another one for other findings."""
    digest = hashlib.blake2b(repr([universe.phrase(who) for who in found]).encode(), digest_size=4).hexdigest()
    return f"found-{digest}"
