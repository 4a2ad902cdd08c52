"""Embodied Agent Interface (arXiv 2410.07166): what a household robot's model understands, plans and knows.

One suite, whose abilities are chosen by name: ``embodied:goal-interpretation``. Each has its own judge, and items in
one or both of two worlds: ``embodied:goal-interpretation:behavior``.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from evenhand.embodied.goal_items import behavior_item, virtualhome_item
from evenhand.embodied.plan_items import plan_item
from evenhand.embodied.scenes import Graphs
from evenhand.embodied.subgoal_items import subgoal_item
from evenhand.embodied.transition_items import Domain, behavior_prompt, domain_of, transition_item
from evenhand.embodied.worlds import BEHAVIOR, VIRTUALHOME
from evenhand.errors import DataError, SpecError, did_you_mean, one_line
from evenhand.suites.base import SUITES, Suite
from evenhand.suites.sources import DataSource, Row, json_object, read_text
from evenhand.types import Axis, Item

T = TypeVar("T")

_FOLDER, _TRANSITIONS = "eai", "transition_modeling"
_TASKS, _TASK_TEXTS = "virtualhome_tasks.jsonl.gz", ("task", "name", "description")
# The data's largest file unpacks to 3 MB.
_LARGEST = 200_000_000


@dataclass(frozen=True)
class Ability:
    """What can be asked of the model.

    Attributes:
        judge: name of the default judge.
        answer_tokens: room for the longest answers.
        worlds: world -> how its items are loaded.
        parts: name of a part of a world -> how its items are loaded; without a name all of the worlds are.
    """

    judge: str
    answer_tokens: int
    worlds: Mapping[str, Callable[[Folder], list[Item]]]
    parts: Mapping[str, Callable[[Folder], list[Item]]] = field(default_factory=dict)


class Folder:
    """The data's files, read one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def items(self, file: str, make: Callable[[Row], Item | None], *texts: str) -> list[Item]:
        """What is made of the rows of a file ``*.jsonl.gz``; rows of which nothing is made are left out.

        Args:
            file: its name.
            make: an item of a row.
            texts: fields that rows have besides their id, as texts.

        Raises:
            DataError: the file is missing, or a row is not what it should be.
        """
        made = [self.made(file, number, row, make) for number, row in enumerate(self.rows(file, "id", *texts), 1)]
        return [item for item in made if item is not None]

    def made(self, file: str, number: int, row: Row, make: Callable[[Row], T]) -> T:
        """What is made of one row.

        Raises:
            DataError: it cannot be made; the message says of which row.
        """
        try:
            return make(row)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            why = f"{type(error).__name__}: {one_line(str(error))}"
            raise DataError(f"{self._path / file}, line {number}: not as it should be ({why}).") from None

    def rows(self, file: str, *texts: str) -> list[Row]:
        """The rows of a file ``*.jsonl.gz``, which have certain texts."""
        path = self._path / file
        lines = ((number, line) for number, line in enumerate(_text(path).split("\n"), 1) if line.strip())
        return [json_object(line, dict.fromkeys(texts, str), f"{path}, line {number}") for number, line in lines]

    def table(self, file: str) -> dict[str, Any]:
        """The object of a JSON file, packed or not."""
        return json_object(_text(self._path / file), {}, str(self._path / file))

    def text(self, file: str) -> str:
        """A text file as it is."""
        return _text(self._path / file)


def _text(path: Path) -> str:
    """The text of a file, unpacked where its name ends in ``.gz``.

    Raises:
        DataError: it cannot be read, or unpacks to more than any file of the data has.
    """
    if path.suffix != ".gz":
        return read_text(path)
    try:
        with gzip.open(path) as packed:
            raw = packed.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise DataError(f"{path} unpacks to more than {_LARGEST // 1_000_000} MB.", "Get the original file.")
        return raw.decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be unpacked: {error}.", "Get the original file.") from None


def _virtualhome_goals(folder: Folder) -> list[Item]:
    template = folder.text("templates/virtualhome_goal_interpretation.txt")
    files = {"rel_obj_pairs": "relation_object_pairs", "relation_types": "relation_types"}
    tables = {name: folder.table(f"{files.get(name, name)}.json") for name in (*files, "action_space")}
    return folder.items(_TASKS, lambda row: virtualhome_item(row, template, tables), *_TASK_TEXTS)


def _behavior_goals(folder: Folder) -> list[Item]:
    template = folder.text("templates/behavior_goal_interpretation.txt")
    return folder.items("behavior/goal_interpretation.jsonl.gz", lambda row: behavior_item(row, template), "task")


