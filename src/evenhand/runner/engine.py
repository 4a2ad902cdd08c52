"""The run loop: a fixed number of workers pull trials from the plan, call the model, judge, and commit."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evenhand.errors import ModelError, StoreError
from evenhand.judges import Judge, make_judge
from evenhand.judges.base import with_user
from evenhand.loops import graceful_interrupt, rare_collections, run_async, together
from evenhand.mitigations import MitigatedModel
from evenhand.models import CallError, Model, make_model
from evenhand.runner.admission import admit
from evenhand.runner.answered import Answered
from evenhand.runner.conversing import Answer, Conversations, Held, hold_users
from evenhand.runner.growth import (
    PINNED_META,
    check_fixed,
    check_kept_apart,
    hold_readers,
    plan_study,
    record,
    room_notes,
    template_note,
)
from evenhand.runner.lagging import Pace
from evenhand.runner.languages import reading_notes
from evenhand.runner.memories import Asked, Memories
from evenhand.runner.parts import Parts
from evenhand.runner.plan import Plan, Trial, baseline_is_another, check_texts
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.rejudge import judge_pending, judged_notes
from evenhand.runner.spending import Spending, check_countable
from evenhand.runner.watch import JudgeWatch, Watch
from evenhand.runner.writer import Writer
from evenhand.study import Store, StudySpec
from evenhand.study.notes import ADJUSTMENTS, adjustment_notes, comparison_notes, language_notes, memory_notes
from evenhand.study.reading import TEMPLATE_META
from evenhand.study.rows import encode_request, judgement_rows, trial_row
from evenhand.types import Request, Response

# With nothing but failures after this many calls, the set-up is wrong and the rest would be wasted.
_GIVE_UP_AFTER = 20
# Looked at after so many trials, or as many as there are identities: often enough for a person, at little cost a trial.
_LAGS_EVERY = 16
_RECORDED_PACKAGES = ("evenhand", "numpy", "polars", "aiohttp", "torch", "transformers", "peft", "datasets")


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        directory: the study's directory.
        planned: trials that this run and those before it asked for.
        answered: how many of them have a response now.
        new: responses this run added.
        failed: cells whose calls failed for good.
        interrupted: whether the run was stopped before its end.
        out_of_budget: whether it stopped because the next call would not fit its budget.
        cost: of the whole study so far, by the budget's prices; None without.
        cached_tokens: prompt tokens of the whole study that came from the provider's cache.
        seconds: duration of the run.
    """

    directory: Path
    planned: int
    answered: int
    new: int
    failed: int
    interrupted: bool
    out_of_budget: bool
    cost: float | None
    cached_tokens: int
    seconds: float


def run_study(
    spec: StudySpec, directory: Path, *, model: Model | None = None, progress: Progress | None = None
) -> RunResult:
    """Run every trial of a study that has no response yet.

    Args:
        spec: the study.
        directory: where it lives; made when missing, continued when there.
        model: an object to call instead of the one ``spec.model`` names.
        progress: told of every trial.

    Raises:
        EvenhandError: anything a user can fix; what was answered before it is kept.
    """
    if spec.data_dir:
        # The files that a study keeps are read from elsewhere.
        spec = spec.model_copy(update={"data_dir": spec.data_dir.absolute()})
    # Names and data first: a mistake in them must not leave half a study behind.
    chosen = model or make_model(spec.model, spec.options.options())
    check_countable(spec.budget, chosen)
    return run_plan(plan_study(resolved(spec, chosen), directory), directory, chosen, progress)


def resolved(spec: StudySpec, model: Model) -> StudySpec:
    """The spec with the settings that it leaves to the model."""
    if spec.decoding.top_k is not None:
        return spec
    decoding = spec.decoding.model_copy(update={"top_k": model.default_top_k})
    return spec.model_copy(update={"decoding": decoding})


def run_plan(plan: Plan, directory: Path, model: Model, progress: Progress | None = None) -> RunResult:
    """Run every planned trial that has no response yet; see :func:`run_study`.

    Args:
        plan: of a :func:`resolved` spec.
        directory, model, progress: as there.

    Raises:
        EvenhandError: as there.
    """
    spec = plan.spec
    model.keep_state_in(directory)
    chosen = MitigatedModel(model, plan.mitigation)
    check_texts(plan, chosen)
    check_kept_apart(plan, spec)
    with Store.create(directory) as store:
        check_fixed(store, spec)
        store.add_design([(s, plan.items(s)) for s in plan.suites], plan.judges, plan.identities)
        store.set_meta(PINNED_META, plan.source.pinned)
        return run_async(_Engine(plan, store, chosen, progress or Silent()).run())


class _HaltedError(Exception):
    """The run ends before a call."""


