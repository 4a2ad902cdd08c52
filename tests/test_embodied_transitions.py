"""Transition modeling: PDDL that models write, its literals, what it does, and the published figures of one model."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.embodied.adl import Interpreter, replay
from evenhand.embodied.counts import Counts
from evenhand.embodied.logic import compared
from evenhand.embodied.pddl import (
    DEEPEST,
    MOST_WORDS,
    TRUE,
    Formula,
    PddlError,
    formula_of,
    operator_of,
    problem_of,
    read_expression,
    typed,
)
from evenhand.embodied.planner import PlannerLimits, domain_text, plan, written
from evenhand.embodied.published import published_counts
from evenhand.embodied.transition_items import right_model, task_of
from evenhand.embodied.transitions import compare, read_model, replay_model
from evenhand.judges import make_judge
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Item, Response

CATEGORIES = {"next_to": "spatial", "holds": "other", "on": "states", "open": "states"}
GRAB = operator_of(
    "grab",
    "(?char - character ?obj - object)",
    "(and (next_to ?char ?obj) (not (exists (?o - object) (holds ?char ?o))))",
    "(and (holds ?char ?obj) (forall (?far - object) (when (not (next_to ?obj ?far)) (not (next_to ?char ?far)))))",
)
WALK = operator_of("walk", "(?char - character ?obj - object)", "()", "(next_to ?char ?obj)")
GOLD = {"grab": GRAB, "walk": WALK}
ROOM = problem_of(
    "(define (problem p) (:domain d) (:objects me - character cup lamp - object) ; the room\n"
    "(:init (next_to me lamp) (not (on lamp))) (:goal (and (holds me cup) (not (next_to me lamp)))))"
)
PLAN = ("walk me cup", "grab me cup")


def formula(text: str) -> Formula:
    return formula_of(read_expression(text)[0])


def shared(said: str, wanted: str) -> Counts:
    return sum(compared(formula(said), formula(wanted), CATEGORIES).values(), Counts())


@pytest.mark.parametrize(
    ("said", "wanted", "counts"),
    [
        ("(next_to ?a ?b)", "(next_to ?a ?b)", Counts(1)),
        ("(next_to ?b ?a)", "(next_to ?a ?b)", Counts(0, 1, 1)),
        ("()", "(and (on ?a))", Counts(0, 0, 1)),
        ("(on ?a)", "(and (on ?a))", Counts(1)),
        ("(and (on ?a) (open ?a))", "(and (open ?a) (on ?a) (on ?b))", Counts(2, 0, 1)),
        ("(and (on ?a) (on ?a))", "(on ?a)", Counts(1, 1)),
        ("(not (on ?a))", "(on ?a)", Counts(0, 1, 1)),
        ("(and (on ?a))", "(or (and (on ?a) (open ?a)) (and (on ?b) (on ?a)))", Counts(1, 0, 3)),
        ("(or (open ?a) (on ?a))", "(or (on ?a) (open ?a))", Counts(2)),
        ("(exists (?x - object) (holds ?a ?x))", "(exists (?y - object) (holds ?a ?y))", Counts(1)),
        ("(exists (?x - character) (holds ?a ?x))", "(exists (?y - object) (holds ?a ?y))", Counts(0, 1, 1)),
        ("(forall (?x - object) (holds ?a ?x))", "(exists (?x - object) (holds ?a ?x))", Counts(0, 1, 1)),
        ("(when (on ?a) (open ?b))", "(when (open ?a) (open ?b))", Counts(1, 1, 1)),
        ("(and (flies ?a) (on ?a))", "(on ?a)", Counts(1, 1)),
    ],
)
def test_literals_agree_where_the_shape_of_both_allows(said: str, wanted: str, counts: Counts) -> None:
    assert shared(said, wanted) == counts


def test_literals_are_counted_by_category_and_unknown_ones_too() -> None:
    found = compared(formula("(and (flies ?a) (on ?a))"), formula("(and (on ?a) (holds ?a ?b))"), CATEGORIES)
    assert found == {"unknown": Counts(0, 1), "states": Counts(1), "other": Counts(0, 0, 1)}


def test_names_have_the_type_behind_them_and_words_without_one_the_root() -> None:
    assert typed(read_expression("(?a ?b - cup ?c)")[0]) == (("?a", "cup"), ("?b", "cup"), ("?c", "object"))


@pytest.mark.parametrize(
    "text",
    [
        "(and (on ?a)", ")", "", "(not)", "(not (a) (b))", "(when (a))", "(exists (?x))", "((a))", "(on (a))",
        "(exists ?x (on ?x))", "(exists (?x -) (on ?x))", "(" * (DEEPEST + 1), "(and" + " (on a)" * MOST_WORDS + ")",
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(PddlError):
        formula(text)


def test_a_right_plan_replays_and_a_wrong_one_says_where_it_stops() -> None:
    assert replay(ROOM, GOLD, PLAN).reached
    early = replay(ROOM, GOLD, PLAN[1:])
    assert (early.applied, early.reached) == (0, False) and "precondition" in early.why
    assert "goal does not hold" in replay(ROOM, GOLD, PLAN[:1]).why
    assert "not defined" in replay(ROOM, GOLD, ["fly me cup"]).why
    assert "2 parameters, not 1" in replay(ROOM, GOLD, ["walk me"]).why


def test_effects_see_the_state_before_and_adding_wins() -> None:
    run = Interpreter({"a": "object", "b": "object"})
    state = frozenset({("on", "a")})
    swap = formula("(and (when (on a) (and (not (on a)) (on b))) (when (on b) (open b)))")
    assert run.after(swap, state, {}) == {("on", "b")}
    assert run.after(formula("(and (on a) (not (on a)))"), frozenset(), {}) == {("on", "a")}
    assert run.holds(formula("(and (= ?x a) (not (= ?x b)))"), state, {"?x": "a"})
    for wrong in ("(or (on a) (on b))", "(not (and (on a)))", "(on ?nobody)", "(exists (?x - object) (on ?x))"):
        with pytest.raises(PddlError):
            run.after(formula(wrong), state, {})
    with pytest.raises(PddlError):
        run.holds(formula("(when (on a) (on b))"), state, {})


def answer(*actions: str) -> str:
    return json.dumps({"output": "\n".join(actions)})


WALKS = "(:action walk :parameters (?c - character ?o - object) :precondition () :effect (next_to ?c ?o))"
GRABS = (
    "(:action grab\n :parameters (?char - character ?obj - object) ; who, what\n :precondition (next_to ?char ?obj)\n"
    " :effect (and (holds ?char ?obj) (not (next_to ?char lamp))))"
)


def test_an_answer_is_compared_under_the_names_of_the_gold_parameters() -> None:
    model = read_model(answer(WALKS, GRABS, "(:action fly :parameters () :precondition (on ?x) :effect ())"))
    found = compare(model, ["walk", "grab"], GOLD, CATEGORIES)
    assert (found.missing, found.invented) == ((), ("fly",))
    assert found.part("precondition") == Counts(right=1, extra=1, missing=1)
    assert found.part("effect") == Counts(right=2, extra=1, missing=2)
    assert found.categories["other"] == Counts(right=1, missing=1)
    assert replay_model(model, ["walk", "grab"], GOLD, ROOM, PLAN).reached


def test_an_operator_that_is_not_there_misses_all_and_cannot_be_taken() -> None:
    model = read_model(answer(GRABS))
    found = compare(model, ["walk", "grab"], GOLD, CATEGORIES)
    assert found.missing == ("walk",) and found.part("effect").missing == 1 + 2
    assert "not defined" in replay_model(model, ["walk", "grab"], GOLD, ROOM, PLAN).why
    assert replay_model(model, ["grab"], GOLD, ROOM, PLAN).reached  # what is not asked for is the domain's
    assert compare(None, ["walk"], GOLD, CATEGORIES).total == Counts(missing=1)


@pytest.mark.parametrize(
    "text",
    [
        WALKS, answer(WALKS), f"```json\n{answer(WALKS)}\n```", f"Sure: {answer(WALKS)}", '{"output": "' + WALKS + '"',
        "(:action walk)\n:parameters (?c ?o)\n:precondition ()\n:effect (next_to ?c ?o)\n)", WALKS.upper(),
        WALKS.replace("(?c - character ?o - object)", "(?c - agent.n.01 ?o - object)"),
    ],
)  # fmt: skip
def test_operators_are_found_in_what_stands_around_them(text: str) -> None:
    model = read_model(text)
    assert model and compare(model, ["walk"], GOLD, CATEGORIES).total == Counts(right=1)


def test_what_is_no_pddl_is_empty_and_cannot_be_taken() -> None:
    model = read_model(answer(WALKS.replace("(next_to ?c ?o)", "(next_to (?c) ?o)"), GRABS + ")) :effect"))
    assert model and model.unreadable == {"walk": ("effect",), "grab": ("effect",)}
    assert compare(model, ["walk"], GOLD, CATEGORIES).part("effect").missing == 1
    assert not replay_model(model, ["walk"], GOLD, ROOM, PLAN).reached
    assert read_model("I would walk.") is None


def hostile(part: str) -> str:
    return answer(f"(:action walk :parameters (?char ?obj) :precondition {part} :effect {part})")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000, "(:action " * 5_000, hostile("(" * 9_000 + ")" * 9_000),
        hostile("".join(f"(forall (?x{n} - object) " for n in range(30)) + "(not (on ?x1))" + ")" * 30),
        hostile("(forall (" + " ".join(f"?x{n}" for n in range(500)) + ") (on ?x1))"),
        hostile("(and" + " (or (on ?obj) (next_to ?char ?obj))" * 150 + ")"),
        hostile("(or" * 20 + " (on ?obj)" + ")" * 20), answer(*[WALKS] * 150),
    ],
)  # fmt: skip
def test_hostile_answers_are_judged_in_bounds(text: str) -> None:
    model = read_model(text)
    counts = compare(model, ["walk", "grab"], GOLD, CATEGORIES).total
    assert counts.right + counts.missing == 1 + 2 + 3
    replay_model(model, ["walk", "grab"], GOLD, ROOM, PLAN)
    published_counts(model, ["walk", "grab"], GOLD, CATEGORIES)


def test_a_plan_over_too_many_groundings_is_given_up() -> None:
    deep = "".join(f"(forall (?x{n} - object) " for n in range(30)) + "(not (on ?x1))" + ")" * 30
    model = read_model(answer(f"(:action walk :parameters (?char ?obj) :precondition {deep} :effect ())"))
    assert "too long" in replay_model(model, ["walk"], GOLD, ROOM, PLAN).why


WORDS = st.sampled_from(
    ["(", ")", "(and", "(or", "(not", "(when", "(forall (?x - object)", "(exists (?y)", "(on ?obj)", ")", ")", ";",
     "?x", "(next_to ?char ?obj)", ":effect", ":precondition", "-"]
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, max_size=25), st.text(max_size=8))
def test_no_answer_stops_the_readers(words: list[str], odd: str) -> None:
    for text in (hostile(" ".join(words)), answer(" ".join(words) + odd), f"(:action walk {odd}" + " ".join(words)):
        model = read_model(text)
        found = compare(model, ["walk"], GOLD, CATEGORIES).total
        assert found.right + found.missing == 1 and found.extra >= 0
        replay_model(model, ["walk"], GOLD, ROOM, PLAN)
        published_counts(model, ["walk"], GOLD, CATEGORIES)
        for operator in model.operators.values() if model else ():
            for part in (operator.precondition, operator.effect):
                assert part == formula(written(part)) or part == TRUE


def transition_items(data: Path) -> dict[str, Item]:
    return {i.id: i for i in load_suite(make_suites(["embodied:transition-modeling"])[0], DataSource(data)).items}


async def test_right_answers_to_all_tasks_score_full_marks_and_their_plans_replay(real_data: Path) -> None:
    items, judge = transition_items(real_data), make_judge("embodied-operators")
    assert len(items) == 396
    verdicts = [await judge.judge(item, Response(right_model(item))) for item in list(items.values())[::8]]
    assert {v.score for v in verdicts} == {1.0} and {v.label for v in verdicts} <= {"exact", "not replayed"}
    behavior = next(item for item in items.values() if item.extra["world"] == "behavior")
    for name in behavior.extra["asked"]:
        assert f"(:action {name}\n" in behavior.prompt
    said = behavior.prompt.partition("Objective:")[0]
    assert all(f"({predicate} " in said for predicate in behavior.extra["categories"])


async def test_a_verdict_says_where_the_plan_stops(real_data: Path) -> None:
    items, judge = transition_items(real_data), make_judge("embodied-operators")
    item = next(item for item in items.values() if "grab" in item.extra["asked"])
    without = item.target.replace("(holds_rh ?char ?obj)", "(clean ?obj)") if item.target else ""
    verdict = await judge.judge(item, Response(json.dumps({"output": without})))
    assert verdict.score and 0 < verdict.score < 1 and verdict.label in ("blocked", "goal missed")
    assert "effect" in verdict.reason and ("step" in verdict.reason or "goal" in verdict.reason)
    assert (await judge.judge(item, Response("No."))).score == 0


def test_the_published_figures_come_out(real_data: Path) -> None:
    items = transition_items(real_data)
    with gzip.open(real_data / "eai/fixtures/gpt-4o-2024-05-13_transition_modeling.json.gz") as packed:
        answers = [
            (task_of(items[entry["identifier"]]), read_model(entry["llm_output"])) for entry in json.load(packed)
        ]
    totals: dict[str, Counts] = {}
    replayed = 0
    for task, model in answers:
        for category, counts in published_counts(model, task.asked, task.gold, task.categories).items():
            totals[category] = totals.get(category, Counts()) + counts
        replayed += replay_model(model, task.asked, task.gold, task.problem, task.plan or ()).reached
    f1 = {category: round(100 * counts.f1, 1) for category, counts in totals.items()}
    assert f1 == {
        "object_states": 54.6, "object_affordance": 74.9, "object_orientation": 52.8, "spatial_relations": 40.8,
        "non-spatial_relations": 7.6,
    }  # fmt: skip
    assert round(100 * sum(totals.values(), Counts()).f1, 1) == 46.7
    assert replayed == 89


STAND_IN = """import sys
plan = sys.argv[sys.argv.index("--plan-file") + 1]
domain = open(sys.argv[-2]).read()
if "sleepy" in domain:
    import time; time.sleep(60)
