"""How far one formula is another: their literals, matched as well as the shape of both allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from evenhand.embodied.counts import Counts
from evenhand.embodied.matching import best_matching
from evenhand.embodied.pddl import AND, EXISTS, FORALL, NOT, OR, WHEN, Formula

_CONNECTIVES = (AND, OR, NOT, WHEN, EXISTS, FORALL)
# The category of predicates that the domain does not have.
UNKNOWN = "unknown"


def compared(said: Formula, wanted: Formula, categories: Mapping[str, str]) -> dict[str, Counts]:
    """Literals that two formulas share, per category of their predicates.

    The parts of *and* and *or* are matched one to one, so that most literals agree; their order does not count, nor
    whether one part stands alone or in an *and*. What stands under *not*, *when* and quantifiers agrees only under the
    same, and quantified variables may have other names.

    Args:
        said: the formula of the answer.
        wanted: the right one.
        categories: predicate -> category.
    """
    right, there, due = Counter(_shared(said, wanted, {})), Counter(predicates(said)), Counter(predicates(wanted))
    counts: dict[str, Counts] = {}
    for predicate in there.keys() | due.keys():
        category = categories.get(predicate, UNKNOWN)
        hit = right[predicate]
        counts[category] = counts.get(category, Counts()) + Counts(hit, there[predicate] - hit, due[predicate] - hit)
    return counts


def predicates(formula: Formula) -> list[str]:
    """The predicates of a formula's literals, each as often as it stands there."""
    word, *rest = formula
    if word not in _CONNECTIVES:
        return [word]
    return [found for part in rest if _is_formula(part) for found in predicates(part)]


def _is_formula(part: Formula) -> bool:
    """A part that is none lists variables with their types."""
    return bool(part) and isinstance(part[0], str)


def _shared(said: Formula, wanted: Formula, names: Mapping[str, str]) -> list[str]:
    """The predicates of the literals that agree; ``names`` are those of quantified variables, said -> wanted."""
    words = (said[0], wanted[0])
    for connective in (OR, AND):
        if connective in words:
            parts = [formula[1:] if formula[0] == connective else (formula,) for formula in (said, wanted)]
            return _shared_parts(parts[0], parts[1], names)
    if words == (NOT, NOT):
        return _shared(said[1], wanted[1], names)
    if words == (WHEN, WHEN):
        return _shared(said[1], wanted[1], names) + _shared(said[2], wanted[2], names)
    if words[0] == words[1] and words[0] in (EXISTS, FORALL):
        if [kind for _, kind in said[1]] != [kind for _, kind in wanted[1]]:
            return []
        renamed = {one: other for (one, _), (other, _) in zip(said[1], wanted[1], strict=True)}
        return _shared(said[2], wanted[2], {**names, **renamed})
    if any(word in _CONNECTIVES for word in words):
        return []
    return [wanted[0]] if tuple(names.get(word, word) for word in said) == wanted else []


def _shared_parts(said: Formula, wanted: Formula, names: Mapping[str, str]) -> list[str]:
    pairs = {
        (row, column): found
        for row, one in enumerate(said)
        for column, other in enumerate(wanted)
        if (found := _shared(one, other, names))
    }
    best = best_matching({pair: float(len(found)) for pair, found in pairs.items()}, len(said), len(wanted))
    return [predicate for pair in best for predicate in pairs[pair]]
