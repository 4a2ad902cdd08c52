"""Action sequencing as items: the authors' prompt, the scene, and what should hold in the end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from evenhand.embodied.goal_items import GOALS, fill, goals_in, names_of
from evenhand.embodied.plans import Goals, Outcome, judge_plan, program
from evenhand.embodied.scenes import Graphs, scene_of
from evenhand.embodied.worlds import VIRTUALHOME, WORLD, cluster, family
from evenhand.types import Item

# Under these keys an item has what its answers are held against.
SCENE, NAMES, PROGRAM = "scene", "names", "program"


def plan_item(row: Mapping[str, Any], template: str, graphs: Graphs) -> Item:
    """An item of a VirtualHome task.

    Args:
        row: of ``virtualhome_tasks.jsonl.gz``.
        template: of the prompt.
        graphs: the scenes at their start.
    """
    fields = {
        "object_in_scene": "as_objects", "cur_change": "as_state", "node_goals": "as_node_goals",
        "edge_goals": "as_edge_goals", "action_goals": "as_action_goals",
    }  # fmt: skip
    goals = goals_of(row)
    # Some reference programs use objects that the prompt does not list.
    used = [found.groups() for line in row["gold_program"] for found in re.finditer(r"<(\w+)> \((\d+)\)", line)]
    names = row["as_names"] | {f"{name}_{number}": int(number) for name, number in used}
    stored = {
        WORLD: VIRTUALHOME,
        SCENE: graphs.around(row["id"], names.values()),
        GOALS: {"states": goals.states, "relations": goals.relations, "actions": goals.actions},
        NAMES: names,
        PROGRAM: row["gold_program"],
    }
    return Item(
        id=row["id"],
        prompt=fill(template, {name: row[field] for name, field in fields.items()}),
        group=family(VIRTUALHOME, row["task"]),
        question=f"{row['name']}: {row['description']}",
        target=" ".join(row["gold_program"]),
        # Through JSON, so that a stored item is the same as a fresh one.
        extra=json.loads(json.dumps(stored)),
        cluster=cluster(VIRTUALHOME, row["task"]),
    )


def goals_of(row: Mapping[str, Any]) -> Goals:
    """The goals of a VirtualHome task, by the ids of objects."""
    return Goals(
        tuple(dict.fromkeys((goal["id"], goal["state"]) for goal in row["gold_nodes"])),
        tuple(dict.fromkeys((g["from_id"], g["relation_type"], g["to_id"]) for g in row["gold_edges"])),
        tuple(tuple(action.upper().replace(" ", "").split("|")) for action in dict.fromkeys(row["gold_actions"])),
    )


def outcome_of(item: Item, text: str) -> Outcome:
    """How an answer's plan goes in an item's scene."""
    return judge_plan(text, scene_of(item.extra[SCENE]), item.extra[NAMES], Goals(*goals_in(item)))


def right_answer(item: Item) -> str:
    """The reference program as an answer."""
    names = names_of(item.extra[NAMES])
    steps = []
    for action, objects in program(item.extra[PROGRAM]):
        parts = [part for number in objects for part in (names[number], str(number))]
        steps.append(f"{json.dumps(action)}: {json.dumps(parts)}")
    return "{" + ", ".join(steps) + "}"
