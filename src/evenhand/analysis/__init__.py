"""Statistics of personalization bias: arrays in, dataclasses out. Knows no files, models or stores."""

from evenhand.analysis.bias import PBEstimate, estimate_pb
from evenhand.analysis.scores import SuiteScores, tabulate
from evenhand.analysis.summary import Analysis, Settings, summarize

__all__ = ["Analysis", "PBEstimate", "Settings", "SuiteScores", "estimate_pb", "summarize", "tabulate"]
