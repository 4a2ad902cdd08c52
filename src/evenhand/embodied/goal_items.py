"""Goal interpretation as items: the authors' prompts, and what answers are held against."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.embodied.goals import (
    Goal,
    Outcome,
    Stated,
    Wanted,
    behavior_goal,
    read_behavior,
    read_virtualhome,
    score_behavior,
    score_virtualhome,
)
from evenhand.embodied.worlds import BEHAVIOR, VIRTUALHOME, WORLD, cluster, family
from evenhand.types import Item

# Under these keys an item says what its goals are.
GOALS, _CLAUSES = "goals", "clauses"


def virtualhome_item(row: Mapping[str, Any], template: str, tables: Mapping[str, Mapping[str, Any]]) -> Item:
    """An item of a VirtualHome task.

    Args:
        row: of ``virtualhome_tasks.jsonl.gz``.
        template: of the prompt.
        tables: placeholder -> what it stands for: "relation_types", "rel_obj_pairs" and "action_space".
    """
    pairs = {relation: _as_set(names) for relation, names in tables["rel_obj_pairs"].items()}
    filled = {
        "object_in_scene": row["objects_with_states"],
        "relation_types": str(tables["relation_types"]),
        "rel_obj_pairs": "{" + ", ".join(f"{relation!r}: {names}" for relation, names in pairs.items()) + "}",
        "action_space": str(tables["action_space"]),
        "goal_str": row["goal_text"],
    }
    wanted = wanted_of(row)
    goals = {
        "states": wanted.states, "relations": wanted.relations,
        "actions": wanted.actions, "objects": list(wanted.objects),
    }  # fmt: skip
    return Item(
        id=row["id"],
        prompt=fill(template, filled),
        group=family(VIRTUALHOME, row["task"]),
        question=f"{row['name']}: {row['description']}",
        target=_shown([*wanted.states, *wanted.relations, *(("|".join(names),) for names in wanted.actions)]),
        # Through JSON, so that a stored item is the same as a fresh one.
        extra={WORLD: VIRTUALHOME, GOALS: json.loads(json.dumps(goals))},
        cluster=cluster(VIRTUALHOME, row["task"]),
    )


def behavior_item(row: Mapping[str, Any], template: str) -> Item:
    """An item of a BEHAVIOR task, from a row of ``behavior/goal_interpretation.jsonl.gz``."""
    said = {"Task Name": row["task"], "Goal Instructions": row["instructions"]}
    filled = {
        "object_in_scene": "\n".join(f"{name}: {states}" for name, states in row["objects"].items()),
        "all_initial_states": "\n".join(map(str, row["initial"])),
        "instructions_str": json.dumps(said, indent=4),
    }
    first = [behavior_goal(goal) or () for clause in row["goal_clauses"] for goal in clause[0]]
    return Item(
        id=row["id"],
        prompt=fill(template, filled),
        group=family(BEHAVIOR, row["task"]),
        question=f"{row['task']}: {row['instructions']}",
        target=_shown(first),
        extra={WORLD: BEHAVIOR, _CLAUSES: row["goal_clauses"]},
    )


def wanted_of(row: Mapping[str, Any], *, by_id: bool = False) -> Wanted:
    """The goals of a VirtualHome task.

    Args:
        row: of ``virtualhome_tasks.jsonl.gz``.
        by_id: tell objects of one name apart, as the authors do: answers reach one of them.
    """
    names = names_of(row["as_names"])
    objects = {name: str(number) for name, number in row["name_to_id"].items()} if by_id else {}
    key = str if by_id else names.__getitem__
    return Wanted(
        tuple(dict.fromkeys((key(goal["id"]), goal["state"]) for goal in row["gold_nodes"])),
        tuple(dict.fromkeys((key(g["from_id"]), g["relation_type"], key(g["to_id"])) for g in row["gold_edges"])),
        tuple(tuple(action.upper().split("|")) for action in dict.fromkeys(row["gold_actions"])),
        objects or {name: name for name in names.values()},
    )


def outcome_of(item: Item, text: str) -> Outcome | None:
    """How an answer meets an item's goals; None where it states none in the format that was asked for."""
    said = (read_behavior if item.extra[WORLD] == BEHAVIOR else read_virtualhome)(text)
    return None if said is None else _scored(item, said)


def nothing_said(item: Item) -> Outcome:
    """How an answer that states no goals meets an item's: it misses all."""
    return _scored(item, None)


def _scored(item: Item, said: Stated | None) -> Outcome:
    if item.extra[WORLD] != BEHAVIOR:
        return score_virtualhome(said, _wanted_in(item))
    clauses = [[[behavior_goal(g) or () for g in way] for way in clause] for clause in item.extra[_CLAUSES]]
    return score_behavior(said, clauses)


def _wanted_in(item: Item) -> Wanted:
    return Wanted(*goals_in(item), {name: name for name in item.extra[GOALS]["objects"]})


def goals_in(item: Item) -> tuple[Any, Any, Any]:
    """The states, relations and actions an item wants, in tuples as before they were stored."""
    states, relations, actions = (
        tuple(map(tuple, item.extra[GOALS][name])) for name in ("states", "relations", "actions")
    )
    return states, relations, actions


def names_of(labels: Mapping[str, int]) -> dict[int, str]:
    """Id -> name, from ids under labels like "lamp_5"."""
    return {number: label.rsplit("_", 1)[0] for label, number in labels.items()}


def right_answer(item: Item) -> str:
    """An answer that states an item's goals and nothing else."""
    if item.extra[WORLD] == BEHAVIOR:
        goals = [goal for clause in item.extra[_CLAUSES] for goal in clause[0]]
        nodes = [g for g in goals if len(g[1] if g[0] == "not" else g) == 2]
        return json.dumps({"node goals": nodes, "edge goals": [g for g in goals if g not in nodes]})
    wanted = _wanted_in(item)
    answer = {
        "node goals": [dict(zip(("name", "state"), goal, strict=True)) for goal in wanted.states],
        "edge goals": [dict(zip(("from_name", "relation", "to_name"), g, strict=True)) for g in wanted.relations],
        "action goals": [{"action": names[0], "description": ""} for names in wanted.actions],
    }
    return json.dumps(answer)


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template with texts for its ``<names>``; names that stand in the texts are left as they are."""
    return re.sub(r"<(\w+)>", lambda name: values.get(name[1], name[0]), template)


def _as_set(names: Sequence[str]) -> str:
    """As Python shows a set, sorted: the authors' own order changes from run to run."""
    return "{" + ", ".join(map(repr, sorted(names))) + "}"


def _shown(goals: Sequence[Goal]) -> str:
    return "; ".join(" ".join(goal) for goal in goals)