def _virtualhome_operators(folder: Folder) -> list[Item]:
    domain = _domain(folder, VIRTUALHOME)
    asked = folder.rows(f"{_TRANSITIONS}/virtualhome_prompts.jsonl.gz", "identifier", "llm_prompt")
    prompts = {row["identifier"]: row["llm_prompt"] for row in asked}
    return folder.items(
        f"{_TRANSITIONS}/virtualhome_items.jsonl.gz",
        lambda row: transition_item(row, domain, prompts.__getitem__),
        "task",
    )


def _behavior_operators(folder: Folder) -> list[Item]:
    domain = _domain(folder, BEHAVIOR)
    template = folder.text("templates/virtualhome_transition_modeling.txt")

    def make(row: Row) -> Item | None:
        return transition_item(row, domain, lambda _: behavior_prompt(row, domain, template))

    return folder.items(f"{_TRANSITIONS}/behavior_items.jsonl.gz", make, "task")


def _plans(folder: Folder, *, official: bool = False) -> list[Item]:
    template = folder.text("templates/virtualhome_action_sequencing.txt")
    graphs = _graphs(folder)

    def make(row: Row) -> Item | None:
        left_out = official and not row["in_official"]["action_sequencing"]
        return None if left_out else plan_item(row, template, graphs)

    return folder.items(_TASKS, make, *_TASK_TEXTS)


def _subgoals(folder: Folder) -> list[Item]:
    system = folder.text("templates/virtualhome_subgoal_system.txt")
    asked = folder.rows("virtualhome_subgoals/prompts.jsonl.gz", "identifier", "llm_prompt")
    prompts = {row["identifier"].removeprefix("scene_1_"): row["llm_prompt"] for row in asked}
    graphs = _graphs(folder)

    def make(row: Row) -> Item | None:
        # Tasks without goals are not asked.
        asked = row["in_official"]["subgoal_decomposition"]
        return subgoal_item(row, system, prompts[row["id"]], graphs) if asked else None

    return folder.items(_TASKS, make, *_TASK_TEXTS)


def _graphs(folder: Folder) -> Graphs:
    file = "virtualhome_init_graphs.json.gz"
    return folder.made(file, 1, folder.table(file), Graphs)


def _domain(folder: Folder, world: str) -> Domain:
    file = f"{_TRANSITIONS}/{world}_gold.json"
    types = folder.text(f"{_TRANSITIONS}/{world}_pd.pddl")
    return folder.made(file, 1, folder.table(file), lambda table: domain_of(world, table, types))


ABILITIES: dict[str, Ability] = {
    "goal-interpretation": Ability("embodied-goals", 600, {VIRTUALHOME: _virtualhome_goals, BEHAVIOR: _behavior_goals}),
    "action-sequencing": Ability(
        "embodied-plans", 400, {VIRTUALHOME: _plans}, {"official": lambda folder: _plans(folder, official=True)}
    ),
    "subgoal-decomposition": Ability("embodied-subgoals", 600, {VIRTUALHOME: _subgoals}),
    "transition-modeling": Ability(
        "embodied-operators", 1600, {VIRTUALHOME: _virtualhome_operators, BEHAVIOR: _behavior_operators}
    ),
}


@SUITES.register("embodied")
class EmbodiedSuite(Suite):
    """An ability, in all its worlds or in one (``embodied:ABILITY:WORLD``).

    Raises:
        SpecError: no ability was named, or one that there is not, or a world that it does not have.
    """

    name = "embodied"
    axis: Axis = "utility"
    summary = "household tasks for a robot: " + ", ".join(ABILITIES)
    judge = "by ability"
    licence = "MIT"
    source = "arXiv 2410.07166, github.com/embodied-agent-interface/embodied-agent-interface"
    argument = "ABILITY"
    arguments = tuple(ABILITIES)

    def __init__(self, variants: Sequence[str] = ()) -> None:
        name, _, world = "+".join(variants).partition(":")
        if name not in ABILITIES:
            known = f"Write embodied:ABILITY, one of {', '.join(ABILITIES)}."
            raise SpecError(f"The suite 'embodied' has no ability '{name}'.", did_you_mean(name, ABILITIES) or known)
        ability = ABILITIES[name]
        known_worlds = {**ability.worlds, **ability.parts}
        if world and world not in known_worlds:
            worlds = " or ".join(f"embodied:{name}:{known}" for known in known_worlds)
            raise SpecError(f"The suite 'embodied:{name}' has no world '{world}'.", f"Write {worlds}.")
        super().__init__()
        self.name, self.judge, self.answer_tokens = f"embodied:{name}", ability.judge, ability.answer_tokens
        self._world, self._ability = world, ability

    @property
    def id(self) -> str:
        return f"{self.name}:{self._world}" if self._world else self.name

    def load(self, source: DataSource) -> list[Item]:
        folder = Folder(source.folder(self.name, _FOLDER))
        loaders = {**self._ability.worlds, **self._ability.parts}
        chosen = [loaders[self._world]] if self._world else self._ability.worlds.values()
        return [item for load in chosen for item in load(folder)]
