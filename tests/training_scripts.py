"""The scripts that make what is shipped, as modules: they are no part of the package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def benchmark_script(name: str) -> ModuleType:
    """``benchmarks/NAME.py``."""
    return _module(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")


def training_script(name: str, script: str = "train") -> ModuleType:
    """``training/NAME/SCRIPT.py``, which imports what stands beside it."""
    if str(ROOT / "training" / name) not in sys.path:
        sys.path.append(str(ROOT / "training" / name))
    return _module(f"{script}_{name}", ROOT / "training" / name / f"{script}.py")


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
