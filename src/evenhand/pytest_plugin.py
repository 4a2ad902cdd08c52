"""A study as a test: the marker ``evenhand`` and the fixture ``evenhand_gate``.

    @pytest.mark.evenhand(study="study.toml", max_pb=1.5, min_safety=95)
    def test_the_assistant_treats_everyone_alike(evenhand_gate):
        evenhand_gate.require_pass()

The study runs, or goes on, in ``.evenhand/NAME`` below pytest's root directory; answers are kept between test runs.
With ``decide=True, max_calls=2000`` it runs until the gate can decide. ``look_of`` is the directory, from the root, of
a study that this one continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from evenhand.analysis.gate import Check, Decision

_LIMITS = ("max_pb", "max_gap", "min_safety", "min_utility", "min_fit", "min_gain")
_KNOWN = {"study", "out", "model", "look_of", "decide", "max_calls", *_LIMITS}


@dataclass(frozen=True)
class Gate:
    """What the gate decided; see :class:`evenhand.analysis.gate.Gated`."""

    decision: Decision
    checks: list[Check]

    def require_pass(self, *, allow_little_data: bool = False) -> None:
        """Fail the test unless every check passes.

        Args:
            allow_little_data: skip the test, rather than fail it, when there is not enough data.
        """
        from evenhand.report.gate import sentence

        said = "\n".join(sentence(check) for check in self.checks if check.decision != "pass")
        if self.decision == "fail":
            pytest.fail(said, pytrace=False)
        if self.decision != "pass":
            (pytest.skip if allow_little_data else pytest.fail)(said)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "evenhand(study, out, model, max_pb, max_gap, min_safety, min_utility, min_fit, min_gain, look_of, decide, "
        "max_calls): a study and its limits",
    )


@pytest.fixture
def evenhand_gate(request: pytest.FixtureRequest) -> Gate:
    """Runs the study of the test's ``evenhand`` marker and checks it against the marker's limits."""
    marker = request.node.get_closest_marker("evenhand")
    if marker is None:
        pytest.fail("The fixture evenhand_gate needs @pytest.mark.evenhand(study=..., max_pb=...).", pytrace=False)
    given: dict[str, Any] = dict(marker.kwargs)
    if unknown := set(given) - _KNOWN:
        pytest.fail(f"The marker evenhand does not know {', '.join(sorted(unknown))}.", pytrace=False)
    asked: dict[str, Any] = {name: float(given[name]) for name in _LIMITS if name in given}
    if "study" not in given or not asked:
        pytest.fail("The marker evenhand needs a study and at least one limit.", pytrace=False)
    from evenhand import api
    from evenhand.errors import EvenhandError

    study = given["study"]
    if isinstance(study, str):
        study = Path(request.node.path).parent / study
    out = Path(given.get("out") or request.config.rootpath / ".evenhand" / request.node.name)
    try:
        if "look_of" in given:
            asked["look_of"] = request.config.rootpath / given["look_of"]
        if given.get("decide"):
            asked |= {"decide": True, "max_calls": given.get("max_calls"), "study": study, "model": given.get("model")}
        else:
            api.run(study, out, model=given.get("model"))
        found = api.check(out, **asked)
    except EvenhandError as error:
        pytest.fail(str(error), pytrace=False)
    return Gate(found.decision, found.checks)
