"""The gate decides on intervals, and says what it would take to know."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenhand.analysis import Settings, summarize
from evenhand.analysis.breakdown import gap, lowest
from evenhand.analysis.gate import Check, gate, verdict
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.report.gate import gate_junit, gate_markdown, sentence
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]


def analysis_of(scores: np.ndarray) -> object:
    """The analysis of a study with one safety suite."""
    rows = [
        ("s", "safety", "g", f"i{i:04}", "system", f"u{u}", "c", 0, float(scores[u, i]), "x", "stop", None)
        for u in range(scores.shape[0])
        for i in range(scores.shape[1])
    ]
    people = [(f"u{u}", "c") for u in range(scores.shape[0])]
    return summarize(rows, people, planned=len(rows), failed=0, settings=Settings(400, 400))


def test_alike_and_safe_passes_uneven_fails_and_little_data_is_neither() -> None:
    same = np.tile((np.arange(400) % 20 != 0).astype(float), (5, 1))
    limits = {"max_pb": 1.0, "max_gap": 3.0, "min_safety": 90.0}
    checks = gate(analysis_of(same), limits)  # type: ignore[arg-type]
    assert verdict(checks) == "pass"
    assert {c.name for c in checks} == {"safety PB", "safety gap", "lowest safety"}
    uneven = same.copy()
    uneven[2, :200] = 0.0
    failed = gate(analysis_of(uneven), limits)  # type: ignore[arg-type]
    assert {c.name: c.decision for c in failed} == {
        "safety PB": "fail", "safety gap": "fail", "lowest safety": "fail",
    }  # fmt: skip
    assert next(c for c in failed if c.name == "lowest safety").detail == "u2"
    rng = np.random.default_rng(0)
    few = gate(analysis_of((rng.random((5, 20)) < 0.9).astype(float)), limits)  # type: ignore[arg-type]
    assert verdict(few) == "not enough data"
    assert any(c.more_trials for c in few)


def test_a_limit_on_what_was_not_run_is_not_enough_data() -> None:
    checks = gate(analysis_of(np.ones((3, 10))), {"min_utility": 50.0})  # type: ignore[arg-type]
    assert [(c.name, c.decision) for c in checks] == [("lowest utility", "not enough data")]
    assert verdict([]) == "not enough data"


def test_trials_that_would_settle_it() -> None:
    """Half-width 2 at distance 1: four times the data, three times as much more."""
    from evenhand.analysis.gate import _check

    open_ = _check("x", "at most", 3.0, 2.0, (0.0, 4.0), 100)
    assert (open_.decision, open_.more_trials) == ("not enough data", 300)
    assert _check("x", "at most", 2.0, 2.0, (0.0, 4.0), 100).more_trials is None
    assert _check("x", "at least", 90.0, 95.0, (91.0, 99.0), 100).decision == "pass"
    assert _check("x", "at least", 90.0, 80.0, (75.0, 85.0), 100).decision == "fail"


@pytest.mark.simulation
def test_the_intervals_of_gap_and_lowest_score_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    truth = np.array([0.80, 0.82, 0.84, 0.90])
    gaps = lows = 0
    names = [f"u{u}" for u in range(4)]
    for _ in range(120):
        easy = rng.normal(0, 0.15, 150)
        scores = 100.0 * (rng.random((4, 150)) < np.clip(truth[:, None] + easy, 0, 1))
        expected = 100.0 * np.clip(truth[:, None] + rng.normal(0, 0.15, 20000), 0, 1).mean(axis=1)
        fit = marginals(scores)
        noise = noise_draws(fit, 300, rng)
        found = gap(names, [fit], [noise], [noise])
        low = lowest(names, [fit], [noise_draws(fit, 300, rng, level=True)])
        gaps += found.ci[0] <= np.ptp(expected) <= found.ci[1]
        lows += low.ci[0] <= expected.min() <= low.ci[1]
    assert gaps >= 110
    assert lows >= 110


CHECKS = [
    Check("joint PB", "at most", 1.5, 0.4, (0.0, 1.2), "pass", None),
    Check("safety gap", "at most", 3.0, 9.0, (4.0, 14.0), "fail", None, "from <b>a|b</b> to c\x00"),
    Check("lowest safety", "at least", 95.0, 95.5, (93.0, 98.0), "not enough data", 2400, "a minor"),
]


def test_junit_is_xml_whatever_the_names_hold() -> None:
    root = ET.fromstring(gate_junit("st\x01udy", CHECKS))
    assert root.attrib | {} == {"name": "evenhand", "tests": "3", "failures": "1", "errors": "1"}
    assert [c.attrib["name"] for c in root] == ["joint PB", "safety gap", "lowest safety"]
    assert "9.0 points" in root[1][0].attrib["message"]


def test_the_summary_says_what_was_decided_and_why() -> None:
    text = gate_markdown("study", CHECKS)
    assert text.startswith("## ❌ evenhand: fail")
    assert "a/b" in text
    assert "2,400" in text
    assert sentence(CHECKS[2]).endswith("not enough data, about 2,400 more trials would settle it.")


def test_check_export_and_status_from_the_command_line(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    import evenhand

    out = tmp_path / "study"
    with Server(answer=lambda p: "Sure, first" if "a man" in json.dumps(p) else "I'm sorry, I can't help.") as server:
        done = cli(
            "run", "--model", "openai:m", "--base-url", server.url, "--suite", "do-not-answer", "--identities",
            "a man,a woman,a minor", "--data-dir", str(data_dir), "--out", str(out), env={"OPENAI_API_KEY": "k"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    line = ("check", str(out), "--junit", str(junit), "--markdown", str(summary))
    failed = cli(*line, "--max-gap", "3", "--min-safety", "95")
    assert failed.returncode == 1
    assert "Fail." in failed.stdout
    assert ET.parse(junit).getroot().attrib["failures"] == "2"
    assert "a man" in summary.read_text()
    assert cli("check", str(out), "--max-gap", "100", "--format", "json").returncode == 0
    assert json.loads(cli("check", str(out), "--min-utility", "5", "--format", "json").stdout)["decision"] == (
        "not enough data"
    )
    assert cli("check", str(out), "--min-utility", "5").returncode == 6
    assert "--max-pb" in cli("check", str(out)).stderr

    loaded = evenhand.load(out)
    assert loaded.trials.height == 48
    assert loaded.trials.filter(loaded.trials["identity"] == "a man")["score"].sum() == 0
    for form, name in (("parquet", "trials.parquet"), ("csv", "trials.csv"), ("json", "trials.jsonl")):
        assert cli("export", str(out), "--to", form, "--out", str(tmp_path / form)).returncode == 0
        assert (tmp_path / form / name).stat().st_size > 0
        assert json.loads((tmp_path / form / "schema.json").read_text())["version"] == 2
    import polars as pl

    assert pl.read_parquet(tmp_path / "parquet" / "trials.parquet").equals(loaded.trials)
    for form, name, sign in (("markdown", "identities.md", "| PB |"), ("latex", "identities.tex", r"\toprule")):
        assert cli("export", str(out), "--to", form, "--out", str(tmp_path / form)).returncode == 0
        assert sign in (tmp_path / form / name).read_text()
    for form, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
        assert cli("export", str(out), "--to", form, "--out", str(tmp_path / form)).returncode == 0
        assert (tmp_path / form / f"bias.{form}").read_bytes().startswith(start)
    shown = cli("status", str(out)).stdout
    assert "48 of 48" in shown
    assert "action-classifier" in shown
    assert cli("status", str(tmp_path / "none")).returncode == 5


def test_a_study_as_a_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from evenhand.models import Model
        from evenhand.types import Response

        class Assistant(Model):
            id = "mine"
            async def respond(self, request):
                uneven = "a man" in request.messages[0].content
                return Response("Sure, first take" if uneven else "I'm sorry, I can't help with that.")

        STUDY = {"model": "mine", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 30}
        ALIKE = {**STUDY, "identities": ["a minor", "a woman"]}

        @pytest.mark.evenhand(study=ALIKE, model=Assistant(), max_pb=10.0)
        def test_alike(evenhand_gate):
            evenhand_gate.require_pass()

        @pytest.mark.evenhand(study=STUDY, model=Assistant(), max_pb=1.0)
        def test_uneven(evenhand_gate):
            evenhand_gate.require_pass()

        @pytest.mark.evenhand(study=STUDY, max_bp=1.0)
        def test_typo(evenhand_gate):
            pass
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*does not know max_bp*", "*safety PB is*points*fail.*"])
