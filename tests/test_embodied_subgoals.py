"""Subgoal decomposition: formulas, how subgoals are brought about in a small scene, and published tasks."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.embodied.needs import MISSING, ORDER
from evenhand.embodied.pddl import TRUE, Formula
from evenhand.embodied.plans import ARGUMENTS, HALLUCINATION, PARSING, Goals, Outcome
from evenhand.embodied.scenes import scene_of
from evenhand.embodied.subgoal_items import LINES, right_answer
from evenhand.embodied.subgoal_plans import MOST_PATHS, Aim, judge_subgoals
from evenhand.embodied.subgoals import AUTHORS, OURS, VOCABULARY, Convention, read_subgoals
from evenhand.embodied.temporal import DEEPEST, FormulaError, formula_in, primitives, progressed
from evenhand.judges import make_judge
from evenhand.types import Item, Response
from tests.test_embodied_plans import CUP, CUPBOARD, LAMP, ME, SOFA, items_of, kitchen

LIT = Goals(states=((LAMP, "ON"),))
NAMES = {"character.1": ME, "kitchen.2": 2, "cupboard.3": CUPBOARD, "cup.4": CUP, "lamp.5": LAMP, "sofa.6": SOFA}


def answer(*lines: str) -> str:
    return json.dumps({"necessity_to_use_action": "no", "actions_to_include": [], "output": lines})


def judged(*lines: str, goals: Goals = LIT, aim: str = "", convention: Convention = OURS) -> Outcome:
    wanted = formula_in(aim, quantified=True) if aim else TRUE
    return judge_subgoals(read_subgoals(answer(*lines)), kitchen(), NAMES, Aim(goals, wanted), convention)


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("ON(lamp.5)", ("ON", "lamp.5")),
        ("SLEEP", ("SLEEP",)),
        ("SLEEP()", ("SLEEP",)),
        ("A(x) and B(y, z.1) or C(x)", ("or", ("and", ("A", "x"), ("B", "y", "z.1")), ("C", "x"))),
        ("A(x) then B(x) or C(x)", ("then", ("A", "x"), ("or", ("B", "x"), ("C", "x")))),
        ("(A(x) or B(x)) and C(x)", ("and", ("or", ("A", "x"), ("B", "x")), ("C", "x"))),
        ("exists x0. ((A(x0) or B(x0)))", ("exists", "x0", ("or", ("A", "x0"), ("B", "x0")))),
    ],
)
def test_formulas(text: str, formula: Formula) -> None:
    assert formula_in(text, quantified=True) == formula


@pytest.mark.parametrize(
    "text",
    [
        "",
        "and",
        "A(x) and",
        "A(x",
        "A(x))",
        "A(,)",
        "A(x) B(x)",
        "A x",
        "(A(x)",
        "not A(x)",
        "A(x;y)",
        "exists x. (A(x))",
    ],
)
def test_what_is_no_formula(text: str) -> None:
    with pytest.raises(FormulaError):
        formula_in(text)


def test_large_formulas_are_refused_and_no_text_holds_up_a_run() -> None:
    assert formula_in("(" * DEEPEST + "A(x)" + ")" * DEEPEST) == ("A", "x")
    bombs = ("(" * 10_000, "(" * 5_000 + "A(x)" + ")" * 5_000, " and ".join(["A(x)"] * 5_000), "A(" * 9_000)
    for bomb in bombs:
        with pytest.raises(FormulaError):
            formula_in(bomb)
        assert not judged(bomb).reached


_FORMULAS = st.recursive(
    st.sampled_from(["A", "B", "C"]).map(lambda name: (name,)),
    lambda inner: st.tuples(st.sampled_from(["and", "or", "then"]), inner, inner),
    max_leaves=6,
)


def _written(formula: Formula) -> str:
    word, *parts = formula
    return f"({f' {word} '.join(map(_written, parts))})" if parts else word


def _ends(formula: Formula, trace: list[str], start: int) -> int | None:
    """By the definition: the moment after the first at which a formula has come true, from a start on."""
    word, *parts = formula
    if "then" not in _written(formula):
        return next((at + 1 for at in range(start, len(trace)) if _now(formula, trace[at])), None)
    if word == "then":
        first = _ends(parts[0], trace, start)
        return None if first is None else _ends(parts[1], trace, first)
    found = [_ends(part, trace, start) for part in parts]
    done = [end for end in found if end is not None]
    return (min(done) if done else None) if word == "or" else (max(done) if len(done) == len(found) else None)


def _now(formula: Formula, moment: str) -> bool:
    word, *parts = formula
    return (all if word == "and" else any)(_now(p, moment) for p in parts) if parts else word in moment


@settings(max_examples=300, deadline=None)
@given(_FORMULAS, st.lists(st.sampled_from(["", "A", "B", "C", "AB", "BC"]), max_size=7))
def test_progress_agrees_with_the_definition_on_finite_traces(formula: Formula, trace: list[str]) -> None:
    assert formula_in(_written(formula)) == formula
    left, ended = formula, None
    for at, moment in enumerate(trace):
        left = progressed(left, lambda primitive, now=moment: primitive[0] in now, ())  # type: ignore[misc]
        if left == TRUE:
            ended = at + 1
            break
    assert ended == _ends(formula, trace, 0)


def test_quantified_states_range_over_the_objects() -> None:
    wanted = formula_in("exists x. (exists y. (POUR(x, y)))", quantified=True)
    assert progressed(wanted, lambda primitive: primitive == ("POUR", "a", "b"), ["a", "b"]) == TRUE
    assert progressed(wanted, lambda primitive: primitive == ("POUR", "c", "b"), ["a", "b"]) == wanted


def test_subgoals_bring_their_own_actions() -> None:
    lit = judged("ON(lamp.5)")
    assert lit.reached and lit.taken == 2  # it is found, and switched on
    stored = judged(
        "OPEN(cupboard.3)", "HOLDS_RH(character.1, cup.4)", "ON(lamp.5)", "INSIDE(cup.4, cupboard.3)",
        goals=Goals(relations=((CUP, "INSIDE", CUPBOARD),), actions=(("GRAB",), ("SWITCHON",), ("PUTIN",))),
    )  # fmt: skip
    assert stored.reached and stored.met["action"] == (3, 3)


def test_the_best_of_several_ways_counts() -> None:
    seated = Goals(states=((ME, "SITTING"),))
    assert judged("ONTOP(character.1, sofa.6)", goals=seated).reached  # sitting will do, lying will not
    assert judged("OPEN(lamp.5) or ON(lamp.5)").reached
    assert judged("(OPEN(lamp.5) or ON(lamp.5)) and NEXT_TO(character.1, sofa.6)").reached
    assert not judged("OPEN(lamp.5) or CLOSED(lamp.5)").reached


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("HOLDS_RH(character.1, cup.4)", MISSING),  # it is in a closed cupboard
        ("SING(lamp.5)", HALLUCINATION),
        ("STANDUP()", HALLUCINATION),
        ("GRABBABLE(cup.4)", HALLUCINATION),
        ("ON(lamp.7)", HALLUCINATION),
        ("ON(lamp)", HALLUCINATION),
        ("ON(lamp.5, sofa.6)", ARGUMENTS),
        ("BETWEEN(lamp.5, sofa.6)", ARGUMENTS),
        ("ON(lamp.5", PARSING),
        ("exists x. (ON(x))", PARSING),
        ("", PARSING),
    ],
)
def test_each_error_has_its_class(line: str, error: str) -> None:
    found = judged(line)
    assert found.error == error and not found.reached


def test_all_subgoals_have_to_be_brought_about() -> None:
    found = judged("ON(lamp.5)", "HOLDS_RH(character.1, cup.4)")
    assert found.met["state"] == (1, 1) and found.error == MISSING and not found.reached


def test_who_sits_stands_up_to_go_somewhere() -> None:
    lines = ("ONTOP(character.1, sofa.6)", "ON(lamp.5)")
    assert judged(*lines).reached
    assert judged(*lines, convention=AUTHORS).error == ORDER


def test_the_authors_convention_has_their_faults() -> None:
    dark = "(ON(lamp.5) and OFF(lamp.5)) or ON(lamp.5)"
    lines = ("ON(lamp.5)", "OFF(lamp.5)")
    assert not judged(*lines).reached and judged(*lines, aim=dark, convention=AUTHORS).reached
    assert judged("ON(lamp.5)", "and that is it", convention=AUTHORS, aim=dark).reached
    assert judged("ON(lamp.5)", "and that is it").error == PARSING
    assert judged("GRABBABLE(cup.4)", convention=AUTHORS, aim=dark).error == ""
    assert judged("BETWEEN(lamp.5, sofa.6)", convention=AUTHORS, aim=dark).error == ""


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="{}[]\"':, 1Aaoutp\\", max_size=300))
def test_anything_is_read(text: str) -> None:
    read_subgoals(text)
    read_subgoals('{"output": ' + text)


_PRIMITIVES = st.tuples(
    st.sampled_from(sorted(VOCABULARY)), st.lists(st.sampled_from(sorted(NAMES)), min_size=3, max_size=3)
).map(lambda said: f"{said[0]}({', '.join(said[1][: VOCABULARY[said[0]]])})")
_LINES = st.lists(_PRIMITIVES, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from([" and ", " or ", " then "]).map(lambda joint: joint.join(parts))
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_LINES, min_size=1, max_size=6))
def test_any_subgoals_are_carried_out(lines: list[str]) -> None:
    found = judged(*lines)
    assert found.error not in (PARSING, HALLUCINATION, ARGUMENTS)
    assert not (found.error and found.reached)


def test_endless_answers_are_bounded() -> None:
    ways = " or ".join(["ONTOP(character.1, sofa.6)"] * 40)
    found = judged(*[ways] * 10)
    assert found.error == "" and found.taken > 0
    assert "not all alternatives" in judged(*[ways] * 10, goals=Goals(states=((CUP, "DIRTY"),))).why
    assert judged(*["ON(lamp.5)"] * 1_000).taken > 1_000  # one way through is followed to its end
    for text in ("[" * 99_999, '{"output": ' * 30_000, '{"output": ["' + "(" * 99_999, answer(*["A"] * 9_000)):
        assert judge_subgoals(read_subgoals(text), kitchen(), NAMES, Aim(Goals())).error
    assert MOST_PATHS < 100


async def test_what_answers_look_like() -> None:
    judge = make_judge("embodied-subgoals")
    things: list[list[Any]] = [[1, "character", False, [], []], [5, "lamp", False, ["HAS_SWITCH"], ["OFF"]]]
    extra: dict[str, Any] = {
        "scene": {"things": things, "edges": []},
        "goals": {"states": [[5, "ON"]], "relations": [], "actions": []},
        "names": {"character.1": 1, "lamp.5": 5}, LINES: ["ON(lamp.5)"],
    }  # fmt: skip
    item = Item("1", "?", "g", "?", extra=extra)
    verdict = await judge.judge(item, Response("```json\n" + answer("ON(lamp.5)") + "\n```"))
    assert (verdict.score, verdict.label) == (0.0, "affordance")  # there is no room to walk in
    for text, label in (("I'm sorry, but I can't help with that.", "refusal"), ("ON", "no-answer"), ("", "empty")):
        assert (await judge.judge(item, Response(text))).label == label
    assert (await judge.judge(Item("1", "?", "g", "?"), Response(answer("ON(lamp.5)")))).label == "no-target"


async def test_reference_programs_lead_to_their_goals(real_data: Path) -> None:
    items, judge = items_of(real_data, "embodied:subgoal-decomposition"), make_judge("embodied-subgoals")
    assert len(items) == 338
    labels = Counter([(await judge.judge(item, Response(right_answer(item)))).label for item in items.values()])
    assert labels == {"goal reached": 337, "goal missed": 1}  # 688_1 wants one glass in both hands


def test_counted_as_the_authors_do_verdicts_are_those_of_their_program(real_data: Path) -> None:
    items = items_of(real_data, "embodied:subgoal-decomposition")
    with gzip.open(real_data / "eai/virtualhome_tasks.jsonl.gz") as packed:
        wanted = {row["id"]: row["ltl"] for row in map(json.loads, packed)}
    with gzip.open(real_data / "eai/fixtures/gpt-4o-2024-05-13_subgoal_decomposition.json.gz") as packed:
        answers = {entry["identifier"].removeprefix("scene_1_"): entry["llm_output"] for entry in json.load(packed)}

    def outcome(name: str, lines: Sequence[str] | None) -> Outcome:
        extra = items[name].extra
        goals = Goals(*(tuple(map(tuple, extra["goals"][kind])) for kind in ("states", "relations", "actions")))
        aim = Aim(goals, formula_in(wanted[name], quantified=True))
        return judge_subgoals(lines, scene_of(extra["scene"]), extra["names"], aim, AUTHORS)

    said = {name: read_subgoals(text) for name, text in answers.items()}
    found = [outcome(name, lines) for name, lines in said.items()]
    # What their program says where it takes the first part of each "or" (benchmarks/embodied_reference.py).
    assert sum(one.reached for one in found) == 306
    assert Counter(one.error for one in found) == {"": 319, HALLUCINATION: 7, MISSING: 8, ORDER: 4}
    kinds = Counter[str]()
    for one in found:
        kinds.update({kind: met for kind, (met, _) in one.met.items()})
    assert kinds == {"state": 320, "relation": 257, "action": 151}
    # It takes one by chance, and the published figure is such a draw.
    ways = [[outcome(n, way).reached for way in product(*(line.split(" or ") for line in said[n] or ()))] for n in said]
    lowest, highest = (100 * sum(map(how, ways)) / len(ways) for how in (all, any))
    assert lowest < 88.76 < highest


def test_primitives_of_a_formula() -> None:
    formula = formula_in("exists x. (A(x) or B(x)) then C(y)", quantified=True)
    assert [name for name, *_ in primitives(formula)] == ["A", "B", "C"]
