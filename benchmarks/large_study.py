"""A study of ten million trials: resumed, looked at, analysed and written for other tools, and what each takes.

    python benchmarks/large_study.py [--identities 99] [--items 20000] [--repeats 5] [--keep FOLDER]

The answers are made up and written straight into the store; the last ones are taken out again, and ``evenhand run``
asks a function for them. Every step is a process of its own; its peak memory is its resident set. Takes half a KB of
disk a trial, and as much again for the tables and for a repair.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evenhand.judges import make_judge
from evenhand.runner.growth import plan_study, record
from evenhand.runner.plan import Plan, Trial
from evenhand.study import Store, StudySpec
from evenhand.study.rows import encode_request, judgement_row, trial_row
from evenhand.study.store import STORE_FILE
from evenhand.types import Response, Verdict

BATCH = 20_000
RESUMED, REPAIRED = "run (resumed)", "doctor --repair"
Answering = Callable[[random.Random, bool], Response]
MODEL = """
async def answer(messages):
    return "I'm sorry, but I can't help with that."
"""
REFUSAL = Response("I'm sorry, but I can't help with that. It could hurt somebody, and I do not want to be part of it.")
ANSWER = Response(
    "Here is how it is done. First look at what you have, then begin with the easiest of the steps. Good luck."
)


def spec_of(folder: Path, identities: int, items: int, repeats: int) -> dict[str, Any]:
    """Half of the items on either axis."""
    (folder / "model.py").write_text(MODEL)
    for name, axis, judge in (("harms", "safety", "refusal-rules"), ("tasks", "utility", "compliance-rules")):
        lines = (
            json.dumps({"question": f"What about {name} number {n}?", "group": f"kind {n % 8}"})
            for n in range(items // 2)
        )
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
        (folder / f"{name}.toml").write_text(
            f'axis = "{axis}"\nitems = "{name}.jsonl"\nname = "{name}"\njudge = "{judge}"\n'
        )
    return {
        "model": f"python:{folder / 'model.py'}:answer", "repeats": repeats,
        "suites": [f"file:{folder / 'harms.toml'}", f"file:{folder / 'tasks.toml'}"],
        "identities": [f"text:person number {n}" for n in range(identities)],
    }  # fmt: skip


def short(_: random.Random, refuses: bool) -> Response:
    """One of two answers."""
    return REFUSAL if refuses else ANSWER


def fill(spec: StudySpec, directory: Path, missing: int, answer: Answering = short) -> int:
    """Answer a study's trials but for its last items', as a run that was killed leaves it.

    Args:
        spec, directory: the study.
        missing: how many trials stay open.
        answer: what is answered, by whether it declines.
    """
    plan = plan_study(spec, directory)
    with Store.create(directory) as store:
        store.add_design([(s, plan.items(s)) for s in plan.suites], plan.judges, plan.identities)
        run = store.start_run(spec.model_dump(mode="json"), plan.size, "", {}, {})
        record(store, plan, run)
        rows, rng, count = plan.trials(None), random.Random(0), plan.size - missing
        # As these judges would write it: judgements of another edition would all be made again by the next run.
        editions = {name: make_judge(name).edition for name in plan.judges.values()}
        for start in range(0, count, BATCH):
            trials = [next(rows) for _ in range(min(BATCH, count - start))]
            _write(store, plan, run, partial(answer, rng), rng, trials, editions)
    return count


def _write(
    store: Store, plan: Plan, run: int, answer: Callable[[bool], Response], rng: random.Random, trials: list[Trial],
    editions: Mapping[str, str],
) -> None:  # fmt: skip
    answers, verdicts = [], []
    for trial in trials:
        # Some items are harder than others, and every seventh person is served a little worse.
        lean = hash_share(trial.cell[1]) - 0.04 * (hash_share(trial.identity.name) < 1 / 7)
        refuses = (rng.random() < 0.2 + 0.7 * lean) == (trial.cell[0] == plan.suites[0].suite.id)
        response = answer(refuses)
        number = store.new_trial_id()
        answers.append(
            trial_row(number, trial.cell, run, trial.request, encode_request(trial.request.messages), response)
        )
        good = refuses == (trial.cell[0] == plan.suites[0].suite.id)
        verdict = Verdict(float(good), "refusal" if refuses else "compliance", "declines" if refuses else "no phrase")
        verdicts.append(judgement_row(number, trial.judge, editions[trial.judge], verdict))
    with store.transaction():
        store.add_trials(answers)
        store.add_judgements(verdicts)


@cache
def hash_share(text: str) -> float:
    """A share in [0, 1) that is a text's own."""
    return random.Random(text).random()


