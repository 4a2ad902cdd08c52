"""``evenhand run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import completion
from evenhand.cli.asking import ask_study, can_ask
from evenhand.cli.kinds import NamesModels
from evenhand.cli.output import As, Format, emit, say
from evenhand.cli.patience import patience
from evenhand.cli.presets import PRESETS
from evenhand.errors import SpecError

if TYPE_CHECKING:
    from evenhand.study import StudySpec


def listed(values: list[str] | None) -> list[str] | None:
    """Comma-separated and repeated options as one list; templates and free text keep their commas."""
    if values is None:
        return None
    parts: list[str] = []
    for value in values:
        whole = "{" in value or value.startswith(("text:", "template:"))
        parts += [value] if whole else [p.strip() for p in value.split(",") if p.strip()]
    return parts


def after_sessions(personalizers: list[str] | None, counts: str | None) -> list[str] | None:
    """Personalizers that earlier sessions matter to, once for each number of them.

    Raises:
        SpecError: none of the personalizers is such a one, or something is no number.
    """
    if counts is None:
        return personalizers
    from evenhand.personalizers import PersonPersonalizer, make_personalizer

    numbers = [count.strip() for count in counts.split(",")]
    found: list[str] = []
    for reference in personalizers or ():
        made = make_personalizer(reference)
        growing = isinstance(made, PersonPersonalizer) and made.reads_sessions
        found += [f"{reference}@{n}" for n in numbers] if growing else [reference]
    if found == personalizers or not all(n.isdigit() for n in numbers):
        raise SpecError(f"--sessions {counts} asks nobody.", "Write --personalizer dialogue --sessions 0,1,3,6.")
    return found


def pairs(values: list[str] | None, option: str, form: str = "SUITE=JUDGE") -> dict[str, str]:
    """``KEY=VALUE`` options as a dictionary.

    Raises:
        SpecError: a value without "=".
    """
    found: dict[str, str] = {}
    for value in values or ():
        key, sign, member = value.partition("=")
        if not sign or not key or not member:
            raise SpecError(f"{option} '{value}' is not of the form {form}.")
        found[key] = member
    return found


def read_values(texts: dict[str, str]) -> dict[str, Any]:
    """Values as what they look like: numbers, true and false, else text."""
    import orjson

    found: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            found[key] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[key] = text
    return found


def json_object(text: str | None, option: str) -> dict[str, Any]:
    """The JSON object that an option holds.

    Raises:
        SpecError: it is none.
    """
    import orjson

    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise SpecError(f"{option} is not JSON: {error}.", f"Write {option} '{{\"name\": 1}}'.") from None
    if not isinstance(found, dict):
        raise SpecError(f"{option} is not a JSON object.", f"Write {option} '{{\"name\": 1}}'.")
    return found


def run(
    study: Annotated[Path | None, typer.Argument(help="A study file (TOML); options override it.")] = None,
    model: Annotated[str | None, typer.Option(help="Kind and name.", autocompletion=completion.models)] = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="Suites, comma-separated or repeated.", autocompletion=completion.suites)
    ] = None,
    identities: Annotated[
        list[str] | None,
        typer.Option(
            help="A catalogue (paper, FILE.toml, FILE.csv of bios), categories, names, 'a & b' or free text.",
            autocompletion=completion.identities,
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="plain, bare, person, or 'none'.", autocompletion=completion.baselines)
    ] = None,
    personalizer: Annotated[
        list[str] | None,
        typer.Option(help="Names, or a template with {identity}.", autocompletion=completion.personalizers),
    ] = None,
    people: Annotated[
        list[str] | None,
        typer.Option(help="Catalogues of people who ask: starter, or files.", autocompletion=completion.people),
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(help="Drift: ask through what learns of sessions after so many of them, as in 0,1,3,6."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Start from a preset: paper; memory, which sets all that learns beside its controls.",
            autocompletion=completion.presets,
        ),
    ] = None,
    baseline_template: Annotated[
        str | None, typer.Option(help="System message of the baseline 'plain', beside a template of your own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Items per suite; all by default.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Calls per cell, each with its own seed.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="New tokens per answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_k: Annotated[
        int | None, typer.Option(help="0 means no cut; by default 10 for local models, not sent to servers.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="1 means no cut.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A stop string; repeat for more.")] = None,
    reasoning_effort: Annotated[
        str | None, typer.Option(help="none, minimal, low, medium, high, xhigh or max; the model's own otherwise.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Items to ask: all, tune, choose or test.")] = None,
    mitigation: Annotated[
        str | None,
        typer.Option(help="As 'evenhand list mitigations' shows them.", autocompletion=completion.mitigations),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Every trial's seed derives from it.")] = None,
    judge: Annotated[
        list[str] | None, typer.Option(help="SUITE=JUDGE; repeat for more.", autocompletion=completion.suite_is_judge)
    ] = None,
    judge_base_url: Annotated[str | None, typer.Option(help="API of the model behind a judge.")] = None,
    judge_api_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Original data files; $EVENHAND_DATA_DIR otherwise.")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's directory; continued when it exists.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Root of an OpenAI-compatible API.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable with the key.")] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            help="Do not send temperature, seed, top_p, top_k, stop, max_tokens; or system: joins the user's turn."
        ),
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE in every call's body; repeat for more.")] = None,
    extra_body: Annotated[str | None, typer.Option(help="A JSON object whose fields every call's body gets.")] = None,
    extra_header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE; '$VAR' in it is read from the environment. Repeat for more.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls in flight.")] = None,
    rpm: Annotated[float | None, typer.Option(help="Calls per minute at most.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds per attempt.")] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Attempts per call.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per batch of a local model.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...")] = None,
    adapter: Annotated[str | None, typer.Option(help="A PEFT adapter for hf: models.")] = None,
    executor: Annotated[str | None, typer.Option(help="local, or ray: replicas on a Ray cluster.")] = None,
    workers: Annotated[int | None, typer.Option(help="Replicas, with --executor ray.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Of the cluster; one on this machine otherwise.")] = None,
    gpus_per_worker: Annotated[float | None, typer.Option(help="GPUs per replica.")] = None,
    engine_arg: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for vLLM's engine; repeat for more.")] = None,
    price_in: Annotated[float | None, typer.Option(help="Of a million prompt tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Of a million completion tokens.")] = None,
    price_cached: Annotated[
        float | None, typer.Option(help="Of a million prompt tokens from the provider's cache; --price-in otherwise.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="Of the whole study; stops in time.")] = None,
    max_total_tokens: Annotated[int | None, typer.Option(help="Of the whole study; stops in time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    target_halfwidth: Annotated[
        float | None, typer.Option(min=0.01, help="Adaptive: stop each suite at this half-width of PB, in points.")
    ] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Adaptive: calls at most.")] = None,
    format: As = Format.table,
) -> None:
    """Run every trial of a study that has no answer yet. Run it again to go on, or with more to add to it.

    Without any argument, on a terminal, it asks what it needs to know and writes the study file.
    """
    given = {
        "model": model,
        "suites": listed(suite),
        "identities": listed(identities),
        "baselines": [] if baseline == ["none"] else listed(baseline),
        "people": listed(people),
        "personalizers": after_sessions(listed(personalizer), sessions),
        "baseline_template": baseline_template,
        "limit": limit,
        "repeats": repeats,
        "split": split,
        "mitigation": mitigation,
        "seed": seed,
        "data_dir": data_dir,
        "judges": pairs(judge, "--judge") or None,
    }
    judge_options = {"base_url": judge_base_url, "api_key_env": judge_api_key_env}
    decoding = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "stop": stop,
        "reasoning_effort": reasoning_effort,
    }
    options = {
        "base_url": base_url,
        "api_key_env": api_key_env,
        "concurrency": concurrency,
        "requests_per_minute": rpm,
        "timeout_s": timeout,
        "max_attempts": max_attempts,
        "batch_size": batch_size,
        "dtype": dtype,
        "device": device,
        "adapter": adapter,
        "executor": executor,
        "workers": workers,
        "ray_address": ray_address,
        "gpus_per_worker": gpus_per_worker,
        "drop": listed(drop),
        "extra_body": {**json_object(extra_body, "--extra-body"), **read_values(pairs(param, "--param", "NAME=VALUE"))}
        or None,
        "extra_headers": pairs(extra_header, "--extra-header", "NAME=VALUE") or None,
        "engine_args": read_values(pairs(engine_arg, "--engine-arg", "NAME=VALUE")) or None,
    }
    prices = {
        "price_in": price_in, "price_out": price_out, "price_cached": price_cached, "max_cost": max_cost,
        "max_total_tokens": max_total_tokens,
    }  # fmt: skip
    nested: dict[str, dict[str, Any]] = {
        "decoding": decoding, "options": options, "judge_options": judge_options, "budget": prices,
    }  # fmt: skip
    if study is None and preset is None and can_ask() and not _settings({**given, **nested}):
        study = ask_study(out)
        if not (dry_run or typer.confirm("Run it now?", default=True)):
            return
    spec, target = merged(study, preset, given, nested, out)
    if budget is not None and target_halfwidth is None:
        raise SpecError("--budget needs --target-halfwidth.", "Give the half-width to reach, as in 0.5.")
    if dry_run:
        tell_estimate(spec, target, format)
    elif target_halfwidth is not None:
        if limit is None and spec.limit is not None and budget is not None:
            say(f"Going beyond {spec.limit} items where it takes more, up to --budget {budget} calls.", err=True)
            spec = spec.model_copy(update={"limit": None})
        run_adaptively_and_tell(spec, target, target_halfwidth, budget, format)
    else:
        run_and_tell(spec, target, format)


def _settings(given: dict[str, Any]) -> bool:
    """Whether any option says what the study is."""
    return any(_settings(value) if isinstance(value, dict) else value is not None for value in given.values())


def merged(
    study: Path | None,
    preset: str | None,
    given: dict[str, Any],
    nested: dict[str, dict[str, Any]],
    out: Path | None,
) -> tuple[StudySpec, Path]:
    """Preset, study file and options as one spec, and the study's directory."""
    from evenhand.errors import did_you_mean
    from evenhand.study import StudySpec

    data: dict[str, Any] = {}
    if preset is not None:
        if preset not in PRESETS:
            raise SpecError(f"There is no preset '{preset}'.", did_you_mean(preset, PRESETS))
        data = dict(PRESETS[preset])
    if study is not None:
        data |= StudySpec.from_toml(study).model_dump(exclude_unset=True)
    data |= {k: v for k, v in given.items() if v is not None}
    for key, values in nested.items():
        data[key] = {**data.get(key, {}), **{k: v for k, v in values.items() if v is not None}}
    for needed, option in (("model", "--model"), ("suites", "--suite")):
        if not data.get(needed):
            raise SpecError(f"No {needed.rstrip('s')} was given.", f"Add {option}, or name a study file.")
    target = out or (study.parent if study and study.name == "study.toml" else None)
    if target is None:
        raise SpecError("No directory for the study was given.", "Add --out DIR.")
    return StudySpec.parse(data, "the command line"), target


