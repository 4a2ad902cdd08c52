"""A study: its specification and its store, one directory."""

from evenhand.study.spec import DecodingSpec, StudySpec
from evenhand.study.store import Store

__all__ = ["DecodingSpec", "Store", "StudySpec"]
