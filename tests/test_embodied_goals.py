"""Goal interpretation: what answers state, what counts as right, and the published figures of one model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenhand.analysis.pooled import pooled
from evenhand.embodied.answers import LONGEST
from evenhand.embodied.counts import Counts
from evenhand.embodied.goal_items import right_answer, virtualhome_item, wanted_of
from evenhand.embodied.goals import (
    AUTHORS,
    KINDS,
    OURS,
    Wanted,
    read_behavior,
    read_virtualhome,
    score_behavior,
    score_virtualhome,
    total,
)
from evenhand.errors import DataError, SpecError
from evenhand.judges import make_judge
from evenhand.judges.tally import tallies_in, with_tallies
from evenhand.runner.growth import room_notes
from evenhand.runner.plan import make_plan
from evenhand.study import StudySpec
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Response, Verdict

LAMP = Wanted(
    states=(("lamp", "ON"), ("lamp", "PLUGGED_IN")),
    relations=(("character", "FACING", "lamp"),),
    actions=(("READ", "LOOKAT"),),
    objects={"lamp": "lamp", "character": "character"},
)


def answer(nodes: Any = (), edges: Any = (), actions: Any = ()) -> str:
    return json.dumps({"node goals": list(nodes), "edge goals": list(edges), "action goals": list(actions)})


def lamp(state: str, name: str = "lamp") -> dict[str, str]:
    return {"name": name, "state": state}


def score(text: str, **convention: bool) -> Counts:
    return total(score_virtualhome(read_virtualhome(text), LAMP, replace(OURS, **convention)))


def test_right_wrong_missing_and_extra_goals_are_counted() -> None:
    facing = {"from_name": "character", "relation": "FACING", "to_name": "lamp"}
    found = score_virtualhome(read_virtualhome(answer([lamp("ON"), lamp("OFF"), lamp("OFF")], [facing])), LAMP)
    assert found["state"].counts == Counts(right=1, extra=1, missing=1)
    assert found["state"].wrong == 1  # something else was said of the lamp
    assert found["state"].missing == (("lamp", "PLUGGED_IN"),)
    assert found["relation"].counts == Counts(right=1)
    assert found["action"].counts == Counts(missing=1)
    assert total(found).f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))


def test_a_wanted_action_is_found_once_by_any_of_its_names() -> None:
    both = answer(actions=[{"action": "lookat", "description": "x"}, {"action": "READ", "description": "y"}])
    assert score(both) == Counts(right=1, extra=1, missing=3)
    assert score(both, once=False) == Counts(right=2, extra=0, missing=2)


def test_goals_about_objects_that_are_not_there_are_extra() -> None:
    said = answer([lamp("ON"), lamp("ON", "unicorn")])
    assert score(said) == Counts(right=1, extra=1, missing=3)
    assert score(said, invented=False) == Counts(right=1, extra=0, missing=3)


def test_what_cannot_be_read_misses_everything() -> None:
    assert read_virtualhome("I turn the lamp on.") is None
    assert total(score_virtualhome(None, LAMP)) == Counts(missing=4)
    assert total(score_virtualhome(None, LAMP, AUTHORS)) == Counts()


@pytest.mark.parametrize(
    "around",
    [
        "{}", "```json\n{}\n```", "Sure! Here it is: {} Let me know.", "First {{\"a\": 1}}, then {}",
    ],
)  # fmt: skip
def test_the_object_is_found_in_what_stands_around_it(around: str) -> None:
    assert score(around.format(answer([lamp("on")]))) == Counts(right=1, missing=3)


def test_single_quotes_are_read_as_the_prompt_shows_them() -> None:
    assert score("{'Node Goals': [{'name': 'lamp', 'state': 'ON'}]}") == Counts(right=1, missing=3)


def test_the_best_grounding_of_a_clause_counts() -> None:
    clauses = [[[("a", "INSIDE", "x"), ("b", "INSIDE", "y")], [("a", "INSIDE", "y"), ("b", "INSIDE", "x")]]]
    said = read_behavior(
        '{"node goals": [["not", ["Open", "x"]]], "edge goals": [["Inside","a","y"],["INSIDE","b","x"]]}'
    )
    found = score_behavior(said, clauses)
    assert found["relation"].counts == Counts(right=2)
    assert found["state"].counts == Counts(extra=1) and found["state"].extra == (("x", "NOT OPEN"),)
    assert total(score_behavior(None, clauses)) == Counts(missing=2)


def test_entries_that_are_no_goals_are_malformed_and_stop_nothing() -> None:
    said = read_virtualhome(answer([3, None, {"name": 1, "state": "ON"}, {}, lamp("ON")], "x", {"action": ["READ"]}))
    assert said and said.malformed == 5 and said.goals["state"] == (("lamp", "ON"),)
    nots = read_behavior('{"node goals": [' + '["NOT", ' * 300 + '["open", "x"]' + "]" * 300 + "]}")
    assert nots and nots.malformed == 1
    odd = read_behavior('{"node goals": [["not", ["not", ["open", "x"]]], [], ["open"], [1, 2]], "edge goals": null}')
    assert odd and odd.malformed == 4 and not any(odd.goals.values())


def test_hostile_answers_are_read_in_bounds() -> None:
    deep = "[" * 50_000 + "]" * 50_000
    for text in (
        deep,
        '{"node goals": ' * 20_000,
        '{"node goals": ' + deep + "}",
        "{" * 2_000,
        answer([lamp("ON")] * 99_999),
    ):
        read_virtualhome(text), read_behavior(text)
    assert score("{" * LONGEST + "x" * LONGEST).right == 0  # only the end of a long answer is read
    assert score("x" * 5_000_000 + answer([lamp("ON")])) == Counts(right=1, missing=3)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["lamp", "ON", "not", "open"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "state", "action", "node goals", "Edge Goals", "action goals"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(ANYTHING, st.text(max_size=10))
def test_no_answer_stops_the_readers(value: Any, around: str) -> None:
    for text in (
        json.dumps(value),
        around + str(value) + around,
        json.dumps({"node goals": value, "edge goals": value}),
    ):
        for counts in (score(text), score(text, once=False, invented=False)):
            assert 0 <= counts.f1 <= 1 and counts.right + counts.missing <= 4
        said = read_behavior(text)
        assert total(score_behavior(said, [[[("lamp", "OPEN")]]])).right in (0, 1)


ROW = {
    "id": "1_1", "task": "Turn on light", "name": "Turn on light", "description": "Find it.",
    "goal_text": "Goal name: <x>", "objects_with_states": "two lamps",
    "name_to_id": {"lamp": 2}, "as_names": {"lamp_1": 1, "lamp_2": 2},
    "gold_nodes": [{"id": 1, "state": "ON"}, {"id": 2, "state": "ON"}, {"id": 1, "state": "OFF"}], "gold_edges": [],
    "gold_actions": ["TOUCH|PUSH"],
}  # fmt: skip


def test_objects_of_one_name_are_one_in_answers_and_two_for_the_authors() -> None:
    said = read_virtualhome(answer([lamp("ON"), lamp("OFF")]))
    assert score_virtualhome(said, wanted_of(ROW))["state"].counts == Counts(right=2)
    assert score_virtualhome(said, wanted_of(ROW, by_id=True))["state"].counts == Counts(right=1, extra=1, missing=2)


def test_a_prompt_is_the_template_filled_once_and_its_sets_are_sorted() -> None:
    tables = {"relation_types": {"ON": "atop"}, "rel_obj_pairs": {"ON": ["z", "b"]}, "action_space": {"SIT": "sit"}}
    item = virtualhome_item(ROW, "<goal_str>|<object_in_scene>|<rel_obj_pairs>|<action_space>", tables)
    assert item.prompt == "Goal name: <x>|two lamps|{'ON': {'b', 'z'}}|{'SIT': 'sit'}"
    assert (item.group, item.cluster) == ("Turn on light", "virtualhome: Turn on light")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("embodied:goal", "no ability 'goal'"),
        ("embodied:goal-interpretation:mars", "no world 'mars'"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused_in_one_line(reference: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_suites([reference])


BEHAVIOR_ROW: dict[str, Any] = {
    "id": "x", "task": "open_x", "instructions": "Open it.", "objects": {"x": ["Open"]},
    "initial": [["ontop", "x", "y"]], "goal_clauses": [[[["open", "x"]], [["open", "y"]]]],
}  # fmt: skip


def test_the_bare_name_stands_for_all_abilities() -> None:
    both = make_suites(["embodied", "embodied:goal-interpretation:behavior"])
    assert [suite.id for suite in both][-1] == "embodied:goal-interpretation:behavior"
    assert {"embodied:goal-interpretation", "embodied:transition-modeling"} <= {suite.id for suite in both}
    assert {suite.judge for suite in both} >= {"embodied-goals", "embodied-operators"}


def packed(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: packed(f, [{"id": "x", "task": "t"}]), "line 1: not as it should be"),
        (lambda f: packed(f, [{"id": "x", "task": 3}]), "line 1.*'task'"),
        (lambda f: packed(f, [[1]]), "line 1: not an object"),
        (lambda f: f.write_bytes(gzip.compress(b"x" * 99)[:20]), "cannot be unpacked"),
        (lambda f: f.write_bytes(b"plain"), "cannot be unpacked"),
        (lambda f: f.unlink(missing_ok=True), "No such file"),
    ],
)  # fmt: skip
def test_a_spoilt_data_file_is_refused_in_one_line(spoil: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    file = tmp_path / "eai" / "behavior" / "goal_interpretation.jsonl.gz"
    (tmp_path / "eai" / "templates").mkdir(parents=True)
    file.parent.mkdir()
    (tmp_path / "eai" / "templates" / "behavior_goal_interpretation.txt").write_text("<instructions_str>")
    spoil(file)
    with pytest.raises(DataError, match=said) as caught:
        make_suites(["embodied:goal-interpretation:behavior"])[0].load(DataSource(tmp_path))
    assert "goal_interpretation" in str(caught.value) and "\n" not in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*BEHAVIOR_ROW]), ANYTHING)
def test_a_row_of_another_shape_is_refused_in_one_line_or_read(tmp_path: Path, field: str, value: Any) -> None:
    (tmp_path / "eai" / "templates").mkdir(parents=True, exist_ok=True)
    (tmp_path / "eai" / "templates" / "behavior_goal_interpretation.txt").write_text("<instructions_str>")
    packed(tmp_path / "eai" / "behavior" / "goal_interpretation.jsonl.gz", [BEHAVIOR_ROW | {field: value}])
    try:
        items = make_suites(["embodied:goal-interpretation:behavior"])[0].load(DataSource(tmp_path))
    except DataError as error:
        assert "\n" not in error.problem and "goal_interpretation" in error.problem
    else:
        assert len(items) == 1


@pytest.mark.parametrize(("room", "notes"), [(300, 1), (600, 0)])
def test_a_run_says_where_answers_would_be_cut(real_data: Path, room: int, notes: int) -> None:
    asked = {
        "suites": ["embodied:goal-interpretation:virtualhome"],
        "identities": ["a man"],
        "data_dir": str(real_data),
    }
    spec = StudySpec.parse({"model": "openai:m", "limit": 1, "decoding": {"max_tokens": room}, **asked}, "a test")
    assert len(room_notes(make_plan(spec))) == notes


async def test_right_answers_to_all_tasks_score_full_marks(real_data: Path) -> None:
    suite = make_suites(["embodied:goal-interpretation"])[0]
    loaded, judge = load_suite(suite, DataSource(real_data)), make_judge(suite.judge)
    assert len(loaded.items) == 442 and loaded.origin.endswith("eai")
    verdicts = [await judge.judge(item, Response(right_answer(item))) for item in loaded.items]
    assert {(v.score, v.label) for v in verdicts} == {(1.0, "exact")}
    silent = [await judge.judge(item, Response("Let me think.")) for item in loaded.items]
    assert {(v.score, v.label) for v in silent} == {(0.0, "no-answer")}
    missed = [sum(tallies_in(v.reason).values(), Counts()).missing for v in silent]
    assert missed.count(0) == 4  # tasks without a goal


def test_tallies_are_read_as_written_and_never_out_of_what_a_model_wrote() -> None:
    counts = {"state": Counts(1, 2, 3), "two words": Counts(0, 0, 1), "none": Counts()}
    reason = with_tallies(counts, "extra: x 9/9", "y 9/9 +9")
    assert tallies_in(reason) == {"state": Counts(1, 2, 3), "two words": Counts(0, 0, 1)}
    assert tallies_in("prefers A (50%)") == tallies_in("") == {}


def test_pooled_f1_counts_all_answers_of_an_identity_together() -> None:
    whose = ("s", "system", "a man")
    answers = [(whose, {"state": (1, 0, 0)}), (whose, {"state": (0, 3, 1), "x": (0, 0, 2)})]
    found = {one.kind: one for one in pooled(answers)}
    assert (found["state"].precision, found["state"].recall, found["state"].f1) == (25, 50, pytest.approx(100 / 3))
    assert (found["x"].precision, found["x"].recall, found["x"].f1) == (None, 0, 0)
    assert found["all"].recall == 25 and found["all"].answers == 2


async def test_a_verdict_says_what_is_missing_and_what_is_extra() -> None:
    tables: dict[str, dict[str, Any]] = {"relation_types": {}, "rel_obj_pairs": {}, "action_space": {}}
    item = virtualhome_item(ROW, "<goal_str>", tables)
    found = await make_judge("embodied-goals").judge(item, Response(answer([lamp("ON"), lamp("DIRTY\x1b[31m")])))
    assert found == Verdict(
        0.4, "missing and extra", "state 1/2 +1; action 0/1; missing: lamp OFF, TOUCH|PUSH; extra: lamp DIRTY\ufffd[31M"
    )


def test_the_published_figures_come_out(real_data: Path) -> None:
    folder = real_data / "eai"
    with gzip.open(folder / "virtualhome_tasks.jsonl.gz", "rt") as file:
        rows = {row["id"]: row for row in map(json.loads, file)}
    with gzip.open(folder / "fixtures" / "gpt-4o-2024-05-13_goal_interpretation.json.gz") as packed_answers:
        answers = {entry["identifier"]: read_virtualhome(entry["llm_output"]) for entry in json.load(packed_answers)}
    theirs, ours = (
        [score_virtualhome(said, wanted_of(rows[name], by_id=by_id), convention) for name, said in answers.items()]
        for by_id, convention in ((True, AUTHORS), (False, OURS))
    )
    published = sum((total(outcome) for outcome in theirs), Counts())
    assert [round(100 * x, 2) for x in (published.precision, published.recall, published.f1)] == [26.41, 59.25, 36.53]
    by_kind = {kind: sum((outcome[kind].counts for outcome in theirs), Counts()) for kind in KINDS}
    assert round(100 * by_kind["action"].f1, 1) == 33.1
    assert 100 * sum((total(outcome) for outcome in ours), Counts()).f1 == pytest.approx(35.9, abs=0.5)