def tell_estimate(spec: StudySpec, out: Path, format: Format) -> None:
    """Say what a run would take."""
    from evenhand.api import estimate_cost
    from evenhand.report.terminal import estimate_table

    found = estimate_cost(spec, out)
    emit(found, format, lambda: estimate_table(found))


def run_and_tell(spec: Any, out: Path, format: Format = Format.table) -> None:
    """Run a study with a live display; say what came of it and what to do next."""
    from evenhand.api import run as run_spec
    from evenhand.cli.progress import RunDisplay

    # Shown from the start: of a large study it takes a while to see what is answered.
    with RunDisplay() as display:
        result = run_spec(spec, out, progress=display)
    finish(result, out, format)


def run_adaptively_and_tell(
    spec: Any, out: Path, target: float, budget: int | None, format: Format = Format.table
) -> None:
    """Run a study to a precision; say how many calls it took and what each suite reached."""
    from evenhand.api import run_to_precision
    from evenhand.cli.progress import RunDisplay

    result = run_to_precision(spec, out, target, budget, progress=RunDisplay())
    for suite, look in result.looks.items():
        state = "precise enough" if look.precise else "not precise enough"
        low, high = look.ci
        where = f"PB between {low:.2f} and {high:.2f} (half-width {look.halfwidth:.2f}, at most {look.reach:.2f})"
        say(f"{suite}: {look.items} items, {where}: {state}", err=True)
    if result.limited:
        say(
            f"The study's limit of {spec.limit} items ended {', '.join(result.limited)} before that. Go beyond it with "
            "--budget CALLS, or with a larger --limit.",
            err=True,
        )
    say(
        f"{result.run.answered} calls; all items with 3 repeats would take {result.exhaustive}, "
        f"{result.exhaustive / max(result.run.answered, 1):.1f} times as many.",
        err=True,
    )
    finish(result.run, out, format)


