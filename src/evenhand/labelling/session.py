"""One annotator's way through the responses that were drawn: what is shown, what was said, what is left."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from evenhand.analysis.agreement import Agreement, agreement
from evenhand.errors import DataError, SpecError
from evenhand.judges.labels import label_score
from evenhand.labelling.classes import CANNOT_TELL, Class, classes_of
from evenhand.study import Store
from evenhand.study.labelling import draw_for_browser
from evenhand.types import Item
from evenhand.visible import visible


@dataclass(frozen=True)
class Shown:
    """One response as an annotator sees it: neither whose it is nor what the judge thought.

    Attributes:
        trial: its number in the store, which is not shown.
        suite: where it comes from.
        question: what was asked, without the user's identity.
        reference: the right answer, "" where the suite has none.
        response: the text.
        classes: the labels to choose from.
    """

    trial: int
    suite: str
    question: str
    reference: str
    response: str
    classes: tuple[Class, ...]


@dataclass(frozen=True)
class Pair:
    """Two annotators on one suite.

    Attributes:
        suite: the suite.
        first, second: who; the first is the one who began earlier.
        open: responses they label differently that nobody has resolved.
        agreement: of their labels, on responses that both could tell.
    """

    suite: str
    first: str
    second: str
    open: int
    agreement: Agreement


class Session:
    """Draws what is missing, hands out responses, and writes each label at once.

    Args:
        store: the study, opened for writing.
        annotator: who labels.
        count: responses per suite.
        suite: one suite; all by default.
        seed: of the draw.
        resolve: label only what others labelled differently; the label then settles it.

    Raises:
        SpecError: the study has no such suite.
        DataError: there is nothing to label, or nothing to resolve.
    """

    def __init__(
        self,
        store: Store,
        annotator: str = "",
        *,
        count: int = 200,
        suite: str | None = None,
        seed: int = 0,
        resolve: bool = False,
    ) -> None:
        self._store = store
        self.annotator: str = annotator
        self.resolve: bool = resolve
        self._suites = {s["suite"]: s for s in store.suites() if suite in (None, s["suite"])}
        if not self._suites:
            raise SpecError(f"{store.directory} has no suite '{suite}'.", f"See 'evenhand status {store.directory}'.")
        draw_for_browser(store, count, suite=suite, seed=seed)
        wanted = differing(store, settled=True) if resolve else None
        self.queue: list[Shown] = [s for s in self._responses() if wanted is None or s.trial in wanted]
        if not self.queue:
            what = "no response that two annotators label differently" if resolve else "no response to label"
            raise DataError(f"{store.directory} has {what}.", "" if resolve else "Run it first.")
        self._position = {s.trial: n for n, s in enumerate(self.queue)}
        # What each click replaced, for undo; older clicks are known by their time only.
        self._before: list[tuple[int, str | None]] = []

    def given(self) -> dict[int, str]:
        """Trial -> this annotator's label, of the responses in the queue."""
        mine = (self.annotator, self.resolve)
        said = self._store.annotations()
        return {t: label for t, *by, label, _ in said if tuple(by) == mine and t in self._position}

    def next_open(self, after: int = -1) -> int | None:
        """Position of the next response without a label; behind the last, from the start again. None: all have one."""
        given = self.given()
        order = [*range(after + 1, len(self.queue)), *range(after + 1)]
        return next((n for n in order if self.queue[n].trial not in given), None)

    def say(self, position: int, label: str) -> None:
        """Store a label.

        Raises:
            DataError: there is no such position, or the label is none of the response's classes.
        """
        if not 0 <= position < len(self.queue):
            raise DataError(f"There is no response {position}.")
        shown = self.queue[position]
        if label not in {CANNOT_TELL, *(c.label for c in shown.classes)}:
            raise DataError(f"'{label}' is not a label of {shown.suite}.")
        self._before.append((shown.trial, self.given().get(shown.trial)))
        self._write(shown.trial, label)

    def undo(self) -> int | None:
        """Take the last label back; a label that it replaced stands again.

        Returns:
            Its position, None when there is nothing to take back.
        """
        if self._before:
            trial, label = self._before.pop()
        else:
            last = self._store.latest_annotation(self.annotator, resolves=self.resolve)
            if last is None or last not in self._position:
                return None
            trial, label = last, None
        if label is not None:
            self._write(trial, label)
        else:
            with self._store.transaction():
                self._store.forget_annotation(trial, self.annotator, resolves=self.resolve)
        return self._position[trial]

    def view(self, position: int) -> dict[str, Any]:
        """What the page shows: one response, and how far the work is. It names no identity, verdict or trial."""
        shown, given = self.queue[position], self.given()
        of, done = Counter(s.suite for s in self.queue), Counter(self.queue[self._position[t]].suite for t in given)
        return {
            "position": position,
            "suite": visible(shown.suite),
            "question": shown.question,
            "reference": shown.reference,
            "response": shown.response,
            "classes": [asdict(c) for c in shown.classes],
            "given": given.get(shown.trial),
            "others": self._others(shown.trial) if self.resolve else [],
            "done": len(given),
            "of": len(self.queue),
            "suites": [{"suite": visible(name), "done": done[name], "of": n} for name, n in of.items()],
            "annotator": visible(self.annotator),
            "resolve": self.resolve,
            "agreement": [_plain(p) for p in pairs(self._store) if self._may_see(p, of, done)],
        }

    def _may_see(self, pair: Pair, of: Counter[str], done: Counter[str]) -> bool:
        """Agreement that moves with each click would tell what the other said: it is shown when a suite is done."""
        return self.resolve or (self.annotator in (pair.first, pair.second) and done[pair.suite] == of[pair.suite])

    def _others(self, trial: int) -> list[str]:
        """What was said of a response, in alphabetical order: not by whom."""
        return sorted({label for t, _, resolves, label, _ in self._store.annotations() if t == trial and not resolves})

    def _write(self, trial: int, label: str) -> None:
        axis = self._suites[self.queue[self._position[trial]].suite]["axis"]
        score = None if label == CANNOT_TELL else label_score(label, refusal_is_good=axis == "safety")
        with self._store.transaction():
            self._store.annotate(trial, self.annotator, label, score, resolves=self.resolve, at=time.time())

    def _responses(self) -> list[Shown]:
        items = {suite: self._store.items(suite) for suite in self._suites}
        return [
            self._shown(trial, suite, items[suite][item], response)
            for trial, suite, item, response in self._store.drawn()
            if suite in items
        ]

    def _shown(self, trial: int, suite: str, item: Item, response: str) -> Shown:
        about = self._suites[suite]
        classes = classes_of(about["axis"], about["judge"], suite, item)
        # What a page would hide must not sway who labels.
        question, reference, said = (visible(text) for text in (_question(item), item.target or "", response))
        return Shown(trial, suite, question, reference, said, classes)


