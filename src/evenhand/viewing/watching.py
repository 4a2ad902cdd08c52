"""A folder of studies as one looks at it: how far each is, who lags, what fails, and what it says so far."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenhand.analysing import analyze_store
from evenhand.analysis import Analysis, Settings
from evenhand.errors import DataError, EvenhandError
from evenhand.gating import last_gated
from evenhand.report.answer import answer
from evenhand.report.html import render_report
from evenhand.report.side_by_side import described, render_side_by_side, told_apart
from evenhand.study import Store
from evenhand.study.folders import studies_below
from evenhand.study.notes import is_imported
from evenhand.study.store import STORE_FILE
from evenhand.types import AXES

# A study while it runs is looked at again and again: coarse, and not more often than this.
_QUICK = Settings(draws=400, permutations=400)
# Up to so many answers a study that has ended is looked at as its report is, so that both give the same numbers.
_LARGE = 100_000
_EVERY_S, _WINDOW_S = 10.0, 90.0
# A look at a large study takes a while: so many times as long passes before the next.
_PAUSE = 5
# Clocks of files are coarse: of two writes within this time the second may not show.
_AT_REST_S = 2.0
_MOST_STUDIES = 200
_SHOWN_FAILURES, _SHOWN_LAGGING = 3, 3
# Scores, labels of people, judges, and whether it was looked at coarsely: what an analysis rests on.
_Stamp = tuple[int, int, tuple[tuple[str, str], ...], bool]


@dataclass
class _Seen:
    """What is remembered of a study between two looks."""

    answered: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=200))
    analysed_at: float = -1e9
    analysed: _Stamp = (-1, -1, (), False)
    analysis: Analysis | None = None
    analysing: threading.Lock = field(default_factory=threading.Lock)
    took: float = 0.0
    said: dict[str, Any] = field(default_factory=dict)
    page: tuple[_Stamp, str] | None = None
    # Whether what was said holds of all answers; what was told of a study that does not run, and its files then: while
    # they stay, nothing is read again.
    settled: bool = False
    told: dict[str, Any] = field(default_factory=dict)
    files: tuple[tuple[int, ...], ...] | None = None
    # When a large study may be looked at again.
    due: float = -1e9


class Folder:
    """The studies below a folder.

    Args:
        root: the folder, or a study itself.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"There is no folder {root}.")
        self.root: Path = root
        # The study that is labelled here: its lock is ours, and what it says is looked at when labelling is over.
        self.labelled: str | None = None
        self._unsaid: dict[str, None] = {}
        self._seen: dict[str, _Seen] = {}
        self._paths: dict[str, Path] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is no study."""
        return not self._found()

    def studies(self) -> list[dict[str, Any]]:
        """All studies as plain data for the page, by name; one that cannot be read says why."""
        self._paths = {_id(path): path for path in self._found()}
        names = told_apart(list(self._paths.values()))
        return [self._row(key, path, name) for (key, path), name in zip(self._paths.items(), names, strict=True)]

    def path(self, key: str) -> Path:
        """The directory of a study.

        Raises:
            DataError: there is none of that name.
        """
        if key not in self._paths:
            self.studies()
        if key not in self._paths:
            raise DataError("There is no such study (any more).", "Load the list again.")
        return self._paths[key]

    def report(self, key: str) -> str:
        """A study's report, made anew when there are more answers or labels."""
        seen, path = self._seen.setdefault(key, _Seen()), self.path(key)
        with Store.open(path) as store:
            stamp = _stamp(store, store.count_scored(), Settings())
            if seen.page is None or seen.page[0] != stamp:
                known = seen.analysis if seen.analysed == stamp else None
                gated = last_gated(store, lambda look: analyze_store(store, look))
                seen.page = (stamp, render_report(store, known or analyze_store(store), None, gated))
        return seen.page[1]

    def side_by_side(self, keys: list[str]) -> str:
        """Several studies in one page.

        Raises:
            DataError: there is no such study, or fewer than two were named.
        """
        if len(keys) < 2:
            raise DataError("Two studies at least go side by side.", "Choose some.")
        paths = [self.path(key) for key in keys]
        studies = []
        for key, path, name in zip(keys, paths, told_apart(paths), strict=True):
            with Store.open(path) as store:
                scored = store.count_scored()
                settings = _settings(store, scored, running=Store.is_locked(path))
                analysis = self._analysis(key, store, settings, _stamp(store, scored, settings))
                studies.append(described(store, analysis, name))
        return render_side_by_side(studies)

    def _found(self) -> list[Path]:
        return sorted(studies_below(self.root))[:_MOST_STUDIES]

    def _row(self, key: str, path: Path, name: str) -> dict[str, Any]:
        row: dict[str, Any] = {"id": key, "name": name, "where": str(path)}
        try:
            running, files = Store.is_locked(path), _files(path)
            seen = self._seen.setdefault(key, _Seen())
            rests = time.monotonic() < seen.due or key == self.labelled
            if not (seen.told and rests) and (running or files is None or files != seen.files):
                began = time.monotonic()
                with Store.open(path) as store:
                    seen.told = self._progress(key, store, running) | self._says(key, store, running)
                    seen.files = files if seen.settled and not running else None
                if seen.told["answered"] > _LARGE:
                    seen.due = time.monotonic() + _PAUSE * (time.monotonic() - began)
            return row | seen.told
        except EvenhandError as error:
            return row | {"error": str(error)}

    def _progress(self, key: str, store: Store, running: bool) -> dict[str, Any]:
        seen, now = self._seen.setdefault(key, _Seen()), time.monotonic()
        runs, answered, planned = store.runs(), store.count_trials(), store.planned()
        seen.answered.append((now, answered))
        while seen.answered[0][0] < now - _WINDOW_S:
            seen.answered.popleft()
        begun, before = seen.answered[0]
        speed = (answered - before) / (now - begun) if now > begun else 0.0
        # Of an import nothing runs: who has fewer answers asked less.
        by_identity = {} if is_imported(store) else store.count_by("identity")
        most = max(by_identity.values(), default=0)
        behind = sorted((n, who) for who, n in by_identity.items() if n < most)
        outcome = runs[-1]["outcome"] if runs else None
        return {
            "model": runs[-1]["spec"].get("model", "?") if runs else "?",
            "mitigation": runs[-1]["spec"].get("mitigation", "") if runs else "",
            "state": "running" if running else outcome or ("did not end" if runs else "not begun"),
            "answered": answered,
            "planned": planned,
            "failed": store.count_failed(),
            "per_minute": round(60 * speed, 1) if running and speed else None,
            "left_s": round((planned - answered) / speed) if running and speed and planned > answered else None,
            "lagging": [[who, most - n] for n, who in behind[:_SHOWN_LAGGING]],
            "failures": [[why, n] for why, n in list(store.failure_reasons().items())[:_SHOWN_FAILURES]],
        }

    def _says(self, key: str, store: Store, running: bool) -> dict[str, Any]:
        """What the answers so far say: the last look, where it is recent or nothing changed since.

        A large study is left to :meth:`look_closer`.
        """
        seen, now, scored = self._seen[key], time.monotonic(), store.count_scored()
        settings = _settings(store, scored, running=running)
        stamp = _stamp(store, scored, settings)
        ended = stamp[-1] != seen.analysed[-1]
        due = ended or now - seen.analysed_at > max(_EVERY_S, _PAUSE * seen.took)
        if scored and stamp != seen.analysed and due:
            if scored > _LARGE:
                self._unsaid[key], seen.settled = None, False
                return seen.said | {"analysing": True}
            self._analysis(key, store, settings, stamp)
        seen.settled = not scored or stamp == seen.analysed
        return seen.said

    def _analysis(self, key: str, store: Store, settings: Settings, stamp: _Stamp) -> Analysis:
        """A study's analysis: the last one, where nothing that it rests on has changed since."""
        seen = self._seen.setdefault(key, _Seen())
        with seen.analysing:  # the list and a page may need the same one
            now = time.monotonic()
            if seen.analysis is None or seen.analysed != stamp:
                seen.analysis = analyze_store(store, settings)
                seen.said = _said(seen.analysis, store)
                seen.analysed_at, seen.analysed = time.monotonic(), stamp
                seen.took = seen.analysed_at - now
            return seen.analysis

    @property
    def leaves_some(self) -> bool:
        """Whether :meth:`look_closer` has anything to do."""
        return bool(self._unsaid)

    def look_closer(self) -> None:
        """Analyse the large studies that :meth:`studies` told of without what they say."""
        while self._unsaid:
            key = next(iter(self._unsaid))
            try:
                self._look_closer_at(key, self.path(key))
            except EvenhandError as error:
                self._seen[key].told = {"error": str(error)}
            finally:
                # What failed is not tried again at once.
                self._seen[key].analysed_at = time.monotonic()
                self._unsaid.pop(key)

    def _look_closer_at(self, key: str, path: Path) -> None:
        seen, files = self._seen[key], _files(path)
        with Store.open(path) as store:
            running, scored = Store.is_locked(path) and key != self.labelled, store.count_scored()
            settings = _settings(store, scored, running=running)
            self._analysis(key, store, settings, _stamp(store, scored, settings))
        seen.told = {name: value for name, value in seen.told.items() if name != "analysing"} | seen.said
        # What was written meanwhile is looked at again.
        seen.settled = True
        seen.files = None if running else files


