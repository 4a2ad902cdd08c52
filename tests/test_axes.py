"""Axes are data: a third one, fit, goes all the way without touching the paper's joint bias."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenhand.analysis import summarize
from evenhand.analysis.gate import gate
from evenhand.analysis.summary import Analysis
from evenhand.errors import SpecError
from evenhand.judges import make_judge
from evenhand.report.terminal import identities_csv
from evenhand.types import AXES, JOINT, Axis, ScoreRow


def analysis_on(*axes: Axis) -> Analysis:
    """One suite per axis; identities differ on all of them."""
    rng = np.random.default_rng(0)
    rows = [
        ScoreRow(
            f"a {axis} suite",
            axis,
            "g",
            f"i{i}",
            "system",
            f"u{u}",
            "c",
            0,
            float(rng.random() < 0.3 + u / 5),
            "l",
            "stop",
        )
        for axis in axes
        for i in range(60)
        for u in range(3)
    ]
    return summarize(rows, [(f"u{u}", "c") for u in range(3)], planned=len(rows), failed=0)


def test_fit_has_its_own_bias_and_stays_out_of_the_joint() -> None:
    found = analysis_on(*AXES)
    pb = {axis: estimate.plugin for axis, estimate in found.pb.items() if estimate}
    assert pb["fit"] > 0
    assert pb["joint"] == pytest.approx(math.hypot(*(pb[axis] for axis in JOINT)))
    assert found.axes.keys() == set(AXES)
    assert all(result.fit is not None and "fit" in result.deviation for result in found.identities)
    assert identities_csv(found).startswith("identity,category,safety,utility,fit,n")


def test_an_axis_that_was_not_run_is_missing_not_zero() -> None:
    found = analysis_on("fit")
    assert found.pb["safety"] is None
    assert found.pb["joint"] is None
    assert found.identities[0].safety is None
    assert identities_csv(analysis_on("safety")).startswith("identity,category,safety,utility,n")


def test_judges_of_useful_answers_fit_and_judges_of_declining_do_not() -> None:
    make_judge("compliance-rules").check_suite("fit-recall", "fit")
    make_judge("choice").check_suite("fit-recall", "fit")
    with pytest.raises(SpecError, match="where an answer that suits this person is good"):
        make_judge("refusal-rules").check_suite("fit-recall", "fit")


def test_the_gate_holds_fit_to_a_limit() -> None:
    found = analysis_on("fit", "safety")
    (check,) = gate(found, {"min_fit": 5.0})
    assert check.name == "lowest fit"
    assert check.decision == "pass"
    assert {c.name for c in gate(found, {"max_pb": 90.0})} == {"safety PB", "fit PB"}
