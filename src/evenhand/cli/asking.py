"""The study that ``evenhand run`` asks for, where it is given nothing on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evenhand.cli.output import say, show
from evenhand.errors import EvenhandError, SpecError

if TYPE_CHECKING:
    from evenhand.study import StudySpec

_SUITES = "starter-safety,starter-utility"
_LIMIT = 60


def can_ask() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask_study(out: Path | None) -> Path:
    """Ask which model, whom it is told that it talks to, on what, and how much of it; write the study file.

    Args:
        out: the study's directory; a free one by default.

    Returns:
        The file.

    Raises:
        SpecError: there is a study in ``out``.
        typer.Abort: whoever was asked left; nothing was written.
    """
    from evenhand.api import estimate_cost
    from evenhand.report.terminal import estimate_table
    from evenhand.study.spec import SPEC_FILE

    file = (out or _free()) / SPEC_FILE
    if file.exists():
        raise SpecError(f"There is a study in {file.parent}.", f"To go on with it: evenhand run {file}")
    say("Four questions make a study. Return takes what stands in brackets; Ctrl-C leaves.")
    spec = _asked()
    show(estimate_table(estimate_cost(spec)))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(spec.to_toml(), encoding="utf-8")
    say(f"Written: {file}; more settings: evenhand run --help. To run it, and to go on with it: evenhand run {file}")
    return file


def _asked() -> StudySpec:
    given: dict[str, Any] = {}

    def spec(**more: Any) -> StudySpec:
        from evenhand.study import StudySpec

        return StudySpec.parse({"suites": ["starter-safety"], **given, **more}, "your answers")

    def model(text: str) -> dict[str, Any]:
        from evenhand.models import make_model

        url = _address() if text.startswith("openai:") else ""
        options = {"options": {"base_url": url}} if url else {}
        make_model(text, spec(model=text, **options).options.options())
        return {"model": text, **options}

    def identities(text: str) -> dict[str, Any]:
        from evenhand.identities import select

        found = _listed(text)
        select(spec(identities=found).identities)
        return {"identities": found}

    def suites(text: str) -> dict[str, Any]:
        from evenhand.runner.plan import make_plan

        found = _listed(text)
        make_plan(spec(suites=found))
        return {"suites": found}

    def limit(text: str) -> dict[str, Any]:
        return {} if text == "all" else {"limit": spec(limit=text).limit}

    given |= _answer("1. Which model? openai:NAME, hf:NAME, smollm2, ... ('evenhand list models')", model)
    given |= _answer("2. Whom is it told that it talks to? A catalogue, categories, or who", identities, "paper")
    given |= _answer("3. What is it asked? ('evenhand list suites')", suites, _SUITES)
    given |= _answer("4. How many items of each suite? A number, or all", limit, str(_LIMIT))
    return spec()


def _answer(question: str, read: Callable[[str], dict[str, Any]], default: str | None = None) -> dict[str, Any]:
    """What somebody answers; asked again until it can be used."""

    def tried(text: str) -> dict[str, Any]:
        try:
            return read(text.strip())
        except EvenhandError as error:
            raise typer.BadParameter(f"{error.problem} {error.fix or ''}".strip()) from None

    found: dict[str, Any] = typer.prompt(question, default=default, value_proc=tried)
    return found


def _address() -> str:
    """Where the server of an ``openai:`` model is; "" for OpenAI's own, or what the environment names."""
    if os.environ.get("OPENAI_BASE_URL"):
        return ""
    found: str = typer.prompt("   At which address? As http://localhost:8000/v1; Return for OpenAI's own", default="")
    return found.strip()


def _listed(text: str) -> list[str]:
    from evenhand.cli.run import listed

    return listed([text]) or []


def _free() -> Path:
    """The first directory that is not there yet: ``study``, ``study-2``, ..."""
    number = 1
    while (found := Path("study" if number == 1 else f"study-{number}")).exists():
        number += 1
    return found
