"""The layout is the architecture: imports point down, files stay small, the core stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "evenhand"

# From the bottom up; a module may import its own layer's package and everything below.
LAYERS: list[set[str]] = [
    {"json_text", "fences", "stages", "visible", "whole"},
    {"reasoning", "interventions"},
    {"errors", "types"},
    {"extras", "scored"},
    {"registry", "specs", "loops", "sandbox", "serving"},
    {"embodied", "pages"},
    {"identities", "people"},
    {"suites", "models"},
    {"embeddings", "steering"},
    {"rewards"},
    {"policies"},
    {"personalizers"},
    {"judges", "mitigations"},
    {"study"},
    {"runner"},
    {"analysis"},
    {"masking", "tones"},
    {"tables", "arguments", "wording", "showing", "using", "leaking", "judging", "disinforming", "collapsing"},
    {"remembered", "planning"},
    {"audit"},
    {"report", "mitigate", "adaptive", "tuning", "integrations", "gating", "labelling", "imported"},
    {"analysing", "evolving", "strengths", "confirming", "searching"},
    {"deciding", "deploy", "exporting", "history", "publishing", "viewing"},
    {"api"},
    {"cli", "pytest_plugin"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_units(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("evenhand.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    unit = unit_of(path)
    if unit == "__init__":
        return
    for other in imported_units(path):
        allowed = other == unit or RANK[other] < RANK[unit]
        assert allowed, f"{path.name} ({unit}) imports {other}, which is not below it"


def test_analysis_knows_no_store_and_no_models() -> None:
    for path in (PACKAGE / "analysis").glob("*.py"):
        assert imported_units(path) <= {"analysis", "scored", "types", "errors"}, path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def imported_at_once(path: Path) -> set[str]:
    """Top-level names of the modules that importing the file imports."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


# Loaded by the program they plug into, which is there then.
PLUGINS = {"integrations/inspect_tasks.py", "pytest_plugin.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_needs_an_extra_to_be_imported(path: Path) -> None:
    if str(path.relative_to(PACKAGE)) in PLUGINS or "child" in path.parts:  # the sandbox's child stands alone
        return
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["project"]
    packages = (re.split(r"[>=<;\[ ]", need)[0] for need in project["dependencies"])
    core = {package.removesuffix("-python").replace("-", "_") for package in packages}
    assert imported_at_once(path) <= core | set(sys.stdlib_module_names) | {"evenhand"}


def test_the_public_names_are_shown() -> None:
    import evenhand

    assert dir(evenhand) == sorted(evenhand.__all__)
    assert all(getattr(evenhand, name) for name in dir(evenhand))


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, evenhand; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "scipy", "pydantic", "aiohttp", "torch", "transformers", "altair", "polars", "typer"):
        assert f"'{heavy}'" not in loaded


def test_the_command_line_starts_without_numeric_libraries() -> None:
    code = "import sys, evenhand.cli.main; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "scipy", "torch", "transformers", "altair", "polars"):
        assert f"'{heavy}'" not in loaded
