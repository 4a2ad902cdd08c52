"""A study as a run of Weights & Biases: kept in local files, unless ``WANDB_MODE`` says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError, StoreError, one_line
from evenhand.extras import importing
from evenhand.integrations.base import Logged, Tracked

PROJECT = "evenhand"


def log_to_wandb(study: Tracked, out: Path | None) -> Logged:
    """Log a study as a run of the project ``evenhand`` (or ``WANDB_PROJECT``).

    Nothing leaves this machine by default (``offline``): ``wandb sync`` sends the run on. What Weights & Biases
    gathers by itself (the command line, git, packages, the machine's load) is turned off.

    Args:
        study: what to log.
        out: the folder for the run's files.

    Raises:
        SpecError: wandb is not installed, or no folder is named.
        StoreError: the run cannot be logged.
    """
    with importing("wandb", "Runs of Weights & Biases", SpecError):
        import wandb
    if out is None:
        raise SpecError("No place for the run was given.", "Add --out DIR.")
    out.mkdir(parents=True, exist_ok=True)
    mode: Any = os.environ.get("WANDB_MODE") or "offline"
    settings = wandb.Settings(
        console="off", silent=True, disable_git=True, save_code=False, x_disable_meta=True, x_disable_stats=True,
        x_disable_machine_info=True, x_save_requirements=False,
    )  # fmt: skip
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT, name=study.name, dir=str(out), mode=mode,
            config={**study.settings, **study.tags}, notes=study.said, job_type="evaluation", settings=settings,
            reinit="create_new",
        )  # fmt: skip
        try:
            run.summary.update(dict(study.figures))
            _save(run, study)
        finally:
            run.finish()
    # A library of a service: it fails by the service's errors and by its own.
    except Exception as error:
        raise StoreError(f"Weights & Biases could not log the run: {one_line(str(error))}.") from None
    folder = Path(run.dir).parent
    return Logged(run.id, str(folder), f"wandb sync {folder}" if mode == "offline" else run.url or "")


def _save(run: Any, study: Tracked) -> None:
    """Put files into the run's own folder, where they stay with it until it is sent on."""
    folder = Path(run.dir)
    for name, text in study.files.items():
        (folder / name).write_text(text, encoding="utf-8")
        run.save(str(folder / name), base_path=str(folder), policy="end")