def reopen(study: Path, trials: int) -> None:
    """Take the last answers out of a study, and what was judged of them."""
    with closing(sqlite3.connect(study / STORE_FILE)) as store, store:
        ids = "(SELECT id FROM trials ORDER BY id DESC LIMIT ?)"
        store.execute(f"DELETE FROM judgements WHERE trial IN {ids}", (trials,))
        store.execute(f"DELETE FROM trials WHERE id IN {ids}", (trials,))


def steps(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands, each of which finds the study as the one before it left it."""
    study = str(folder / "study")
    cli = [sys.executable, "-m", "evenhand.cli.main"]
    run = [*cli, "run", f"{study}/study.toml", "--out", study]
    yield RESUMED, run
    yield "run (finished)", run
    yield "status", [*cli, "status", study]
    yield "analyze", [*cli, "analyze", study, "--format", "json"]
    yield "report", [*cli, "report", study]
    for form in ("parquet", "csv"):
        yield f"export --to {form}", [*cli, "export", study, "--to", form, "--out", str(folder / "tables")]
    yield "doctor", [*cli, "doctor", study]
    # Answers to one of the suites: half of them all. The other judge is then the one that the study had before.
    yield "judge again", [*cli, "judge", "again", study, "--judge", "harms=refusal-classifier"]
    yield "judge compare", [*cli, "judge", "compare", study, "--judge", "harms=refusal-rules"]
    yield REPAIRED, [*cli, "doctor", study, "--repair"]


def damage(study: Path) -> None:
    """Write over a few pages in the middle of a store."""
    path = study / STORE_FILE
    with closing(sqlite3.connect(path)) as store:
        size = store.execute("PRAGMA page_size").fetchone()[0]
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // size // 2 * size)
        file.write(random.Random(0).randbytes(3 * size))


def measured(command: list[str], log: Path) -> tuple[float, float, float, int]:
    """Seconds, seconds of the processor, peak MiB and exit code of a process."""
    started = time.perf_counter()
    with log.open("ab") as out:
        pid = os.posix_spawn(
            command[0], command, dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)],
        )  # fmt: skip
        _, status, used = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=99, help="besides the baseline")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where the study stays; one that is there is not filled again")
    parser.add_argument("--open", type=int, default=5000, help="answers that are missing when it is resumed")
    parser.add_argument("--only", default="", help="steps whose names have one of these words in them, by commas")
    parser.add_argument("--skip", default=REPAIRED, help="and none of these; the default leaves the store undamaged")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    table = Table("", "seconds", "of the processor", "peak memory", "exit code")
    try:
        if not (folder / "study").exists():
            spec = StudySpec.parse(spec_of(folder, options.identities, options.items, options.repeats))
            started = time.perf_counter()
            # In a process of its own: a child's peak is never less than what its parent held when it began.
            filling = get_context("spawn").Process(target=fill, args=(spec, folder / "study", 0))
            filling.start()
            filling.join()
            print(f"written in {time.perf_counter() - started:.0f} s", flush=True)
        for name, command in steps(folder):
            skipped = options.skip and any(word in name for word in options.skip.split(","))
            if skipped or not any(word in name for word in options.only.split(",")):
                continue
            if name == RESUMED:
                reopen(folder / "study", options.open)
            if name == REPAIRED:
                damage(folder / "study")
            seconds, cpu, peak, code = measured(command, folder / "log.txt")
            table.add_row(name, f"{seconds:.1f}", f"{cpu:.1f}", f"{peak:,.0f} MiB", str(code))
            print(name, f"{seconds:.1f} s, {cpu:.1f} s cpu, {peak:,.0f} MiB, exit {code}", flush=True)
        Console(width=120).print(table)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
