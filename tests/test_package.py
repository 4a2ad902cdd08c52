"""What is published says of itself the same everywhere; .ci/bare builds it, installs it and runs it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import yaml

import evenhand

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_one_version_everywhere() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/evenhand/__init__.py"
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == evenhand.__version__
    assert cited["license"] == PROJECT["project"]["license"]
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[:2] == ["Unreleased", evenhand.__version__]
    for file in ("docs/howto/releases.md", "examples/github-workflow.yml"):
        assert set(re.findall(r"evenhand@v([\d.]+)", (ROOT / file).read_text())) == {evenhand.__version__}


def test_python_runs_the_package() -> None:
    done = subprocess.run([sys.executable, "-m", "evenhand", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == evenhand.__version__


def test_the_image_has_what_it_copies_and_the_torch_of_the_makefile() -> None:
    file = (ROOT / "Containerfile").read_text()
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for sources in re.findall(r"^COPY (.*) \S+$", file, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in let_in), source
    assert re.search(r"^TORCH \?= (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1] in file  # type: ignore[index]


def test_the_sdist_has_what_it_names() -> None:
    for place in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert (ROOT / place[1:]).exists(), place
