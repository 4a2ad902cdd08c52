"""Subgoal decomposition as items: the authors' prompt, the scene, and what should hold in the end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from evenhand.embodied.goal_items import GOALS, goals_in
from evenhand.embodied.plan_items import NAMES, SCENE, goals_of
from evenhand.embodied.plans import Goals, Outcome, program
from evenhand.embodied.scenes import Graphs, scene_of
from evenhand.embodied.subgoal_plans import Aim, judge_subgoals
from evenhand.embodied.subgoals import read_subgoals, right_lines
from evenhand.embodied.worlds import VIRTUALHOME, WORLD, cluster, family
from evenhand.types import Item

# In lines like ``| soap.1002 | placable_objects | [...] |``.
_LISTED = re.compile(r"^\| \w+\.(\d+) \|", re.MULTILINE)
_USED = re.compile(r"> \((\d+)\)")
# An item with a scene for subgoals has the lines of a right answer under this key.
LINES = "lines"


def subgoal_item(row: Mapping[str, Any], system: str, prompt: str, graphs: Graphs) -> Item:
    """An item of a VirtualHome task.

    Args:
        row: of ``virtualhome_tasks.jsonl.gz``.
        system: the vocabulary, the rules and the examples, which all prompts begin with.
        prompt: the task.
        graphs: the scenes at their start.
    """
    goals = goals_of(row)
    named = [*_LISTED.findall(prompt), *_USED.findall(" ".join(row["gold_program"]))]
    scene = graphs.around(row["id"], {*map(int, named), *_wanted(goals)})
    start = scene_of(scene)
    there = {f"{thing.name}.{number}": number for number, thing in start.things.items()}
    known = {*map(int, named), start.character}
    lines = right_lines(program(row["gold_program"]), start, goals.relations)
    stored = {
        WORLD: VIRTUALHOME,
        SCENE: scene,
        GOALS: {"states": goals.states, "relations": goals.relations, "actions": goals.actions},
        NAMES: {label: number for label, number in there.items() if number in known},
        LINES: lines,
    }
    return Item(
        id=row["id"],
        prompt=f"{system.rstrip()}\n\n{prompt}",
        group=family(VIRTUALHOME, row["task"]),
        question=f"{row['name']}: {row['description']}",
        target="; ".join(lines),
        # Through JSON, so that a stored item is the same as a fresh one.
        extra=json.loads(json.dumps(stored)),
        cluster=cluster(VIRTUALHOME, row["task"]),
    )


def _wanted(goals: Goals) -> set[int]:
    """The ids of the objects that goals are about."""
    return {thing for thing, _ in goals.states} | {end for edge in goals.relations for end in (edge[0], edge[2])}


def outcome_of(item: Item, text: str) -> Outcome:
    """How an answer's subgoals go in an item's scene."""
    aim = Aim(Goals(*goals_in(item)))
    return judge_subgoals(read_subgoals(text), scene_of(item.extra[SCENE]), item.extra[NAMES], aim)


def right_answer(item: Item) -> str:
    """The reference program as an answer."""
    return json.dumps({"necessity_to_use_action": "yes", "actions_to_include": [], "output": item.extra[LINES]})
