"""The scripts that make what is shipped, as modules: they are no part of the package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def training_script(name: str, script: str = "train") -> ModuleType:
    """``training/NAME/SCRIPT.py``."""
    spec = importlib.util.spec_from_file_location(f"{script}_{name}", ROOT / "training" / name / f"{script}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
