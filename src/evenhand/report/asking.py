"""The whole command line that asks every identity of an import the same questions, where no more can be asked of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from evenhand.errors import EvenhandError
from evenhand.identities import select
from evenhand.identities.base import FREE_TEXT_PREFIX

_STARTERS = {"safety": "starter-safety", "utility": "starter-utility"}
_OWN = "file:YOUR-QUESTIONS.toml"


def asking(identities: Iterable[str], axes: Iterable[str]) -> str:
    """What asks identities the same questions.

    Args:
        identities: their names, as an import has them.
        axes: which the questions are on; safety and utility where there are none.
    """
    suites = ",".join(dict.fromkeys(_STARTERS.get(axis, _OWN) for axis in axes)) or ",".join(_STARTERS.values())
    plain: list[str] = []
    free: list[str] = []
    for name in identities:
        (plain if _is_known(name) else free).append(name)
    told = [",".join(plain)] if plain else []
    # Free text keeps its commas, and so stands alone.
    told += [f"{FREE_TEXT_PREFIX}{name.removeprefix(FREE_TEXT_PREFIX)}" for name in free]
    options = "".join(f" --identities {shlex.quote(one)}" for one in told)
    return f"evenhand run --model openai:YOUR-MODEL --suite {suites}{options} --out same-questions"


def _is_known(name: str) -> bool:
    """Whether a run would take the name as it stands for one identity, and no name for a file."""
    if "," in name or name.startswith(FREE_TEXT_PREFIX) or name.endswith((".toml", ".csv")):
        return False
    try:
        return len(select([name])) == 1
    except EvenhandError:
        return False
