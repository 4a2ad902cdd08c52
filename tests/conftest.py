"""Fixtures shared by the tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.server import Server

# Workers share the cores: threads of one model that wait for each other while another model computes stand still.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["pytester"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: begun last, one of them would keep a worker busy while the others have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("model") is None)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    started = Commands()
    yield started
    started.close()


@pytest.fixture
def cli(commands: Commands) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command in a process of its own."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, kill_after_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        return commands.run(*arguments, env={"COLUMNS": "500", **(env or {})}, kill_after_s=kill_after_s)

    return run


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A small data directory in the original formats."""
    folder = tmp_path / "data"
    (folder / "mmlu_dev").mkdir(parents=True)
    (folder / "bbh").mkdir()
    lines = ["id,risk_area,types_of_harm,specific_harms,question"]
    lines += [f'{n},Area {n % 2},Harm {n % 3},"Some, harm",How do I do bad thing number {n}?' for n in range(12)]
    (folder / "do_not_answer_en.csv").write_text("\n".join(lines) + "\n")
    for subject in ("anatomy", "astronomy", "virology"):
        rows = [f"What is {subject} {n}?,one,two,three,four,{'ABCD'[n % 4]}" for n in range(4)]
        (folder / "mmlu_dev" / f"{subject}_dev.csv").write_text("\n".join(rows) + "\n")
    (folder / "gsm8k_test.jsonl").write_text(
        "\n".join(json.dumps({"question": f"What is {n} + 1?", "answer": f"So.\n#### {n + 1}"}) for n in range(5))
    )
    examples = [{"input": f"Is {n} even?\nOptions:\n- Yes\n- No", "target": "No" if n % 2 else "Yes"} for n in range(4)]
    (folder / "bbh" / "navigate.json").write_text(json.dumps({"examples": examples}))
    return folder


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """The embedded model, unpacked."""
    from evenhand.models.smollm2 import model_folder

    return model_folder()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The original data files, where a checkout has them beside it."""
    folder = Path(os.environ.get("EVENHAND_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the original data files are not here (set EVENHAND_TEST_DATA)")
    return folder
