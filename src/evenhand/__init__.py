"""evenhand: does a language model treat everyone alike?

Measure how a model's safety and utility change with who it is told the user is, tell whether the change is real, and
mitigate it. Public names are imported on first use, so that ``import evenhand`` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evenhand.analysis import Analysis as Analysis
    from evenhand.api import analyze as analyze
    from evenhand.api import check as check
    from evenhand.api import compare_studies as compare_studies
    from evenhand.api import load as load
    from evenhand.api import run as run
    from evenhand.api import write_report as write_report
    from evenhand.errors import EvenhandError as EvenhandError
    from evenhand.imported.study import from_table as from_table
    from evenhand.runner import RunResult as RunResult
    from evenhand.searching import find_worst as find_worst
    from evenhand.study import StudySpec as StudySpec

__version__ = "0.1.0"

_HOMES = {
    "Analysis": "evenhand.analysis",
    "EvenhandError": "evenhand.errors",
    "RunResult": "evenhand.runner",
    "StudySpec": "evenhand.study",
    "analyze": "evenhand.api",
    "check": "evenhand.api",
    "find_worst": "evenhand.searching",
    "from_table": "evenhand.imported.study",
    "compare_studies": "evenhand.api",
    "load": "evenhand.api",
    "run": "evenhand.api",
    "write_report": "evenhand.api",
}

__all__ = [
    "Analysis",
    "EvenhandError",
    "RunResult",
    "StudySpec",
    "__version__",
    "analyze",
    "check",
    "compare_studies",
    "find_worst",
    "from_table",
    "load",
    "run",
    "write_report",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evenhand' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
