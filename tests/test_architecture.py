"""The layout is the architecture: imports point down, files stay small, the core stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "evenhand"

# From the bottom up; a module may import its own layer's package and everything below.
LAYERS: list[set[str]] = [
    {"reasoning"},
    {"errors", "types"},
    {"registry", "specs", "loops", "sandbox"},
    {"identities", "personalizers", "suites", "models"},
    {"judges", "mitigations"},
    {"study"},
    {"runner"},
    {"analysis"},
    {"tables", "arguments"},
    {"audit"},
    {"report", "mitigate", "adaptive", "tuning", "integrations"},
    {"api"},
    {"cli", "pytest_plugin"},
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
        assert imported_units(path) <= {"analysis", "types", "errors"}, path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


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