class _Engine:
    def __init__(self, plan: Plan, store: Store, model: MitigatedModel, progress: Progress) -> None:
        self._plan = plan
        self._store = store
        self._model = model
        self._progress = progress
        self._judges: dict[str, Judge] = {
            name: make_judge(name, plan.spec.judge_options.options()) for name in set(plan.judges.values())
        }
        self._stopping = False
        self._out_of_budget = False
        self._call_ended = asyncio.Event()
        spent = store.totals()
        counts = (int(spent[name]) for name in ("prompt_tokens", "completion_tokens", "cached_tokens"))
        self._spending = Spending(plan.spec.budget, *counts)
        self._answered = 0
        self._failed = 0
        self._run = 0
        self._writer = Writer(store)
        self._watch = Watch(model.id, plan.spec.decoding.decoding(), self._progress.note)
        self._judge_watch = JudgeWatch()
        self._adjusted = 0
        self._pace = Pace({}, {}, 0)
        self._memories = Memories(
            store, self._writer, model, self._ask, plan.spec.seed, lambda: self._run, progress.learning
        )
        self._conversations = Conversations(store, self._writer, lambda: self._run)
        # Calls of answers that earlier runs did not bring to their end.
        self._paid = store.parts()

    async def run(self) -> RunResult:
        started = time.perf_counter()
        with self._progress, graceful_interrupt(self._stop), rare_collections():
            for personalizer, names in self._plan.left_out.items():
                self._progress.note(f"{personalizer} cannot convey, and leaves out: {', '.join(names)}")
            if baseline_is_another(self._plan):
                self._progress.note(
                    "the baseline 'plain' says \"You are a helpful assistant.\", not your template without the "
                    "identity: give --baseline-template"
                )
            self._progress.stage(f"starting {self._model.id}")
            outcome = "failed"
            try:
                self._model.adjust(self._store.meta(ADJUSTMENTS, {}))
                self._adjusted = len(self._model.adjustments())
                await self._model.start()
                await self._plan.prepare()
                for judge in self._judges.values():
                    await judge.start()
                answered = self._begin()
                for note in await admit(self._store, self._judges.values()):
                    self._progress.note(note)
                trials = self._plan.trials(answered)
                await together(self._work(trials) for _ in range(self._model.concurrency))
                self._store.mark_cut_thoughts()
                if any(judge.against_baseline for judge in self._judges.values()):
                    self._progress.stage("comparing with the baseline's answers")
                judged = await judge_pending(self._store, self._writer, self._plan.judges, self._judges)
                kept = (language_notes, comparison_notes, memory_notes)
                for note in (*judged_notes(judged), *(told for notes in kept for told in notes(self._store))):
                    self._progress.note(note)
                outcome = "interrupted" if self._stopping else "out of budget" if self._out_of_budget else "finished"
            finally:
                await self._close(outcome)
            return RunResult(
                directory=self._store.directory,
                planned=self._store.planned(),
                answered=self._store.count_trials(),
                new=self._answered,
                failed=self._store.count_failed(),
                interrupted=self._stopping,
                out_of_budget=self._out_of_budget,
                cost=self._spending.cost,
                cached_tokens=self._spending.cached_tokens,
                seconds=time.perf_counter() - started,
            )

    def _begin(self) -> Answered:
        """Record the run, and tell what of the study is answered before it."""
        revision = self._model.revision
        before = [r["revision"] for r in self._store.runs() if r["revision"]]
        if revision and before and before[-1] != revision and self._store.count_trials():
            raise StoreError(
                f"This study was run with revision {before[-1]} of {self._model.id}, which is now {revision}.",
                "Answers of two revisions must not mix: choose another --out.",
            )
        self._run = self._store.start_run(
            self._plan.spec.model_dump(mode="json"),
            self._plan.size,
            revision,
            _versions(),
            self._model.settings(),
        )
        hold_readers(self._store, self._plan)
        hold_users(self._store, {suite: self._judges[name] for suite, name in self._plan.judges.items()})
        record(self._store, self._plan, self._run)
        if note := template_note(self._plan, self._model.settings()):
            self._store.set_meta(TEMPLATE_META, note)
            self._progress.note(note)
        for note in (*room_notes(self._plan), *reading_notes(self._plan, self._judges)):
            self._progress.note(note)
        answered = self._plan.answered(self._store)
        done = self._plan.done(answered)
        self._progress.begin(self._plan.size, done.total())
        item = len(self._plan.senders) * self._plan.spec.repeats
        self._pace = Pace(self._plan.cells, done, item + self._model.concurrency)
        return answered

    async def _close(self, outcome: str) -> None:
        await self._memories.aclose()
        await self._model.aclose()
        for judge in self._judges.values():
            await judge.aclose()
        await self._writer.aclose()
        if self._run:
            self._store.end_run(self._run, outcome)

    def _stop(self) -> None:
        self._stopping = True
        self._progress.stage("stopping: waiting for the calls in flight (interrupt again to drop them)")

    async def _work(self, trials: Iterator[Trial]) -> None:
        # A plain generator shared by all workers: nothing awaits inside it, so that no two enter it at once.
        for trial in trials:
            try:
                await self._one(trial)
            except _HaltedError:
                return

    async def _ask(self, request: Request, parts: Parts | None = None) -> Response:
        """Make one call, a trial's or one of a memory's, unless the run ends before it.

        Args:
            request: what is asked.
            parts: keeps the calls that it takes, where it may take several.

        Raises:
            CallError: it failed for good.
            _HaltedError: the run is stopping, or the call would not fit the budget.
        """
        while self._spending.must_wait():
            self._call_ended.clear()
            await self._call_ended.wait()
        if not self._stopping and not self._out_of_budget:
            self._out_of_budget = not self._spending.allows_another()
        if self._stopping or self._out_of_budget:
            raise _HaltedError
        answered: list[Response] = []
        self._spending.started()
        try:
            if parts is not None:
                return await self._model.asking(parts).respond(request)
            answered.append(await self._model.respond(request))
            return answered[0]
        finally:
            self._note_adjustments()
            self._spending.ended(answered if parts is None else parts.made())
            self._call_ended.set()

    def _asking(self, trial: Trial) -> Answer:
        """What makes the calls of a trial."""
        several = self._plan.mitigation.calls > 1 or (trial.learner is not None and trial.learner.asks)
        if not several:
            return self._ask
        paid = self._paid.pop(trial.cell, {})
        return partial(self._ask, parts=Parts(self._model.behind, self._writer, trial.cell, self._run, paid))

    async def _answer(self, trial: Trial) -> Held:
        """What a trial asks, and the answer; a memory that it needs is learned first."""
        request, ask, memory = trial.request, self._asking(trial), None
        answer = ask
        if (learner := trial.learner) is not None:
            memory = await self._memories.of(learner, self._plan.known(trial.user), trial.item)
            answer = partial(learner.respond, memory, trial.item, model=Asked(self._model, ask))
        if memory or self._plan.mitigation.attends:
            whose = (self._plan.spec.mitigation, trial.item.person.name if trial.item.person else "", "")
            request = await self._plan.asked(trial, memory, self._memories.attending(whose))
        judge = self._judges[trial.judge]
        if judge.rounds > 1 and not request.choices:
            return await self._conversations.hold(trial, judge, request, answer)
        return Held(request, (await answer(request)).per_token)

    async def _one(self, trial: Trial) -> None:
        try:
            held = await self._answer(trial)
        except CallError as error:
            self._failed += 1
            self._writer.put(failure=(*trial.cell, self._run, str(error), time.time()))
            await self._writer.committed()
            self._tell(failed=True)
            if self._answered == 0 and self._failed >= _GIVE_UP_AFTER:
                raise ModelError(f"The first {self._failed} calls all failed; the last one: {error}.") from None
            return
        request, response = held.request, held.response
        trial_id = self._store.new_trial_id()
        row = trial_row(trial_id, trial.cell, self._run, request, encode_request(request.messages), response)
        # The answer is on its way to disk before anybody judges it.
        self._writer.put(trial=row)
        judge = self._judges[trial.judge]
        # Without a verdict it is judged at the end of the run, when the baseline has answered too, and in the next one.
        with contextlib.suppress(CallError):
            if not judge.against_baseline:
                await self._judge(judge, trial, trial_id, held)
        await self._writer.committed()
        self._answered += 1
        self._pace.answered(trial.cell[0], trial.identity.name)
        self._tell(failed=False)
        self._watch.saw(trial.cell[0], request, response)

    def _tell(self, *, failed: bool) -> None:
        if (self._answered + self._failed) % max(_LAGS_EVERY, len(self._plan.identities)) == 0:
            self._progress.lagging(self._pace.lags())
        self._progress.advance(failed=failed, retries=self._model.retries)

    async def _judge(self, judge: Judge, trial: Trial, trial_id: int, held: Held) -> None:
        """Put a verdict on its way.

        Raises:
            CallError: the judge did not answer.
        """
        item = with_user(judge, trial.item, held.request.messages, trial.identity.name, held.rounds)
        verdict = await judge.judge(item, held.response)
        self._judge_watch.saw(judge.name, trial.item, held.response, verdict)
        if self._judge_watch.keeps(judge.name, verdict):
            for judgement in judgement_rows(trial_id, judge.name, judge.edition, verdict):
                self._writer.put(judgement=judgement)

    def _note_adjustments(self) -> None:
        """Record and say what the model has learned that its server does not take."""
        known = self._model.adjustments()
        if len(known) > self._adjusted:
            fresh = dict(list(known.items())[self._adjusted :])
            self._adjusted = len(known)
            self._writer.put(meta=(ADJUSTMENTS, known))
            for note in adjustment_notes(fresh):
                self._progress.note(note)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
