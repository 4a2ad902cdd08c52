"""The library's front door: run a study, analyse it, write its report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.analysis import Analysis, Settings, summarize
from evenhand.models import Model
from evenhand.report.html import render_report
from evenhand.runner import RunResult, run_study
from evenhand.runner.progress import Progress
from evenhand.study import Store, StudySpec

REPORT_FILE = "report.html"


def run(
    study: StudySpec | Mapping[str, Any] | Path | str,
    out: Path | str,
    *,
    model: Model | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run every trial of a study that has no response yet.

    Args:
        study: a spec, its fields as a mapping, or the path of a study's TOML file.
        out: the study's directory; continued when it exists.
        model: an object of your own to call instead of ``study.model``.
        progress: told of every trial; silent by default.

    Raises:
        EvenhandError: anything you can fix. What was answered before is kept, and the same call goes on from there.
    """
    if isinstance(study, str | Path):
        spec = StudySpec.from_toml(Path(study))
    else:
        spec = study if isinstance(study, StudySpec) else StudySpec.parse(dict(study))
    return run_study(spec, Path(out), model=model, progress=progress)


def analyze(path: Path | str, settings: Settings | None = None) -> Analysis:
    """Analyse a study, finished or not.

    Args:
        path: the study's directory.
        settings: how much resampling to do.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return analyze_store(store, settings)


def analyze_store(store: Store, settings: Settings | None = None) -> Analysis:
    """Analyse an open study."""
    runs = store.runs()
    return summarize(
        store.scores(),
        [(row["name"], row["category"]) for row in store.identities()],
        planned=max((run["planned"] for run in runs), default=0),
        failed=store.count_failed(),
        settings=settings,
    )


def write_report(path: Path | str, target: Path | str | None = None, settings: Settings | None = None) -> Path:
    """Write a study's report, one self-contained HTML file.

    Args:
        path: the study's directory.
        target: where to write; ``report.html`` in the study's directory by default.
        settings: how much resampling to do.

    Returns:
        The file that was written.
    """
    chosen = Path(target) if target else Path(path) / REPORT_FILE
    with Store.open(Path(path)) as store:
        chosen.write_text(render_report(store, analyze_store(store, settings)), encoding="utf-8")
    return chosen
