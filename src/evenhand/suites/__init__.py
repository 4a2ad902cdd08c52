"""Suites: sets of items on one axis."""

from evenhand.suites.base import SUITES, LoadedSuite, Suite, drawn_as, load_suite, make_suites
from evenhand.suites.sources import DataSource

__all__ = ["SUITES", "DataSource", "LoadedSuite", "Suite", "drawn_as", "load_suite", "make_suites"]
