"""What the documentation tells people to type exists: every command, every option, every linked file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from evenhand.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def command_lines() -> Iterator[tuple[str, str]]:
    """(page, command) of every line that begins with ``evenhand`` in a code block or between backticks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.findall(r"^(?:    |- run: |)(evenhand [a-z][^\n]*)$", text, re.MULTILINE)
        found += re.findall(r"`(evenhand [a-z][^`\n]*)`", text)
        found += re.findall(r"run: (evenhand [a-z][^\n]*)", text)
        for line in dict.fromkeys(found):
            yield page.name, line.partition("#")[0].strip()


COMMANDS = list(command_lines())


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 25
    assert {line.split()[1] for _, line in COMMANDS} >= {
        "run",
        "analyze",
        "report",
        "check",
        "mitigate",
        "tune",
        "judge",
    }


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_every_command_in_the_docs_is_understood(page: str, line: str) -> None:
    command: click.Command = typer.main.get_command(app)
    arguments = [part for part in shlex.split(line)[1:] if part != "..."]
    context = click.Context(command, info_name="evenhand")
    while hasattr(command, "commands") and arguments:
        name = arguments.pop(0)
        found = command.get_command(context, name)  # type: ignore[attr-defined]
        assert found is not None, f"{page}: there is no command '{name}'"
        command, context = found, click.Context(found, parent=context, info_name=name)
    if "..." in line or not arguments:
        known = {option for p in command.params for option in getattr(p, "opts", [])}
        assert {a for a in arguments if a.startswith("--")} <= known, page
    else:
        command.make_context(context.info_name, arguments, parent=context.parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_linked_files_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
    for target in re.findall(r"`((?:src|training|tests|examples|benchmarks|docs)/[\w./-]+)`", page.read_text()):
        assert (ROOT / target).exists(), target
