"""What the documentation tells people to type works: its commands and Python are run, page by page, from top to bottom.

A loopback server stands in for every model, and ``--limit`` and ``--budget`` are lowered; files that a page shows with
a title are there. What needs the weights of a local model or a cluster is only parsed here; tests of its own run it.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from evenhand.cli.main import app
from evenhand.errors import EvenhandError
from evenhand.serving import listen
from tests.server import Server, default_answer
from tests.test_own_assistants import MemoryAssistant

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs" / "reference" / "cli.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page != GENERATED]
LOCAL_ONLY = (
    "executor ray",
    "evolve",
    "evenhand tune",
    "export-adapter",
    "evenhand steer",
    "steer:",
    "evenhand policy",
    "np-policy:",
    "--adapter",
    "--classify",
    "contrast",
    "--also",
    "demo",
    "hf:",
    "edits:texts",
    "preset memory",
)
LOWERED = {"--limit": 6, "--budget": 2700, "--count": 40, "--concurrency": 64, "--steps": 20}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it shows ("" for none), and its text."""

    language: str
    file: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    for language, rest, text in re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        title = re.search(r'title="([^"]+)"', rest)
        yield Block(language, title[1] if title else "", text)


def commands(text: str) -> list[str]:
    """The commands of a shell block or of a workflow's steps, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [re.sub(r"^\s*- run: ", "", line).split(" #")[0].strip() for line in lines]
    return [line for line in found if line.startswith(("evenhand ", "export "))]


def shown_commands() -> Iterator[tuple[str, str]]:
    """(page, command) of everything that begins with ``evenhand``, in blocks and between backticks."""
    for page in PAGES:
        found = [c for b in blocks(page) if b.language in ("sh", "yaml", "text") for c in commands(b.text)]
        found += re.findall(r"`(evenhand [a-z][^`\n]*)`", page.read_text())
        for line in dict.fromkeys(c for c in found if c.startswith("evenhand ")):
            yield page.name, line


COMMANDS = list(shown_commands())


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 50
    words = {"run", "analyze", "report", "check", "mitigate", "tune", "judge", "export", "compare", "plan", "status"}
    assert {line.split()[1] for _, line in COMMANDS} >= words


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


def answer(payload: dict[str, Any]) -> str:
    """As the usual stand-in; a judge that is asked for an action names one, and a letter is only that."""
    text = json.dumps(payload["messages"])
    if "Grades:" in text:
        return f"Score: {1 + len(text) % 5}/5"
    if '\\"satisfied\\"' in text:
        return json.dumps({"reason": "So it is.", "satisfied": len(text) % 2 == 0, "reply": "Shorter, please."})
    if '\\"helpfulness\\"' in text:
        return json.dumps({"reason": "So it is.", "helpfulness": 7, "personalization": 5})
    if "gave two answers" in text:
        return "Better: " + "AB"[len(text) % 2]
    if payload.get("logprobs"):
        return "ABCD"[len(text) % 4]
    return "Action: 5" if "action" in text.lower() and "response" in text.lower() else default_answer(payload)


class Reader:
    """Does what a page says, in a directory of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, data_dir: Path, server: Server, bot: Server) -> None:
        self.monkeypatch, self.data_dir, self.server, self.bot = monkeypatch, data_dir, server, bot
        self.ran: list[str] = []

    def read(self, page: Path) -> None:
        for block in blocks(page):
            text = self.here(block.text)
            if block.file:
                Path(block.file).write_text(text)
            elif block.language == "python" and "def test_" not in text:
                exec(compile(text, str(page), "exec"), {"__name__": page.stem})
            elif block.language in ("sh", "yaml"):
                for command in commands(text):
                    self.do(command)

    def here(self, text: str) -> str:
        """The text with addresses and folders that exist here."""
        text = text.replace("http://localhost:9000/v1", self.bot.url)
        text = re.sub(r"http://localhost:\d+/v1", self.server.url, text)
        text = text.replace("--model smollm2", "--model openai:smollm2").replace('"$GITHUB_STEP_SUMMARY"', "summary.md")
        return text.replace("../shared/data", str(self.data_dir))

    def do(self, command: str) -> None:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.monkeypatch.setenv(name, "k" if value == "..." else value)
            return
        if any(word in command for word in LOCAL_ONLY):
            return
        arguments = shlex.split(command)[1:]
        for option, most in LOWERED.items():
            if option in arguments:
                place = arguments.index(option) + 1
                arguments[place] = str(min(int(arguments[place]), most))
        if arguments[:2] == ["judge", "label"] and arguments[3].endswith(".csv"):
            people_label(Path(arguments[3]))
        # Whatever is served until somebody ends it ends at once; on the page for labels somebody clicks once.
        self.monkeypatch.setattr("evenhand.serving.listen", lambda *_: listen())
        self.monkeypatch.setattr("evenhand.deploy.proxy.serve", lambda proxy, listening: listening.close())
        self.monkeypatch.setattr("evenhand.labelling.server.serve", lambda session, *_, **__: session.say(0, "follows"))
        done = CliRunner().invoke(app, arguments)
        told = f"{command}\n{done.output}"
        if isinstance(done.exception, EvenhandError):
            pytest.fail(f"{told}\n{done.exception}")
        allowed = (0, 1, 6) if arguments[0] == "check" else (0,)
        assert done.exit_code in allowed, f"{told}\n{done.exception!r}"
        assert done.exception is None or isinstance(done.exception, SystemExit)
        self.ran.append(command)


def people_label(file: Path) -> None:
    """Fill in a sample's labels, as the page asks people to."""
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    with file.open("w") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "label": "full_refusal"} for row in rows)


WITH_CODE = [p for p in PAGES if any(b.language in ("sh", "yaml", "python") for b in blocks(p))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EVENHAND_DATA_DIR", str(data_dir))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("LOCAL_API_KEY", "k")
    monkeypatch.setenv("COLUMNS", "200")
    with Server(answer) as server, MemoryAssistant() as bot:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        reader = Reader(monkeypatch, data_dir, server, bot)
        reader.read(page)
    wanted = [c for b in blocks(page) if b.language in ("sh", "yaml") and not b.file for c in commands(b.text)]
    wanted = [c for c in wanted if c.startswith("evenhand ") and not any(word in c for word in LOCAL_ONLY)]
    assert len(reader.ran) == len(wanted)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_linked_files_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
    for target in re.findall(r"`((?:src|training|tests|examples|benchmarks|docs)/[\w./-]+)`", page.read_text()):
        assert (ROOT / target).exists(), target
