"""Suites: sets of items on the safety or the utility axis."""

from evenhand.suites.base import SUITES, LoadedSuite, Suite, load_suite, make_suites
from evenhand.suites.sources import DataSource

__all__ = ["SUITES", "DataSource", "LoadedSuite", "Suite", "load_suite", "make_suites"]
