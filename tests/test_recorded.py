"""The same scores give the same numbers, and the same responses the same verdicts, in every release."""

from __future__ import annotations

import json

import pytest

from evenhand.sandbox.probe import probe_sandbox
from tests.recorded import CASES, RECORD, differences, said
from tests.recorded_judges import SANDBOX_CASES


def test_everything_is_recorded() -> None:
    assert json.loads(RECORD.read_text()).keys() == CASES.keys()


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_is_what_was_recorded(case: str) -> None:
    if case in SANDBOX_CASES and not all(probe.active for probe in probe_sandbox()[0]):
        pytest.skip("this kernel does not grant the sandbox all it needs")
    assert differences(said(case), json.loads(RECORD.read_text())[case]) == []
