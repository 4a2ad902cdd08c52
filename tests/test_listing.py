"""``evenhand list`` shows every member of every kind."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from evenhand.cli.main import app
from evenhand.identities import BASELINES, CATALOGUES, languages, registered
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
        ("identities", [*BASELINES, *(i.name for c in registered() for i in c.identities)]),
        ("catalogues", CATALOGUES.names()),
        ("languages", list(languages())),
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


@pytest.mark.parametrize(
    "kind",
    ["suites", "models", "identities", "personalizers", "judges", "mitigations", "catalogues", "languages"],
)
def test_what_one_must_type_is_whole_in_a_narrow_terminal(kind: str) -> None:
    columns = {"COLUMNS": "80"}
    rows = json.loads(CliRunner().invoke(app, ["list", kind, "--format", "json"]).stdout)
    lines = CliRunner().invoke(app, ["list", kind], env=columns).stdout.splitlines()
    assert all(any(next(iter(row.values())) in line for line in lines) for row in rows)
    assert max(map(len, lines)) <= 80


def test_short_help_and_csv_only_where_there_is_a_table() -> None:
    for command in ([], ["check"], ["judge"], ["judge", "again"]):
        assert "Usage" in CliRunner().invoke(app, [*command, "-h"]).output
    assert CliRunner().invoke(app, ["list", "models", "--format", "csv"]).output.startswith("model,what")
    assert CliRunner().invoke(app, ["status", "x", "--format", "csv"]).exit_code == 2
