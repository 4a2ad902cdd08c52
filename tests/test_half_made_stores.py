"""A store is made whole or not at all, older ones are brought up whole, and what stands in one is looked at."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import evenhand
from evenhand.cli.main import app
from evenhand.errors import SpecError, StoreError
from evenhand.models import Model
from evenhand.study import Store, doctor
from evenhand.study.begun import begun_below
from evenhand.study.connection import connect, connect_reading
from evenhand.study.held import held_spec
from evenhand.study.schema import ADDED, SCHEMA, SCHEMA_VERSION
from evenhand.study.soundness import _META, ANSWERS, DESIGN
from evenhand.study.store import opened
from evenhand.types import Request, Response
from tests.older_stores import back_to_version

STATEMENTS = SCHEMA.count(";\n")


class Refuses(Model):
    id, concurrency = "openai:x", 1

    async def respond(self, request: Request) -> Response:
        return Response("I'm sorry, but I can't help with that.")


def asked(out: Path) -> Path:
    spec = {"model": "openai:x", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 4}
    evenhand.run({**spec, "judges": {"starter-safety": "refusal-rules"}}, out, model=Refuses())
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asked(tmp_path_factory.mktemp("whole") / "study")


@pytest.fixture
def study(whole: Path, tmp_path: Path) -> Path:
    opened.clear()
    return Path(shutil.copytree(whole, tmp_path / "study"))


# Dies before the statement of that number, as kill -9 would: nothing is rolled back or closed.
KILLED = """
import os, sqlite3, sys
from pathlib import Path
from evenhand.study import connection, Store
real, left = sqlite3.connect, [int(sys.argv[2])]
class Dying(sqlite3.Connection):
    def execute(self, *given):
        left[0] -= 1
        if left[0] < 0: os._exit(9)
        return super().execute(*given)
connection.sqlite3.connect = lambda *a, **k: real(*a, factory=Dying, **k)
Store.create(Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("before", [0, 2, 9, 5 + STATEMENTS])
def test_a_kill_while_the_tables_are_made_costs_nothing(before: int, tmp_path: Path) -> None:
    out = tmp_path / "study"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out), str(before)], check=False)
    assert killed.returncode == 9
    path = out / "study.sqlite"
    if path.exists():
        assert not doctor.examine(out).sound
        with pytest.raises(StoreError, match="stopped before anything was asked"):
            Store.open(out)
    asked(out)
    assert doctor.examine(out).sound and doctor.examine(out).trials == 12


@pytest.mark.parametrize("made", [0, 1, 5, STATEMENTS - 1])
def test_what_older_versions_left_half_made_is_made_anew(made: int, tmp_path: Path) -> None:
    out = tmp_path / "study"
    out.mkdir()
    half = connect(out / "study.sqlite")
    for statement in SCHEMA.split(";\n")[:made]:
        half.execute(statement)
    half.close()
    found = CliRunner().invoke(app, ["doctor", str(out)])
    assert found.exit_code == 5 and "stopped before anything was asked" in found.output.replace("\n", " ")
    assert doctor.repair(out).repaired and doctor.examine(out).sound
    asked(out)
    assert doctor.examine(out).trials == 12


def test_what_is_no_store_of_ours_is_not_touched(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "study.sqlite")
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    with pytest.raises(StoreError, match="damaged or not a study"):
        Store.create(tmp_path)
    assert sqlite3.connect(tmp_path / "study.sqlite").execute("SELECT count(*) FROM recipes").fetchone() == (0,)
    assert not doctor.examine(tmp_path).sound


@pytest.mark.parametrize("version", [1, 3, 5, 7, 8])
def test_an_older_store_killed_between_a_step_and_its_number_opens(version: int, study: Path) -> None:
    back_to_version(study, version)
    half = sqlite3.connect(study / "study.sqlite")
    half.execute(ADDED[version + 1].split(";\n")[0])
    half.commit()
    half.close()
    connection, _ = connect_reading(study / "study.sqlite")
    assert connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == (
        str(SCHEMA_VERSION),
    )
    connection.close()
    with Store.open(study) as store:
        assert store.count_trials() == 12


