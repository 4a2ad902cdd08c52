"""Action sequencing: steps in a small scene, what is read as a plan, and published tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.embodied.actions import ACTIONS, take
from evenhand.embodied.needs import ADDITIONAL, AFFORDANCE, MISSING, ORDER
from evenhand.embodied.plan_items import right_answer
from evenhand.embodied.plans import (
    ARGUMENTS,
    AUTHORS,
    HALLUCINATION,
    PARSING,
    Goals,
    Outcome,
    commands,
    judge_plan,
    program,
    read_plan,
)
from evenhand.embodied.scenes import Scene, scene_of
from evenhand.errors import SpecError
from evenhand.judges import make_judge
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Item, Response

ME, KITCHEN, CUPBOARD, CUP, LAMP, SOFA = range(1, 7)
NAMES = {"cupboard_3": CUPBOARD, "cup_4": CUP, "lamp_5": LAMP, "sofa_6": SOFA}


def kitchen() -> Scene:
    """A cup in a closed cupboard, a lamp that is off and a sofa."""
    things: list[list[Any]] = [
        [ME, "character", False, [], []],
        [KITCHEN, "kitchen", True, [], []],
        [CUPBOARD, "cupboard", False, ["CAN_OPEN"], ["CLOSED"]],
        [CUP, "cup", False, ["GRABBABLE", "RECIPIENT"], []],
        [LAMP, "lamp", False, ["HAS_SWITCH"], ["OFF"]],
        [SOFA, "sofa", False, ["SITTABLE"], []],
    ]
    edges = [[thing, "INSIDE", KITCHEN] for thing in (ME, CUPBOARD, CUP, LAMP, SOFA)]
    return scene_of({"things": things, "edges": [*edges, [CUP, "INSIDE", CUPBOARD]]})


def plan(*steps: tuple[str, ...]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(parts)}" for name, *parts in steps) + "}"


LIT = Goals(states=((LAMP, "ON"),))
WALK_LAMP, LIGHT = ("WALK", "lamp", "5"), ("SWITCHON", "lamp", "5")


def judged(*steps: tuple[str, ...], goals: Goals = LIT) -> Outcome:
    return judge_plan(plan(*steps), kitchen(), NAMES, goals)


def test_a_plan_reaches_its_goal_and_steps_with_nothing_to_do_are_passed_over() -> None:
    found = judged(WALK_LAMP, ("STANDUP",), LIGHT, LIGHT)
    assert found.reached and (found.error, found.taken, found.additional) == ("", 2, 2)
    assert not judged(WALK_LAMP).reached and judged(WALK_LAMP).error == ""


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([LIGHT], MISSING),
        ([WALK_LAMP, ("SWITCHON", "sofa", "6")], AFFORDANCE),
        ([WALK_LAMP, ("WALK", "sofa", "6"), LIGHT], ORDER),  # it was close to the lamp, and left
        ([WALK_LAMP, ("SWITCHON", "lamp", "7")], HALLUCINATION),
        ([("DANCE", "lamp", "5")], HALLUCINATION),
        ([("SWITCHON", "lamp", "5", "sofa", "6")], ARGUMENTS),
        ([("SWITCHON", "lamp")], PARSING),
        ([], PARSING),
    ],
)
def test_each_error_has_its_class(steps: list[tuple[str, ...]], error: str) -> None:
    found = judged(*steps)
    assert found.error == error and not found.reached


def test_what_lies_in_a_closed_thing_is_taken_after_it_was_opened() -> None:
    scene = kitchen()
    assert take(scene, "WALK", (CUPBOARD,)) is None
    closed = take(scene, "GRAB", (CUP,))
    assert closed and closed.kind == MISSING
    assert [take(scene, *step) for step in (("OPEN", (CUPBOARD,)), ("GRAB", (CUP,)))] == [None, None]
    assert scene.has(ME, "HOLDS_RH", CUP) and not scene.has(CUP, "INSIDE", CUPBOARD)
    again = take(scene, "GRAB", (CUP,))
    assert again and again.kind == ADDITIONAL
    assert take(scene, "PUTIN", (CUP, CUPBOARD)) is None
    assert scene.has(CUP, "INSIDE", CUPBOARD) and not scene.targets(ME, "HOLDS_RH")


def test_who_sits_cannot_walk() -> None:
    sofa = ("WALK", "sofa", "6"), ("SIT", "sofa", "6")
    found = judged(*sofa, WALK_LAMP)
    assert found.error == ORDER and "standing" in found.why
    assert judged(*sofa, ("STANDUP",), WALK_LAMP, LIGHT).reached


def test_actions_count_in_their_order() -> None:
    goals = Goals(actions=(("TOUCH", "PUSH"), ("SWITCHON",)))
    touch = ("PUSH", "lamp", "5")
    assert judged(WALK_LAMP, touch, LIGHT, goals=goals).reached
    assert judged(WALK_LAMP, LIGHT, touch, goals=goals).met["action"] == (1, 2)


def test_the_authors_convention_has_their_faults() -> None:
    both = Goals(relations=((LAMP, "INSIDE", KITCHEN), (SOFA, "INSIDE", KITCHEN)))
    text, gold = plan(WALK_LAMP, LIGHT), program(["[WALK] <lamp> (5)", "[SWITCHON] <lamp> (5)"])
    assert judge_plan(text, kitchen(), NAMES, both).reached
    assert judge_plan(text, kitchen(), NAMES, both, AUTHORS).met["relation"] == (1, 2)
    assert not judge_plan(text, kitchen(), NAMES, LIT, AUTHORS, gold).reached
    assert commands(read_plan(plan(("PLUGIN", "lamp", "5"))), NAMES, AUTHORS)[0] == HALLUCINATION


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="{}[]\"':, 1Aa\\", max_size=300))
def test_anything_is_read(text: str) -> None:
    read_plan(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.permutations(sorted(NAMES.values()))), max_size=20))
def test_any_plan_is_carried_out(steps: list[tuple[str, list[int]]]) -> None:
    scene = kitchen()
    for name, objects in steps:
        before = sorted(scene.edges()), {thing: set(states) for thing, states in scene.states.items()}
        if take(scene, name, tuple(objects[: ACTIONS[name].objects])):
            assert before == (sorted(scene.edges()), scene.states)  # a step that is not taken changes nothing


def test_endless_plans_are_bounded() -> None:
    for text in (plan(*[LIGHT] * 50_000), '"A": [' * 50_000, "[" * 99_999):
        assert len(read_plan(text) or []) < 1_000


def items_of(data: Path, suite: str) -> dict[str, Item]:
    return {item.id: item for item in load_suite(make_suites([suite])[0], DataSource(data)).items}


async def test_reference_programs_reach_their_goals(real_data: Path) -> None:
    items, judge = items_of(real_data, "embodied:action-sequencing"), make_judge("embodied-plans")
    assert len(items) == 342
    some = [item for number, item in enumerate(items.values()) if number % 12 == 0]
    verdicts = [await judge.judge(item, Response(right_answer(item))) for item in some]
    assert {(verdict.score, verdict.label) for verdict in verdicts} == {(1.0, "goal reached")}


def test_a_world_that_there_is_not() -> None:
    with pytest.raises(SpecError, match="no world"):
        make_suites(["embodied:action-sequencing:behavior"])
