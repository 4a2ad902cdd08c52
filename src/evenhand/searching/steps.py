"""The steps of a search: rounds that explore, and fresh items that confirm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from evenhand.analysis.factorial import Codes, Conjunction, Factorial, Observed, fit_effects
from evenhand.analysis.subgroups import FEWEST_TO_TEST, ROUNDS, Finding, confirm, promising, worth_confirming
from evenhand.errors import SpecError
from evenhand.searching.asking import Asked
from evenhand.searching.decided import Decided
from evenhand.searching.drawing import explored, items_for, matched
from evenhand.searching.explaining import Contrast, Scored, contrasts
from evenhand.searching.spec import SearchSpec
from evenhand.searching.universe import Universe

# Shares of the calls; the rest explains.
EXPLORE, CONFIRM = 0.6, 0.3
# An item is asked by so many pairs at most when a finding is confirmed.
_PAIRS_OF_AN_ITEM = 8
# And a finding by so many pairs at least, so that its interval says something.
_FEWEST_PAIRS = 100
_FEWEST_OF_TARGET = 8
# Of standard errors: two-sided 5 % over the findings, and a power of 90 %.
_ENOUGH = 3.7


class Answers(Scored, Protocol):
    """Items, and what was answered to them."""

    directory: Path

    def observed(self, asked: Sequence[Asked], universe: Universe) -> Observed: ...


@dataclass(frozen=True)
class Seen:
    """A combination on fresh items.

    Attributes:
        finding: what they say of it.
        pairs: what was asked.
        contrast: what was answered.
    """

    finding: Finding
    pairs: list[tuple[Asked, Asked]]
    contrast: Contrast


class Steps:
    """Explores and confirms.

    Args:
        universe: who may ask.
        explore, test: items, none in both.
        spec: the settings.
        decided: what was decided before.
        ask: asks what has no answer yet: "explore" or "confirm", all that it asks, and what to call it.
    """

    def __init__(
        self, universe: Universe, explore: Answers, test: Answers, spec: SearchSpec, decided: Decided,
        ask: Callable[[str, Sequence[Asked], str], None],
    ) -> None:  # fmt: skip
        self._universe, self._explore, self._test = universe, explore, test
        self._spec, self._decided, self._ask = spec, decided, ask

    # Exploring

    def explored(self) -> Factorial:
        """Rounds over ever fewer combinations."""
        asked: list[Asked] = []
        total = int(self._spec.calls * EXPLORE)
        for number, (share, most) in enumerate(ROUNDS):
            step = f"explore {number + 1}"
            if step not in self._decided:
                calls = int(total * share)
                targets = self._targets(asked, min(most, calls // _FEWEST_OF_TARGET)) if most else []
                rng = np.random.default_rng([self._spec.seed, number])
                cells = explored(self._universe, self._explore.group_names, targets, calls, rng, set(asked))
                self._decided.keep_cells(step, cells)
            asked += self._decided.cells(step)
            self._ask("explore", asked, f"exploring, round {number + 1} of {len(ROUNDS)}")
        return fit_effects(self._observed(asked), self._universe.space)

    def _targets(self, asked: Sequence[Asked], count: int) -> list[Conjunction]:
        fit = fit_effects(self._observed(asked), self._universe.space)
        return self._askable(promising(fit, 2 * max(count, 1), self._spec.direction))[: max(count, 1)]

    def _askable(self, found: Sequence[Conjunction]) -> list[Conjunction]:
        """Those that a user can have."""
        categories = len(self._universe.identities)
        return [who for who in found if sum(f < categories for f in who.factors) <= self._spec.stated]

    def _observed(self, asked: Sequence[Asked]) -> Observed:
        observed = self._explore.observed(asked, self._universe)
        if not len(observed.scores):
            raise SpecError(
                "None of the answers could be scored, so there is nothing to search in.",
                f"Look at them: evenhand export {self._explore.directory} --to csv --out tables.",
            )
        return observed

    # Confirming

    def confirmed(self, fit: Factorial) -> list[Seen]:
        """What exploring points at, on fresh items."""
        if "chosen" not in self._decided:
            self._decided.keep_conjunctions("chosen", self._worth(fit))
        chosen = self._decided.conjunctions("chosen")
        pairs = [self._pairs(number, who, fit, len(chosen)) for number, who in enumerate(chosen)]
        if everything := [one for members in pairs for pair in members for one in pair]:
            self._ask("confirm", everything, "confirming")
        seen = [contrasts(self._test, members, self._universe) for members in pairs]
        differences = [(who, one.differences) for who, one in zip(chosen, seen, strict=True)]
        findings = confirm(differences, self._spec.direction, seed=self._spec.seed)
        return [Seen(*one) for one in zip(findings, pairs, seen, strict=True)]

    def _worth(self, fit: Factorial) -> list[Conjunction]:
        """What is confirmed: as far as a user can be it, and fresh items are there for it."""
        count = self._spec.confirm
        found = self._askable(worth_confirming(fit, 4 * count, self._spec.direction, self._spec.smallest))
        return [who for who in found if len(self._test_items(who)) >= FEWEST_TO_TEST][:count]

    def _pairs(self, number: int, who: Conjunction, fit: Factorial, chosen: int) -> list[tuple[Asked, Asked]]:
        """As many pairs as the difference that is expected needs, within the budget and the items there are."""
        step = f"confirm {number + 1}"
        if step not in self._decided:
            allowed = int(self._spec.calls * CONFIRM) // (2 * chosen)
            expected = max(abs(fit.difference(who)[0]), self._spec.smallest)
            needed = math.ceil((_ENOUGH * math.sqrt(2) * fit.noise / expected) ** 2)
            count = min(allowed, max(needed, _FEWEST_PAIRS), _PAIRS_OF_AN_ITEM * len(self._test_items(who)))
            rng = np.random.default_rng([self._spec.seed, 100 + number])
            drawn = matched(self._universe, self._test.group_names, who, count, rng)
            self._decided.keep_cells(step, [one for pair in drawn for one in pair])
        cells = self._decided.cells(step)
        return list(zip(cells[::2], cells[1::2], strict=True))

    def _test_items(self, who: Conjunction) -> Codes:
        return items_for(self._universe, self._test.group_names, who)