# Table, column and a value that a user, a disk or another program might have put there.
EDITED = (
    ("runs", "spec", "no JSON"), ("runs", "spec", "[1]"), ("runs", "versions", "null"), ("runs", "settings", "[]"),
    ("runs", "spec", b"\xff"), ("runs", "started_at", "yesterday"), ("runs", "planned", "many"),
    ("runs", "ended_at", "x"),
    ("meta", "value", "{"), ("suites", "axis", "taste"), ("suites", "pool", "x"), ("identities", "parts", "{}"),
    ("identities", "parts", "nothing"), ("items", "choices", '"A"'), ("items", "extra", "[]"),
    ("items", "prompt", b"\x00\xff"),
    ("trials", "response", b"\xff\xfe"), ("trials", "request", "null"), ("trials", "latency_s", "long"),
    ("trials", "choice_logprobs", "{}"), ("trials", "prompt_tokens", "few"), ("judgements", "score", "good"),
    ("judgements", "score", 7.5), ("judgements", "score", -1), ("judgements", "label", b"\xff"),
    ("trials", "at", 9e999),
    ("trials", "completion_tokens", 2**62), ("trials", "prompt_tokens", -5), ("trials", "repeat", -1),
    ("trials", "latency_s", -1), ("trials", "request", "[null]"), ("trials", "request", '[{"role": 1}]'),
    ("runs", "started_at", 9e99), ("runs", "planned", -1), ("items", "choices", "[1]"),
)  # fmt: skip
COMMANDS = (
    ("status",), ("analyze", "--draws", "200", "--permutations", "200"),
    ("report",), ("check", "--max-pb", "5"),
    ("plan",),
    ("export", "--to", "json", "--out"), ("memory", "show"), ("judge", "again"),
)  # fmt: skip


def edit(study: Path, table: str, column: str, value: object) -> None:
    store = sqlite3.connect(study / "study.sqlite")
    where = "WHERE key != 'schema_version'" if table == "meta" else ""
    store.execute(f'UPDATE "{table}" SET "{column}" = ? {where}', (value,))
    store.commit()
    store.close()


