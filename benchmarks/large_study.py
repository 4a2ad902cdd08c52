"""A study of ten million trials: resumed, looked at, analysed and written for other tools, and what each takes.

    python benchmarks/large_study.py [--identities 99] [--items 20000] [--repeats 5] [--keep FOLDER]

The answers are made up and written straight into the store, all but the last item's, which ``evenhand run`` asks a
function for. Every step is a process of its own; its peak memory is its resident set. Takes half a KB of disk a trial.

"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evenhand.judges import make_judge
from evenhand.runner.growth import plan_study, record
from evenhand.runner.plan import Plan, Trial
from evenhand.study import Store, StudySpec
from evenhand.study.rows import encode_request, judgement_row, trial_row
from evenhand.types import Response, Verdict

BATCH = 20_000
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


def steps(folder: Path) -> Iterator[tuple[str, list[str]]]:
    study = folder / "study"
    cli = [sys.executable, "-m", "evenhand.cli.main"]
    yield "evenhand run (resumed)", [*cli, "run", str(study / "study.toml"), "--out", str(study)]
    yield "evenhand run (finished)", [*cli, "run", str(study / "study.toml"), "--out", str(study)]
    yield "evenhand status", [*cli, "status", str(study)]
    yield "evenhand analyze", [*cli, "analyze", str(study), "--format", "json"]
    yield (
        "evenhand export --to parquet",
        [*cli, "export", str(study), "--to", "parquet", "--out", str(folder / "tables")],
    )


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
    parser.add_argument("--only", default="", help="steps whose names have this in them")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    table = Table("", "seconds", "of the processor", "peak memory", "exit code")
    try:
        if not (folder / "study").exists():
            spec = StudySpec.parse(spec_of(folder, options.identities, options.items, options.repeats))
            started = time.perf_counter()
            written = fill(spec, folder / "study", (options.identities + 1) * options.repeats)
            print(f"{written:,} answers written in {time.perf_counter() - started:.0f} s")
        for name, command in steps(folder):
            if options.only in name:
                seconds, cpu, peak, code = measured(command, folder / "log.txt")
                table.add_row(name, f"{seconds:.1f}", f"{cpu:.1f}", f"{peak:,.0f} MiB", str(code))
                print(name, f"{seconds:.1f} s, {cpu:.1f} s cpu, {peak:,.0f} MiB, exit {code}", flush=True)
        Console(width=120).print(table)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
