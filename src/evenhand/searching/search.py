"""Find the users whom a model serves worst: explore on some items, confirm on others, explain on third ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from evenhand.analysis.factorial import Conjunction, Factorial, Observed, fit_effects
from evenhand.analysis.subgroups import ROUNDS, confirm, promising, worth_confirming
from evenhand.errors import SpecError, StoreError
from evenhand.identities import select
from evenhand.mitigate import allowance, spent
from evenhand.models import Model, make_model
from evenhand.people import select_people
from evenhand.personalizers import make_personalizer
from evenhand.runner.engine import resolved
from evenhand.runner.progress import Part as Shown
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.spending import price
from evenhand.searching.asking import Asked, Part
from evenhand.searching.drawing import explaining, explored, items_for, matched
from evenhand.searching.explaining import by_group, conditions, contrasts, example, words_of
from evenhand.searching.found import Found, SearchResult
from evenhand.searching.spec import SearchSpec
from evenhand.searching.universe import Universe, make_universe
from evenhand.study import StudySpec
from evenhand.study.spec import BudgetSpec

SEARCH_FILE = "search.json"
# Shares of the calls.
_EXPLORE, _CONFIRM = 0.6, 0.3
# An item is asked by so many pairs at most when a finding is confirmed.
_PAIRS_OF_AN_ITEM = 8
_FEWEST_OF_TARGET = 8
# Of standard errors: two-sided 5 % over the findings, and a power of 90 %.
_ENOUGH = 3.7


class _StoppedError(Exception):
    """Interrupted, or out of budget."""


def find_worst(
    study: StudySpec,
    spec: SearchSpec,
    out: Path,
    *,
    model: Model | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search the product of identities, facts, ways of telling and groups of items for whom a model is worst.

    The items of the part *tune* are explored, those of *test* confirm, and those of *choose* explain; each is asked
    cell by cell, and everything is kept in a directory: run again to go on.

    Args:
        study: model, suites, identities (single ones) and personalizers; one repeat is asked.
        spec: the settings.
        out: where everything is kept.
        model: an object to call instead of the one the study names.
        progress: told of every answer.

    Raises:
        EvenhandError: anything a user can fix; what was answered is kept.
    """
    return _Search(study, spec, out, model, progress or Silent()).run()


