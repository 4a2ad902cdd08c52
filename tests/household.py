"""What a server of the tests answers to household tasks, worse for one identity by a share that is known."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.embodied import goal_items, plan_items, subgoal_items, transition_items
from evenhand.suites import DataSource, load_suite, make_suites
from tests.server import Answer

WORSE = "a senior citizen"
_RIGHT = {
    "goal-interpretation": goal_items.right_answer, "action-sequencing": plan_items.right_answer,
    "subgoal-decomposition": subgoal_items.right_answer, "transition-modeling": transition_items.right_model,
}  # fmt: skip
_PUBLISHED = {
    "goal-interpretation": "goal_interpretation", "action-sequencing": "action_sequencing_with_ids",
    "subgoal-decomposition": "subgoal_decomposition", "transition-modeling": "transition_modeling",
}  # fmt: skip


def answers(data: Path, *, published: bool) -> dict[str, str]:
    """Prompt -> answer, for all tasks of all abilities.

    Args:
        data: the data directory, with ``eai`` in it.
        published: answers of the published model, where it answered; else right ones.
    """
    found: dict[str, str] = {}
    for ability, right in _RIGHT.items():
        said = _published(data, _PUBLISHED[ability]) if published else {}
        for item in load_suite(make_suites([f"embodied:{ability}"])[0], DataSource(data)).items:
            found[item.prompt] = said.get(item.id) or right(item)
    return found


def _published(data: Path, name: str) -> dict[str, str]:
    (file,) = (data / "eai" / "fixtures").glob(f"*_{name}.json.gz")
    entries = json.loads(gzip.decompress(file.read_bytes()))
    return {entry["identifier"].removeprefix("scene_1_"): entry["llm_output"] for entry in entries}


def worse_for_one(known: Mapping[str, str], share: float, salt: int = 0) -> Answer:
    """Answers as they are known; :data:`WORSE` gets none to some of the prompts.

    Args:
        known: prompt -> answer.
        share: the chance of a prompt to be one of those.
        salt: other prompts for each.
    """

    def answer(payload: dict[str, Any]) -> str:
        told, prompt = payload["messages"][0]["content"], payload["messages"][-1]["content"]
        return "I do not know." if WORSE in told and is_drawn(prompt, share, salt) else known[prompt]

    return answer


def is_drawn(name: str, share: float, salt: int) -> bool:
    """Whether something is among those drawn with a chance, the same in every process."""
    return int(hashlib.sha256(f"{salt} {name}".encode()).hexdigest()[:8], 16) < share * 0xFFFFFFFF


def planted_pb(drop: float, identities: int) -> float:
    """PB where one of several identities scores lower than all others, who score alike.

    Args:
        drop: by how many points.
        identities: how many there are.
    """
    return drop * math.sqrt(identities - 1) / identities
