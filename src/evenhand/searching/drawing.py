"""Which users ask which items, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenhand.analysis.factorial import Conjunction
from evenhand.searching.asking import NOBODY, Asked
from evenhand.searching.universe import ANYBODY, Universe


def items_for(universe: Universe, groups: Sequence[str], who: Conjunction) -> np.ndarray:
    """Places of the items that a combination is about.

    Args:
        universe: of the users.
        groups: the group of each item.
        who: with a group, or without.
    """
    wanted = dict(who.levels).get(universe.space.group)
    names = np.array(groups, dtype=object)
    return np.arange(len(names)) if wanted is None else np.flatnonzero(names == universe.groups[wanted])


def explored(
    universe: Universe, groups: Sequence[str], targets: Sequence[Conjunction], calls: int, rng: np.random.Generator,
    before: set[Asked],
) -> list[Asked]:  # fmt: skip
    """Cells for one round: users with each of the targets in equal parts, or anybody without targets.

    The items are shared as evenly as can be. What is specific to a group of items is asked for others too, on the same
    items, since nothing else would tell how hard they are.

    Args:
        universe, groups: as for :func:`items_for`.
        targets: to look at.
        calls: at most.
        rng: of the draws.
        before: cells that were asked already; they are not asked again.
    """
    taken = set(before)
    found: list[Asked] = []
    for target in targets or [ANYBODY]:
        wanted = len(found) + calls // max(len(targets), 1)
        pool = items_for(universe, groups, target)
        asking = [target, ANYBODY] if universe.space.group in target.factors else [target]
        for item in np.tile(rng.permutation(pool), 1 + calls // max(len(pool), 1)):
            cells = [Asked(universe.draw(rng, who), int(item)) for who in asking]
            fresh = [one for one in cells if one not in taken]
            found += fresh
            taken |= set(fresh)
            if len(found) >= wanted:
                break
    return found


def matched(
    universe: Universe, groups: Sequence[str], who: Conjunction, pairs: int, rng: np.random.Generator
) -> list[tuple[Asked, Asked]]:
    """Pairs of cells on the same item: a user who matches, and the same user but for that.

    Args:
        universe, groups, who: as for :func:`items_for`.
        pairs: how many.
        rng: of the draws.
    """
    pool = items_for(universe, groups, who)
    found = []
    for item in np.tile(rng.permutation(pool), 1 + pairs // max(len(pool), 1))[:pairs]:
        user = universe.draw(rng, who)
        found.append((Asked(user, int(item)), Asked(universe.other(rng, user, who), int(item))))
    return found


def ablated(universe: Universe, who: Conjunction) -> dict[str, Conjunction | None]:
    """Users of whom less is said: what each is called, and which levels are left (None: no user at all)."""
    mine = [pair for pair in who.levels if pair[0] != universe.space.group]
    left: dict[str, Conjunction | None] = {}
    for pair in mine if len(mine) > 1 else ():
        rest = Conjunction(tuple(p for p in mine if p != pair))
        left[f"without {universe.phrase(Conjunction((pair,)))}"] = rest
    left["nobody"] = None
    return left


def explaining(
    universe: Universe, groups: Sequence[str], who: Conjunction, items: int, rng: np.random.Generator
) -> dict[str, list[Asked]]:
    """Conditions that tell which part of a description does it, each on the same items.

    Args:
        universe, groups, who: as for :func:`items_for`.
        items: how many.
        rng: of the draws.

    Returns:
        What each is called -> its cells: "as found" (nothing else is said), each level left out, "another instead"
        (other levels of the same factors, drawn for each item), and "nobody".
    """
    chosen = [int(item) for item in rng.permutation(items_for(universe, groups, who))[:items]]
    alone = universe.alone(who)
    found = {"as found": [Asked(alone, item) for item in chosen]}
    for name, rest in ablated(universe, who).items():
        user = NOBODY if rest is None else universe.alone(rest)
        found[name] = [Asked(user, item) for item in chosen]
    found["another instead"] = [Asked(universe.other(rng, alone, who), item) for item in chosen]
    return found