@pytest.mark.parametrize(("table", "column", "value"), EDITED)
def test_doctor_sees_what_was_edited_and_no_command_shows_a_traceback(
    table: str, column: str, value: object, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    edit(study, table, column, value)
    found = doctor.examine(study)
    assert not found.sound and column in found.problems[0], found
    in_design = table in ("runs", "meta", "suites", "identities", "items")
    for command in (
        COMMANDS if (table, column) == ("trials", "response") else COMMANDS[:1] if in_design else COMMANDS[1:2]
    ):
        where = 2 if command[0] in ("memory", "judge") else 1
        more = [str(tmp_path / "out")] if command[-1] == "--out" else []
        monkeypatch.setattr(sys, "argv", ["evenhand", *command[:where], str(study), *command[where:], *more])
        with pytest.raises(SystemExit) as ended:
            evenhand.cli.main.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        if in_design or ended.value.code not in (0, 1, 6, None):
            assert ended.value.code == 5 and "holds what evenhand does not write" in said.err, said.err


@pytest.mark.parametrize("key", sorted(_META))
def test_doctor_sees_what_was_edited_in_what_is_kept_of_a_study(key: str, study: Path) -> None:
    store = sqlite3.connect(study / "study.sqlite")
    with store:
        store.execute("INSERT OR REPLACE INTO meta VALUES (?, 'true')", (key,))
    store.close()
    assert f"'{key}'" in doctor.examine(study).problems[0]
    with pytest.raises(StoreError, match="evenhand does not write"):
        Store.open(study)


def test_every_column_is_looked_at(study: Path) -> None:
    store = sqlite3.connect(study / "study.sqlite")
    tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    there = {(table, row[1]) for table in tables for row in store.execute(f"PRAGMA table_info({table})") if not row[5]}
    store.close()
    known = {**DESIGN, **ANSWERS}
    assert there <= {(table, column) for table in tables for column in known[table]}


LOOK = {
    "limits": '{"max_pb": 5.0}', "information": 12.0, "pass_planned": 24.0, "pass_total": 0.01, "pass_error": 0.01,
    "fail_planned": 24.0, "fail_total": 0.02, "fail_error": 0.02, "follows": "",
}  # fmt: skip


@pytest.mark.parametrize("column", sorted(LOOK))
def test_a_look_that_was_edited_is_seen(column: str, study: Path) -> None:
    with Store.create(study) as store:
        store.add_look(LOOK)
    assert doctor.examine(study).sound
    edit(study, "looks", column, b"\xff")
    assert column in doctor.examine(study).problems[0]


@pytest.mark.parametrize("query", [
    "DELETE FROM items WHERE rowid = 1", "UPDATE items SET suite = 'another' WHERE rowid = 1",
    "UPDATE identities SET name = 'a stranger' WHERE name = 'a man'", "DELETE FROM suites",
])  # fmt: skip
def test_answers_of_nothing_that_a_store_has_are_told(query: str, study: Path) -> None:
    store = sqlite3.connect(study / "study.sqlite")
    with store:
        store.execute(query)
    store.close()
    found = doctor.examine(study)
    assert found.astray and not found.problems and not found.sound
    said = CliRunner().invoke(app, ["doctor", str(study), "--repair"])
    assert said.exit_code == 5 and "run the study again" in said.output
    if "items" not in query:
        return
    asked(study)
    assert doctor.examine(study).sound


@pytest.mark.parametrize(("table", "column"), [("runs", "spec"), ("people", "record")])
def test_a_run_or_a_person_that_cannot_be_read_is_seen(table: str, column: str, study: Path) -> None:
    store = sqlite3.connect(study / "study.sqlite")
    with store:
        store.execute("INSERT INTO people VALUES ('Ada', '{\"name\": \"Ada\"}')")
    store.close()
    assert doctor.examine(study).sound
    edit(study, table, column, "{}")
    assert column in doctor.examine(study).problems[0]
    with pytest.raises(StoreError, match="cannot be repaired"):
        doctor.repair(study)


def test_a_study_without_answers_has_nothing_to_compare(study: Path, whole: Path) -> None:
    store = sqlite3.connect(study / "study.sqlite")
    with store:
        store.execute("DELETE FROM trials")
    store.close()
    for one, other in ((study, whole), (whole, study)):
        with pytest.raises(SpecError):
            evenhand.compare_studies(one, other)


def test_a_repair_takes_out_what_evenhand_does_not_write(study: Path) -> None:
    edit(study, "judgements", "score", 7)
    assert doctor.repair(study).repaired
    assert doctor.examine(study).problems == () and doctor.examine(study).unjudged == 12
    edit(study, "trials", "latency_s", "long")
    assert doctor.repair(study).lost == 12
    asked(study)
    assert doctor.examine(study).sound
    edit(study, "suites", "axis", "taste")
    with pytest.raises(StoreError, match="cannot be repaired"):
        doctor.repair(study)
    assert not doctor.examine(study).sound


def test_a_fault_of_our_own_is_still_a_traceback(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        with Store.open(study):
            raise RuntimeError("boom")

    monkeypatch.setattr("evenhand.api.analyze", broken)
    monkeypatch.setattr(sys, "argv", ["evenhand", "analyze", str(study)])
    with pytest.raises(RuntimeError, match="boom"):
        evenhand.cli.main.main()


def test_a_lock_is_given_back_where_a_store_cannot_be_opened(study: Path) -> None:
    edit(study, "runs", "spec", "x")
    for _ in range(3):
        with pytest.raises(StoreError, match="evenhand does not write"):
            Store.create(study)
    os.close(Store.lock(study))


def test_a_store_without_a_run_has_no_spec(tmp_path: Path) -> None:
    Store.create(tmp_path / "study").close()
    with Store.open(tmp_path / "study") as store, pytest.raises(StoreError, match="stopped before anything was asked"):
        held_spec(store)
    assert begun_below(tmp_path, "*") == []
