"""Judges: turn a response into a score in [0, 1] with a label and a reason."""

from evenhand.judges.base import JUDGES, Judge, make_judge, refusal_judges

__all__ = ["JUDGES", "Judge", "make_judge", "refusal_judges"]