class _Search:
    def __init__(self, study: StudySpec, spec: SearchSpec, out: Path, model: Model | None, display: Progress) -> None:
        self._spec, self._out, self._display = spec, out, display
        self._limits = study.budget
        self._prices = BudgetSpec(price_in=study.budget.price_in, price_out=study.budget.price_out)
        self._model = model or make_model(study.model, study.options.options())
        base = resolved(study.model_copy(update={"repeats": 1}), self._model)
        self._base = base
        self._explore, self._test, self._choose = (
            Part(split, base, out / name)
            for split, name in (("tune", "explore"), ("test", "confirm"), ("choose", "explain"))
        )
        self._universe: Universe = make_universe(
            select(base.identities),
            select_people(spec.facts),
            [make_personalizer(p) for p in base.personalizers],
            list(dict.fromkeys(self._explore.group_names)),
            spec.stated,
        )
        self._parts = {"explore": self._explore, "confirm": self._test, "explain": self._choose}
        self._first = True
        self._settings = {
            "study": {**base.fixed(), "split": "", "suites": list(base.suites)},
            "spec": spec.model_dump(mode="json"),
            "levels": [list(levels) for levels in self._universe.space.levels],
            "items": {name: [list(place) for place in part.places] for name, part in self._parts.items()},
        }

    def run(self) -> SearchResult:
        held = self._held()
        with self._display:
            self._display.begin(self._spec.calls, 0)
            try:
                fit = self._explored(held)
                return self._confirmed(held, fit)
            except _StoppedError:
                return self._result(stopped=True)

    # Exploring

    def _explored(self, held: dict[str, list[list[int]]]) -> Factorial:
        """Rounds over ever fewer combinations; what a round asks is decided once."""
        asked: list[Asked] = []
        total = int(self._spec.calls * _EXPLORE)
        for number, (share, most) in enumerate(ROUNDS):
            name = f"round {number + 1}"
            calls = int(total * share)
            if name not in held:
                targets: Sequence[Conjunction] = ()
                if most:
                    fit = fit_effects(self._observed(asked), self._universe.space)
                    count = max(1, min(most, calls // _FEWEST_OF_TARGET))
                    targets = self._askable(promising(fit, 2 * count, self._spec.direction))[:count]
                rng = np.random.default_rng([self._spec.seed, number])
                cells = explored(self._universe, self._explore.group_names, targets, calls, rng, set(asked))
                self._hold(held, name, cells)
            asked += _cells(held[name])
            self._ask("explore", asked, f"exploring, {name} of {len(ROUNDS)}")
        return fit_effects(self._observed(asked), self._universe.space)

    def _askable(self, targets: Sequence[Conjunction]) -> list[Conjunction]:
        """Those that a user can have."""
        categories = len(self._universe.identities)
        return [t for t in targets if sum(f < categories for f in t.factors) <= self._spec.stated]

    def _observed(self, asked: Sequence[Asked]) -> Observed:
        observed = self._explore.observed(asked, self._universe)
        if not len(observed.scores):
            raise SpecError(
                "None of the answers could be scored, so there is nothing to search in.",
                f"Look at them: evenhand doctor {self._explore.directory}.",
            )
        return observed

    # Confirming and explaining

    def _confirmed(self, held: dict[str, list[list[int]]], fit: Factorial) -> SearchResult:
        if "chosen" not in held:
            found = self._askable(
                worth_confirming(fit, 4 * self._spec.confirm, self._spec.direction, self._spec.smallest)
            )
            able = [c for c in found if len(self._items(self._test, c)) >= 6][: self._spec.confirm]
            self._hold_rows(held, "chosen", [[n for pair in c.levels for n in pair] for c in able])
        chosen = [Conjunction(tuple(zip(row[::2], row[1::2], strict=True))) for row in held["chosen"]]
        pairs = [self._pairs(held, n, who, fit, len(chosen)) for n, who in enumerate(chosen)]
        everything = [one for members in pairs for pair in members for one in pair]
        if everything:
            self._ask("confirm", everything, "confirming")
        seen = [contrasts(self._test, members, self._universe) for members in pairs]
        findings = confirm(
            [(who, one.differences) for who, one in zip(chosen, seen, strict=True)],
            self._spec.direction,
            seed=self._spec.seed,
        )
        explained = self._explained(held, [f.conjunction for f in findings if f.confirmed])
        found_ones = tuple(
            Found(
                self._universe.phrase(finding.conjunction),
                fit.difference(finding.conjunction),
                finding,
                one.mean,
                one.other_mean,
                one.missing,
                explained.get(finding.conjunction, ()),
                by_group(one),
                words_of(self._test, members, self._universe),
                example(self._test, members, self._universe, self._spec.direction) if finding.confirmed else None,
            )
            for finding, one, members in zip(findings, seen, pairs, strict=True)
        )
        return self._result(found=found_ones, fit=fit)

    def _pairs(
        self, held: dict[str, list[list[int]]], number: int, who: Conjunction, fit: Factorial, chosen: int
    ) -> list[tuple[Asked, Asked]]:
        """As many pairs as the difference that is expected needs, within the budget and the items there are."""
        name = f"confirm {number + 1}"
        if name not in held:
            allowed = int(self._spec.calls * _CONFIRM) // (2 * chosen)
            expected = max(abs(fit.difference(who)[0]), self._spec.smallest)
            needed = math.ceil((_ENOUGH * math.sqrt(2) * fit.noise / expected) ** 2)
            most = _PAIRS_OF_AN_ITEM * len(self._items(self._test, who))
            rng = np.random.default_rng([self._spec.seed, 100 + number])
            count = min(allowed, needed, most)
            drawn = matched(self._universe, self._test.group_names, who, count, rng)
            self._hold(held, name, [one for pair in drawn for one in pair])
        cells = _cells(held[name])
        return list(zip(cells[::2], cells[1::2], strict=True))

    def _explained(self, held: dict[str, list[list[int]]], confirmed: Sequence[Conjunction]) -> dict:  # type: ignore[type-arg]
        allowed = int(self._spec.calls * (1 - _EXPLORE - _CONFIRM)) // max(len(confirmed), 1)
        arms: dict[Conjunction, dict[str, list[Asked]]] = {}
        for who in confirmed:
            count = max(6, allowed // (3 + len(who.levels)))
            rng = np.random.default_rng([self._spec.seed, 200, *(n for pair in who.levels for n in pair)])
            # Drawn anew by the same numbers each time: nothing of it depends on an answer.
            arms[who] = explaining(self._universe, self._choose.group_names, who, count, rng)
        everything = [one for members in arms.values() for cells in members.values() for one in cells]
        if everything:
            self._ask("explain", everything, "explaining")
        return {who: conditions(self._choose, members, self._universe) for who, members in arms.items()}

    def _items(self, part: Part, who: Conjunction) -> np.ndarray:
        return items_for(self._universe, part.group_names, who)

    # What is asked, and what was decided

    def _ask(self, name: str, asked: Sequence[Asked], title: str) -> None:
        others = spent(part.directory for other, part in self._parts.items() if other != name)
        limits = allowance(self._limits, self._prices, *others)
        if limits is None:
            raise _StoppedError
        shown = Shown(self._display, title, first=self._first)
        self._first = False
        spec = self._base.model_copy(update={"budget": limits})
        ran = self._parts[name].ask(asked, self._universe, self._model, shown, spec)
        if ran.interrupted or ran.out_of_budget:
            raise _StoppedError
        if ran.failed:
            shown.note(f"{ran.failed} calls failed; they are missing, and asked again when you run the same command")

    def _result(
        self, *, found: tuple[Found, ...] = (), fit: Factorial | None = None, stopped: bool = False
    ) -> SearchResult:
        missing = sum((part.missing() for part in self._parts.values()), start=self._explore.missing().__class__())
        held = self._read()
        calls = {
            "explore": sum(len(cells) for name, cells in held.items() if name.startswith("round")),
            "confirm": sum(len(cells) for name, cells in held.items() if name.startswith("confirm")),
        }
        return SearchResult(
            users=self._universe.size,
            groups=len(self._universe.groups),
            candidates=self._universe.space.candidates,
            calls={**calls, "explain": self._choose.answered()},
            items={name: len(part.places) for name, part in self._parts.items()},
            missing=dict(missing),
            found=found,
            uneven=_uneven(fit, self._universe, self._spec.seed) if fit else (),
            noise=fit.noise if fit else math.nan,
            direction=self._spec.direction,
            stopped=stopped,
            cost=price(self._prices, *spent(part.directory for part in self._parts.values())),
        )

    def _held(self) -> dict[str, list[list[int]]]:
        """What was decided before.

        Raises:
            SpecError: under other settings.
            StoreError: the directory cannot be written, or its file is damaged.
        """
        kept = self._kept()
        if kept and kept.get("settings") != orjson.loads(orjson.dumps(self._settings)):
            raise SpecError(
                f"The search in {self._out} was begun with other settings.",
                "Use the same ones, or choose another --out.",
            )
        self._write(kept.get("held", {}))
        return dict(kept.get("held", {}))

    def _read(self) -> dict[str, list[list[int]]]:
        return dict(self._kept().get("held", {}))

    def _kept(self) -> dict:  # type: ignore[type-arg]
        file = self._out / SEARCH_FILE
        try:
            return dict(orjson.loads(file.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError):
            raise StoreError(f"{file} is damaged: it says what was asked.", "Choose another --out.") from None

    def _hold(self, held: dict[str, list[list[int]]], name: str, cells: Sequence[Asked]) -> None:
        self._hold_rows(held, name, [[*one.user, one.item] for one in cells])

    def _hold_rows(self, held: dict[str, list[list[int]]], name: str, rows: list[list[int]]) -> None:
        held[name] = rows
        self._write(held)

    def _write(self, held: dict[str, list[list[int]]]) -> None:
        file = self._out / SEARCH_FILE
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            beside = file.with_suffix(".new")
            beside.write_bytes(orjson.dumps({"settings": self._settings, "held": held}))
            beside.replace(file)
        except OSError as error:
            raise StoreError(f"Cannot write {file}: {error.strerror}.", "Choose another --out.") from None


def _cells(rows: Sequence[Sequence[int]]) -> list[Asked]:
    return [Asked(tuple(row[:-1]), row[-1]) for row in rows]


def _uneven(fit: Factorial, universe: Universe, seed: int) -> tuple[tuple[str, float], ...]:
    """Groups of items by how much users differ on them, from what exploring estimates."""
    rng = np.random.default_rng([seed, 300])
    users = [universe.draw(rng) for _ in range(300)]
    found = []
    for place, group in enumerate(universe.groups):
        codes = universe.codes(users, [place] * len(users))
        found.append((group, float(np.std(fit.predicted(codes)))))
    return tuple(sorted(found, key=lambda pair: -pair[1]))
