"""Runs programs that models write, where they can do no harm."""

from evenhand.sandbox.host import Limits, Outcome, run_tests
from evenhand.sandbox.probe import Probe, probe_sandbox

__all__ = ["Limits", "Outcome", "Probe", "probe_sandbox", "run_tests"]