def _question(item: Item) -> str:
    """What was asked; choices have letters, whose texts stand in the prompt only."""
    return item.prompt if item.choices else item.question or item.prompt


def differing(store: Store, *, settled: bool) -> set[int]:
    """Trials that annotators label differently ("cannot tell" is a label too).

    Args:
        store: the study.
        settled: whether those that were resolved count too.
    """
    said = store.annotations()
    labels: dict[int, set[str]] = {}
    for trial, _, resolves, label, _ in said:
        if not resolves:
            labels.setdefault(trial, set()).add(label)
    resolved = {trial for trial, _, resolves, *_ in said if resolves}
    return {trial for trial, given in labels.items() if len(given) > 1 and (settled or trial not in resolved)}


def pairs(store: Store) -> list[Pair]:
    """Each two annotators on each suite where both labelled some of the same responses."""
    annotations, open_ = store.annotations(), differing(store, settled=False)
    suite_of = store.suites_of([trial for trial, *_ in annotations])
    said: dict[str, dict[str, dict[int, str]]] = {}
    for trial, annotator, resolves, label, _ in annotations:
        if not resolves:
            said.setdefault(suite_of[trial], {}).setdefault(annotator, {})[trial] = label
    found = []
    for suite, by in said.items():
        for first, second in combinations(by, 2):
            both = [t for t in by[first] if t in by[second]]
            told = [t for t in both if CANNOT_TELL not in (by[first][t], by[second][t])]
            if told:
                agreed = agreement([by[first][t] for t in told], [by[second][t] for t in told], draws=1000)
                differ = sum(by[first][t] != by[second][t] and t in open_ for t in both)
                found.append(Pair(suite, first, second, differ, agreed))
    return found


def _plain(pair: Pair) -> dict[str, Any]:
    accuracy, kappa = pair.agreement.accuracy, pair.agreement.kappa
    return {
        "suite": pair.suite,
        "first": pair.first,
        "second": pair.second,
        "n": pair.agreement.n,
        "same": accuracy.value,
        "same_ci": accuracy.ci,
        "kappa": kappa.value,
        "kappa_ci": kappa.ci,
        "open": pair.open,
    }
