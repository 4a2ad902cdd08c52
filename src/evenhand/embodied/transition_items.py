"""Transition modeling as items: the prompts, and what answers are held against."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.embodied.pddl import Operator, Problem, operator_of, problem_of
from evenhand.embodied.worlds import VIRTUALHOME, WORLD, cluster, family
from evenhand.types import Item

_PARTS = ("action_parameters", "action_preconditions", "action_effects")


@dataclass(frozen=True)
class Domain:
    """What all tasks of a world share.

    Attributes:
        world: its name.
        operators: name -> the texts of its parameters, precondition and effect.
        categories: predicate -> category.
        types: the beginning of its definition: types and predicates, without an end.
    """

    world: str
    operators: Mapping[str, Sequence[str]]
    categories: Mapping[str, str]
    types: str


def domain_of(world: str, table: Mapping[str, Any], types: str) -> Domain:
    """A domain from the files ``WORLD_gold.json`` and ``WORLD_pd.pddl``."""
    operators = {name: [parts[part] for part in _PARTS] for name, parts in table["gold_action"].items()}
    return Domain(world, operators, dict(table["predicate_category"]), types)


def transition_item(row: Mapping[str, Any], domain: Domain, prompt_of: Callable[[str], str]) -> Item | None:
    """An item of a task; None for those that the authors left out.

    Args:
        row: of ``WORLD_items.jsonl.gz``.
        domain: of its world.
        prompt_of: id -> prompt.
    """
    if not row["in_benchmark"]:
        return None
    problem_of(row["problem"])  # refused here, rather than by a judge
    asked = list(row["operators"])
    task = row["task"] if domain.world == VIRTUALHOME else row["task"].partition("_0_")[0]
    return Item(
        id=row["id"],
        prompt=prompt_of(row["id"]),
        group=family(domain.world, task),
        question=f"{task}: define {', '.join(asked)}",
        target="\n".join(_definition(name, domain.operators[name]) for name in asked),
        extra={
            WORLD: domain.world,
            "problem": row["problem"],
            "asked": asked,
            "plan": row["plan_under_gold_operators"],
            "operators": dict(domain.operators),
            "categories": dict(domain.categories),
            "types": domain.types,
        },
        cluster=cluster(domain.world, task),
    )


def behavior_prompt(row: Mapping[str, Any], domain: Domain, template: str) -> str:
    """The prompt of a BEHAVIOR task: that of VirtualHome, around this world's types and predicates.

    Args:
        row: of ``behavior_items.jsonl.gz``.
        domain: of BEHAVIOR.
        template: of VirtualHome, with the domain that it begins with.

    Raises:
        ValueError: the template has no domain.
    """
    before, rest = template[: template.index("(define")], template[template.index("Objective:") :]
    handlers = "".join(f"{_definition(name, [domain.operators[name][0], '()', '()'])}\n" for name in row["operators"])
    filled = rest.replace("<problem_file>", row["problem"] + "\n").replace("<action_handlers>", handlers)
    return f"{before}{domain.types.rstrip()}\n    ;; Actions to be predicted\n)\n\n{filled}"


def _definition(name: str, parts: Sequence[str]) -> str:
    parameters, precondition, effect = parts
    return f"(:action {name}\n  :parameters {parameters}\n  :precondition {precondition}\n  :effect {effect}\n)"


@dataclass(frozen=True)
class Task:
    """What an item's answers are held against.

    Attributes:
        asked: names of the operators that it asks for.
        gold: name -> definition, of all operators of its domain.
        problem: where it starts and what it wants.
        plan: one that is right under the gold operators; None where none was found.
        categories: predicate -> category.
    """

    asked: tuple[str, ...]
    gold: Mapping[str, Operator]
    problem: Problem
    plan: tuple[str, ...] | None
    categories: Mapping[str, str]


def task_of(item: Item) -> Task:
    """The task behind an item."""
    extra = item.extra
    gold = {name: _operator(name, *parts) for name, parts in extra["operators"].items()}
    plan = None if extra["plan"] is None else tuple(extra["plan"])
    return Task(tuple(extra["asked"]), gold, _problem(extra["problem"]), plan, extra["categories"])


_operator = functools.cache(operator_of)
_problem = functools.lru_cache(512)(problem_of)


def right_model(item: Item) -> str:
    """An answer that defines an item's operators as the domain does."""
    return json.dumps({"output": item.target})