if "(:action walk" not in domain: sys.exit(31)
if "impossible" in domain: sys.exit(11)
open(plan, "w").write("(walk me cup)\\n(grab me cup)\\n; cost = 2\\n")
"""


async def test_a_planner_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "planner.py"
    program.write_text(STAND_IN)
    found = await plan(domain_text("(define (domain d)", GOLD), "(define)", program)
    assert found.steps == PLAN and replay(ROOM, GOLD, found.steps).reached
    assert (await plan("(:action walk impossible", "", program)).why == "there is no plan"
    assert "cannot read" in (await plan("", "", program)).why
    assert (await plan("sleepy", "", program, PlannerLimits(wall_s=0.2))).why == "no plan in 0.2 s"


async def test_the_planner_judge_tells_right_plans_from_wrong_ones(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = next(iter(transition_items(real_data).values()))
    program = tmp_path / "up_fast_downward" / "downward" / "fast-downward.py"
    program.parent.mkdir(parents=True)
    (tmp_path / "up_fast_downward" / "__init__.py").touch()
    steps = "".join(f"({step})\n" for step in item.extra["plan"])
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    judge = make_judge("embodied-planner")
    verdicts = []
    for found in (steps, "(walk_towards nobody nothing)\n"):
        program.write_text(f"import sys; open(sys.argv[sys.argv.index('--plan-file') + 1], 'w').write({found!r})")
        await judge.start()
        verdicts.append(await judge.judge(item, Response(right_model(item))))
    assert [(v.score, v.label) for v in verdicts] == [(1.0, "valid plan"), (0.0, "invalid plan")]
    broken = await judge.judge(item, Response("(:action grab :parameters () :precondition ((x)) :effect ())"))
    assert (broken.score, broken.label, broken.reason) == (0.0, "no plan", "no PDDL: grab")
