"""What a search is made of."""

from __future__ import annotations

from pydantic import Field

from evenhand.analysis.subgroups import Direction
from evenhand.specs import Strict


class SearchSpec(Strict):
    """How to look for the users whom a model serves worst.

    Attributes:
        calls: model calls of all together, at most.
        direction: lower scores ("worse"), higher ones, or both.
        stated: identities that a user states at once, at most.
        facts: catalogues of people whose facts are told of users, one each; none without.
        confirm: how many findings are confirmed, at most.
        smallest: difference in points that is looked for.
        seed: of everything that is drawn.
    """

    calls: int = Field(4000, ge=200)
    direction: Direction = "worse"
    stated: int = Field(3, ge=1, le=7)
    facts: tuple[str, ...] = ()
    confirm: int = Field(3, ge=1, le=5)
    smallest: float = Field(2.0, gt=0, le=100)
    seed: int = Field(0, ge=0, lt=2**31)
