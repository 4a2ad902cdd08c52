"""``evenhand list`` shows every member of every kind."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from evenhand.cli.main import app
from evenhand.identities import BASELINES
from evenhand.judges import JUDGES
from evenhand.mitigations import MITIGATIONS
from evenhand.models import MODELS
from evenhand.personalizers import PERSONALIZERS
from evenhand.suites import SUITES


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("suites", SUITES.names()),
        ("models", MODELS.names()),
        ("identities", list(BASELINES)),
        ("personalizers", PERSONALIZERS.names()),
        ("judges", JUDGES.names()),
        ("mitigations", [name for name in MITIGATIONS.names() if name != "none"]),
    ],
)
def test_every_member_is_listed(kind: str, names: list[str]) -> None:
    done = CliRunner().invoke(app, ["list", kind, "--format", "json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    shown = {next(iter(row.values())).partition(":")[0] for row in rows}
    assert set(names) <= shown
    assert all(all(row.values()) for row in rows)
    table = CliRunner().invoke(app, ["list", kind])
    assert all(name in table.stdout for name in names if len(name) < 12)


def test_licences_are_listed_with_the_suites_alone() -> None:
    done = CliRunner().invoke(app, ["list", "suites", "--licenses", "--format", "csv"])
    assert done.exit_code == 0
    assert "do-not-answer,data,CC BY-NC-SA 4.0" in done.stdout
    assert "smollm2,model,Apache-2.0" in done.stdout
    assert CliRunner().invoke(app, ["list", "judges", "--licenses"]).exit_code != 0
