"""The examples run, and show what they say they show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from evenhand import api
from tests.server import Server

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_an_assistant_of_ones_own(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "own_assistant.py"), str(tmp_path / "study")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    scores = {line[:24].strip(): float(line[24:]) for line in done.stdout.splitlines()[1:-1]}
    assert scores["a woman"] == 100.0
    assert 25 < scores["a man"] < 75
    assert (tmp_path / "study" / "report.html").exists()


def test_a_memory_of_ones_own(tmp_path: Path) -> None:
    with Server(lambda payload: "The answer is (A)." if "(A)" in str(payload) else "Likes tea.\nAnd more.") as server:
        command = [sys.executable, str(EXAMPLES / "own_memory.py"), "openai:fake", str(tmp_path / "study"), server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == ["none", "notes", "profile"]
    memories = api.memories(tmp_path / "study")
    assert memories
    assert all(m.content == {"notes": ["Likes tea."] * 6} and m.calls == 6 for m in memories)


def test_the_notebook(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "analysis.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [o for cell in notebook.cells for o in cell.get("outputs", ()) if o.get("name") == "stdout"]
    assert "corrected" in printed[0]["text"]
    chart = next(o for cell in notebook.cells for o in cell.get("outputs", ()) if "data" in o)
    assert "vegaEmbed" in chart["data"]["text/html"]
    assert (tmp_path / "notebook-study" / "report.html").exists()


def test_a_mitigation_shipped() -> None:
    for mitigation, last in (("neutralize", "Paris. (1 calls)"), ("ensemble:4", "Paris. (4 calls)")):
        command = [sys.executable, str(EXAMPLES / "deployed.py"), mitigation]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == "as it is: Paris, dear."
        assert done.stdout.splitlines()[-1] == f"with {mitigation}: {last}"


@pytest.mark.model
def test_tuning_two_steps_of_each(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "tune_adapter.py"), str(tmp_path), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "dpo" in done.stdout
    assert "spin" in done.stdout
    assert len(list((tmp_path / "adapters").iterdir())) == 2


def test_every_example_is_tested() -> None:
    assert {p.name for p in EXAMPLES.iterdir() if p.suffix in (".py", ".ipynb")} == {
        "own_assistant.py",
        "own_memory.py",
        "deployed.py",
        "tune_adapter.py",
        "analysis.ipynb",
    }
