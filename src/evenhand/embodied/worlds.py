"""The two worlds that tasks are of, and how their tasks are grouped."""

from __future__ import annotations

VIRTUALHOME, BEHAVIOR = "virtualhome", "behavior"
# Under this key an item says which world it is of.
WORLD = "world"


def family(world: str, task: str) -> str:
    """The group of a task: its name in VirtualHome, which has 26; the first word in BEHAVIOR, where all differ."""
    return task if world == VIRTUALHOME else f"BEHAVIOR {task.split('_', 1)[0]}"


def cluster(world: str, task: str) -> str:
    """What a task shares with others: the name in VirtualHome; "" in BEHAVIOR."""
    return f"{world}: {task}" if world == VIRTUALHOME else ""
