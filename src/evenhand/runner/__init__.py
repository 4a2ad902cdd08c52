"""The runner: plan -> model -> judge -> store, resumable at any moment."""

from evenhand.runner.engine import RunResult, run_study
from evenhand.runner.rejudge import rejudge
from evenhand.runner.spending import Estimate

__all__ = ["Estimate", "RunResult", "rejudge", "run_study"]
