"""A user's knowledge graph as a drawing: the user on the left, an edge for each triple, what was taken back dashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evenhand.personalizers.knowledge.graph import Triple, read_graph

WIDTH = 900
USER = (60, 34)
OBJECTS = 330
_ROW = 26
# The user's circle fits in.
_LEAST = 2 * USER[1] + 8
_LONGEST = 84


@dataclass(frozen=True)
class Edge:
    """One triple as it is drawn.

    Attributes:
        relation, object, text: of the triple; the object whole and cut to the width.
        y: the height of its line, in the drawing's units.
        kind: "record", "said" in a session, or "gone".
    """

    relation: str
    object: str
    text: str
    y: int
    kind: str


@dataclass(frozen=True)
class Drawing:
    """The edges, from top to bottom, and the drawing's height."""

    edges: tuple[Edge, ...]
    height: int


def drawing(content: Mapping[str, Any]) -> Drawing | None:
    """The drawing of a memory; None where it is no graph, or an empty one."""
    if "journal" not in content or "seeds" not in content:
        return None
    graph = read_graph(content)
    now = graph.triples
    ever = dict.fromkeys([*graph.seeds, *(edit.triple for edit in graph.journal)])
    edges = [_edge(triple, n, gone=triple not in now) for n, triple in enumerate(ever)]
    return Drawing(tuple(edges), max(_ROW * (len(edges) + 1), _LEAST)) if edges else None


def _edge(triple: Triple, number: int, *, gone: bool) -> Edge:
    cut = triple.object if len(triple.object) <= _LONGEST else f"{triple.object[: _LONGEST - 1]}…"
    kind = "gone" if gone else "said" if triple.said else "record"
    return Edge(triple.relation, triple.object, cut, _ROW * (number + 1), kind)