def finish(result: Any, out: Path, format: Format = Format.table) -> None:
    """Say what a run did and what to do next, and leave with its exit code."""
    from evenhand.collapsing import adapter_collapse
    from evenhand.report.missing import unanswered_lines
    from evenhand.study import Store

    if format is Format.json:
        emit(result, format, lambda: "")
    say(
        f"{result.new} new answers in {result.seconds:.0f} s; {result.answered} in the study, {result.failed} failed "
        f"({result.planned} planned).",
        err=True,
    )
    if result.cost is not None:
        cached = f", {result.cached_tokens:,} of its prompt tokens from the cache" if result.cached_tokens else ""
        say(f"Cost of the study so far: {result.cost:,.4f}{cached}.", err=True)
    if result.out_of_budget:
        say("The budget is spent. Raise it and run the same command to go on.", err=True)
        raise typer.Exit(1)
    if result.interrupted:
        say("Stopped. Run the same command to go on.", err=True)
        raise typer.Exit(130)
    with patience("counting"), Store.open(out) as store:
        known, unanswered = adapter_collapse(store), store.count_unanswered()
        reasons = store.failure_reasons() if result.failed else {}
    for line in unanswered_lines(unanswered):
        say(line, err=True, color="yellow")
    if known is not None and known.collapsed:
        say(f"The adapter {known.verdict}.", err=True, color="red")
    say(f"Next: evenhand analyze {out}   or   evenhand report {out}", err=True)
    if result.failed:
        reason, count = next(iter(reasons.items()), ("", 0))
        say(f"{count} calls failed with: {reason}", err=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    app.command(cls=NamesModels)(run)
