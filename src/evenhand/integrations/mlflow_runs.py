"""A study as a run of MLflow: in a local SQLite file, or wherever ``MLFLOW_TRACKING_URI`` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError, StoreError, one_line
from evenhand.extras import importing
from evenhand.integrations.base import Logged, Tracked

EXPERIMENT = "evenhand"
_STORE = "mlflow.db"


def log_to_mlflow(study: Tracked, out: Path | None) -> Logged:
    """Log a study as a run of the experiment ``evenhand`` (or ``MLFLOW_EXPERIMENT_NAME``).

    Args:
        study: what to log.
        out: a folder with a store of its own; None for the place that ``MLFLOW_TRACKING_URI`` names.

    Raises:
        SpecError: MLflow is not installed, or no place is named.
        StoreError: the place does not take it.
    """
    with importing("mlflow", "Runs of MLflow", SpecError):
        import sqlalchemy  # noqa: F401 - what MLflow keeps runs in, missed by it only when it is used
        from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{(out / _STORE).absolute()}" if out else os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise SpecError("No place for the run was given.", "Add --out DIR, or set MLFLOW_TRACKING_URI.")
    if out:
        out.mkdir(parents=True, exist_ok=True)
    try:
        client = MlflowClient(tracking_uri=uri)
        run = _log(client, study, (out / "artifacts").absolute().as_uri() if out else None)
    # Stores fail in many ways: refused connections, locked files, servers that know nobody.
    except Exception as error:
        raise StoreError(f"MLflow could not log to {uri}: {one_line(str(error))}.") from None
    return Logged(run, uri, f"mlflow ui --backend-store-uri {uri}" if out else "")


def _log(client: Any, study: Tracked, artifacts: str | None) -> str:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.utils.time import get_current_time_millis

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    experiment = client.get_experiment_by_name(name)
    place = experiment.experiment_id if experiment else client.create_experiment(name, artifacts)
    run: str = client.create_run(place, run_name=study.name).info.run_id
    try:
        now = get_current_time_millis()
        tags: Mapping[str, str] = {**study.tags, "mlflow.note.content": study.said}
        client.log_batch(
            run,
            metrics=[Metric(key, value, now, 0) for key, value in study.figures.items()],
            params=[Param(key, value) for key, value in study.settings.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        for file, text in study.files.items():
            client.log_text(run, text, file)
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run, "FINISHED")
    return run