def _files(directory: Path) -> tuple[tuple[int, ...], ...] | None:
    """What a study's files were when they were last written to; None where that may be going on."""
    stats = [file.stat() for file in (directory / STORE_FILE, directory / f"{STORE_FILE}-wal") if file.exists()]
    if any(time.time() - stat.st_mtime < _AT_REST_S for stat in stats):
        return None
    # An empty log comes and goes with whoever reads.
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats if stat.st_size)


def _settings(store: Store, scored: int, *, running: bool) -> Settings:
    """How a study is looked at: as its report is, unless it runs or is large."""
    # Who labels locks a study, too, and changes no answer of it.
    going_on = running and store.count_trials() < store.planned()
    return _QUICK if going_on or scored > _LARGE else Settings()


def _stamp(store: Store, scored: int, settings: Settings) -> _Stamp:
    return scored, len(store.annotations()), tuple(sorted(store.judges_in_use().items())), settings == _QUICK


def _said(analysis: Analysis, store: Store) -> dict[str, Any]:
    first = answer(analysis, str(store.directory), imported=is_imported(store))
    bias: dict[str, dict[str, float]] = {
        axis: {"value": pb.corrected, "low": pb.ci[0], "high": pb.ci[1]}
        for axis in AXES
        if (pb := analysis.pb[axis]) is not None
    }
    return {"said": first.said, "found": first.found, "known": first.known, "bias": _finite(bias)}


def _finite(bias: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {axis: {k: v if abs(v) < 1e6 else None for k, v in found.items()} for axis, found in bias.items()}


def _id(path: Path) -> str:
    return hashlib.blake2b(str(path.absolute()).encode(), digest_size=6).hexdigest()
