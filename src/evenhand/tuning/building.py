"""What a tuning run learns from: the pairs of its recipe."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from evenhand.errors import DataError, SpecError
from evenhand.people import select_people
from evenhand.study import Store
from evenhand.tuning.matching import matched_pairs
from evenhand.tuning.pairs import Pair, Preference, preference_pairs, study_pairs
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.tiers import opinion_pairs

_STUDY_RECIPES = ("consistency", "best", "level", "metaalign", "spin")


def build_pairs(spec: TuningSpec, study: Path | Sequence[Path] | None, preferences: Sequence[Preference]) -> list[Pair]:
    """The pairs of a recipe, in random order, at most ``spec.limit``.

    Args:
        spec: the recipe.
        study: one or more, for recipes that learn from studies.
        preferences: for recipes over general preference data.

    Raises:
        SpecError: the recipe lacks its study or data, or the study holds items kept for testing.
        DataError: there are no pairs.
    """
    if spec.people and spec.recipe != "metaalign":
        raise SpecError(f"The recipe '{spec.recipe}' learns from no people's preferences.", "Use metaalign.")
    if spec.recipe in _STUDY_RECIPES:
        studies = [study] if isinstance(study, Path) else list(study or ())
        if not studies:
            raise SpecError(
                f"The recipe '{spec.recipe}' learns from a study.", "Add --study DIR (run with --split tune)."
            )
        pairs = []
        for directory in studies:
            with Store.open(directory) as store:
                pairs += rows_of(store, spec)
        # What a person likes is that person's: the reference reads the same conversation.
        own = "kl" in spec.objective
        pairs += [
            Pair(*opinion, reference=opinion[0] if own else ()) for opinion in opinion_pairs(select_people(spec.people))
        ]
    else:
        if not preferences:
            raise SpecError(f"The recipe '{spec.recipe}' needs preference data.", "Add --data FILE or --data hub.")
        pairs = list(preference_pairs(preferences, spec))
    if not pairs:
        raise DataError("There is no pair to learn from.", "Run a larger study, or use another recipe.")
    random.Random(spec.seed).shuffle(pairs)
    return pairs[: spec.limit]


def rows_of(store: Store, spec: TuningSpec) -> list[Pair]:
    """What a study gives the objective to learn."""
    if "kl" in spec.objective:
        return list(matched_pairs(store, spec.recipe, spec.policy))
    return list(study_pairs(store, spec.recipe, weighed=spec.group_step > 0))
