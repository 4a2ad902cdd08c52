"""Transition models counted as the authors' script counts them, for figures to lay beside the published ones.

Not a good measure, and not used for scores: it asks which predicates agree somewhere, not how many literals do; parts
are compared by place before they are matched; a matched part whose place is free on the other side is extra besides;
and what cannot be read, operators that are missing, and unknown predicates count nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evenhand.embodied.counts import Counts
from evenhand.embodied.logic import predicates
from evenhand.embodied.pddl import AND, EXISTS, FORALL, NOT, OR, TRUE, WHEN, Formula, Operator
from evenhand.embodied.transitions import PARTS, Model

_LISTS, _QUANTIFIERS = (AND, OR), (EXISTS, FORALL)


class _Match(NamedTuple):
    """Formulas that agree, those of the answer that do not, and those of the domain that do not."""

    share: float
    right: list[Formula]
    extra: list[Formula]
    missing: list[Formula]


def published_counts(
    model: Model | None, asked: Sequence[str], gold: Mapping[str, Operator], categories: Mapping[str, str]
) -> dict[str, Counts]:
    """Category -> counts of predicates, over all operators that were asked for and defined.

    Args:
        model: the answer; None where it defines nothing.
        asked: names of the operators that the task asks for.
        gold: name -> definition.
        categories: predicate -> category.
    """
    counts: dict[str, Counts] = {}
    for name, operator in (model.operators if model else {}).items():
        for part in PARTS if name in asked else ():
            if model and part in model.unreadable.get(name, ()):
                continue
            found = _match(*_laid_together(getattr(operator, part), getattr(gold[name], part)))
            sides = ({p for formula in side for p in predicates(formula)} for side in found[1:])
            for side, (names, one) in enumerate(zip(sides, (Counts(1), Counts(0, 1), Counts(0, 0, 1)), strict=True)):
                for predicate in names if side != 1 else names & categories.keys():
                    category = categories[predicate]
                    counts[category] = counts.get(category, Counts()) + one
    return counts


def _laid_together(said: Formula, wanted: Formula) -> tuple[Formula, Formula]:
    """Both with their parts place by place: the shorter list is filled up, quantified variables get the same names."""
    if TRUE in (said, wanted):
        return said, wanted
    if said[0] == wanted[0] and said[0] in _QUANTIFIERS:
        names = {new: old for (old, _), (new, _) in zip(said[1], wanted[1], strict=False)}
        return said, _under_names(wanted, names)
    if said[0] not in _LISTS or wanted[0] not in _LISTS:
        return said, wanted
    places = range(1, max(len(said), len(wanted)))
    pairs = [
        _laid_together(*(side[place] if place < len(side) else TRUE for side in (said, wanted))) for place in places
    ]
    return (said[0], *(one for one, _ in pairs)), (wanted[0], *(other for _, other in pairs))


def _under_names(formula: Formula, names: Mapping[str, str]) -> Formula:
    return tuple(names.get(p, p) if isinstance(p, str) else _under_names(p, names) for p in formula)


def _match(said: Formula, wanted: Formula) -> _Match:
    apart = _Match(0, [], [said], [wanted])
    if (said == TRUE) != (wanted == TRUE) or _kind(said) != _kind(wanted):
        return apart
    word = _kind(said)
    if word in _LISTS:
        return _match_lists(said[1:], wanted[1:])
    if word == NOT:
        agrees = _match(said[1], wanted[1]).share
    elif word == WHEN:
        agrees = float(all(_match(one, other).share == 1 for one, other in zip(said[1:], wanted[1:], strict=True)))
    elif word in _QUANTIFIERS:
        agrees = _match(said[2], wanted[2]).share if said[1] == wanted[1] else 0
    else:
        agrees = float(said == wanted)
    return _Match(agrees, [said], [], []) if agrees > 0 else apart


def _kind(formula: Formula) -> str:
    """What a formula is; an empty one and all atoms are alike."""
    known = formula != TRUE and formula[0] in (*_LISTS, NOT, WHEN, *_QUANTIFIERS)
    return str(formula[0]) if known else "atom"


def _match_lists(said: Sequence[Formula], wanted: Sequence[Formula]) -> _Match:
    if not said or not wanted:
        return _Match(0, [], [*said], [*wanted])
    # Imported here: whoever lists suites needs no numeric library. Which of several largest matchings is found decides
    # what is counted as extra, so it must be this function.
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    found = [[_match(one, other) for other in wanted] for one in said]
    agrees = np.array([[int(match.share) for match in row] for row in found])
    right = [formula for row in found for match in row if int(match.share) for formula in match.right]
    partner = maximum_bipartite_matching(csr_matrix(agrees), perm_type="column")
    total = sum(agrees[row, column] for row, column in enumerate(partner) if column != -1)
    extra = [said[row] for row, column in enumerate(partner) if column == -1 or row not in partner]
    missing = [formula for column, formula in enumerate(wanted) if column not in partner]
    return _Match(total / min(len(said), len(wanted)), right, extra, missing)
