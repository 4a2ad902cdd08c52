"""Running an audit: every bias against every probe, with what it takes to tell bias from chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import orjson

from evenhand.analysis.agreement import Estimate, side, wilson
from evenhand.audit.base import BIASES, Bias, Outcome, Probe
from evenhand.judges import Judge
from evenhand.judges.base import with_baseline
from evenhand.judges.labels import Labelled, label_score
from evenhand.models import CallError, Model, respond_all
from evenhand.types import Decoding, Item, Message, Request, Response

_SHOWN = 3
_ANSWER_TOKENS = 200


@dataclass(frozen=True)
class Changed:
    """A verdict that a bias changed."""

    item: str
    before: str
    after: str
    shown: str


@dataclass(frozen=True)
class BiasResult:
    """One bias in one mode.

    Attributes:
        bias: name.
        mode: "single" or "pair".
        robustness: share of verdicts that are what they should be after the change (CALM's robustness rate); None when
            the bias was not tried.
        missing: probes without a verdict before or after.
        why_not: why it was not tried, "" when it was.
        examples: some verdicts that changed.
        own_preferred: for self-enhancement, the share of decided pairs in which the judge prefers its own answer.
    """

    bias: str
    mode: str
    robustness: Estimate | None
    missing: int = 0
    why_not: str = ""
    examples: tuple[Changed, ...] = ()
    own_preferred: Estimate | None = None


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        judge, version: which judge.
        consistency: mode -> share of verdicts that are the same when asked again (CALM's consistency rate): what is
            lost beyond it is the bias.
        accuracy: mode -> share of verdicts that are right by construction of the probes.
        results: per bias and mode.
    """

    judge: str
    version: str
    consistency: dict[str, Estimate]
    accuracy: dict[str, Estimate]
    results: tuple[BiasResult, ...]


def shipped_probes(judge: Judge) -> list[Probe]:
    """Single probes, then pairs, from the cases that come with the package and fit the judge."""
    lines = files("evenhand.audit").joinpath("data/cases.jsonl").read_bytes().splitlines()
    wanted = "utility" if judge.needs_reference or judge.against_baseline else "safety"
    singles: list[Probe] = []
    pairs: list[Probe] = []
    for case in (c for c in map(orjson.loads, lines) if c["id"].startswith(wanted)):
        choices = tuple(case.get("choices", ()))
        item = Item(case["id"], case["question"], wanted, case["question"], case.get("target"), choices)
        if judge.against_baseline:
            item = with_baseline(item, item.target or "")
        good, bad = case["good"], case["bad"]
        if judge.refusal_is_good is False:
            good, bad = bad, good
        singles += [Probe(item, (good,), "good"), Probe(item, (bad,), "bad")]
        # The better one takes turns in being first.
        pairs.append(Probe(item, (bad, good), "second") if len(pairs) % 2 else Probe(item, (good, bad), "first"))
    return [*singles, *pairs]


def labelled_probes(labelled: Sequence[Labelled], judge: Judge) -> list[Probe]:
    """Single probes from responses that people labelled."""
    found = []
    for entry in labelled:
        score = label_score(entry.label, refusal_is_good=judge.refusal_is_good is not False)
        found.append(Probe(entry.item, (entry.response.text,), side(score or 0.0)))
    return found


async def audit(
    judge: Judge,
    probes: Sequence[Probe],
    *,
    biases: Sequence[str] = (),
    own: Model | None = None,
    other: Model | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Try every bias on a judge.

    Args:
        judge: started by this function, and closed.
        probes: single ones and pairs.
        biases: names; all by default.
        own, other: for self-enhancement, the model behind the judge and another one; both write answers.
        tell: told what is being done.

    Raises:
        ModelError: a model cannot be used.
        SpecError: an unknown bias.
    """
    chosen = [BIASES.get(name)() for name in (biases or BIASES.members())]
    modes = {"single": [p for p in probes if not p.is_pair], "pair": [p for p in probes if p.is_pair]}
    consistency: dict[str, Estimate] = {}
    accuracy: dict[str, Estimate] = {}
    results: list[BiasResult] = []
    try:
        await judge.start()
        for mode, members in modes.items():
            if not members:
                continue
            tell(f"{mode}: {len(members)} probes, twice")
            before = await _outcomes(judge, members)
            judge.forget()
            consistency[mode] = _share_same(before, await _outcomes(judge, members))
            known = [(b, p.right) for b, p in zip(before, members, strict=True) if p.right]
            accuracy[mode] = _share_same([b for b, _ in known], [r for _, r in known])
            for bias in chosen:
                if not (bias.pair if mode == "pair" else bias.single):
                    continue
                tell(f"{mode}: {bias.name}")
                if bias.needs == "second model":
                    results.append(await _self_enhancement(bias, judge, members, own, other))
                elif bias.needs == "notes" and not judge.reads_notes:
                    results.append(BiasResult(bias.name, mode, None, why_not="the judge reads no remarks"))
                else:
                    results.append(await _try(bias, judge, mode, members, before))
    finally:
        await judge.aclose()
    return Audit(judge.name, judge.version, consistency, accuracy, tuple(results))


async def _try(bias: Bias, judge: Judge, mode: str, probes: Sequence[Probe], before: Sequence[Outcome]) -> BiasResult:
    changed = [bias.change(probe, b, turn) for turn, (probe, b) in enumerate(zip(probes, before, strict=True))]
    after = await _outcomes(judge, changed)
    expected = [bias.expected(b) for b in before]
    moved = [
        Changed(probe.item.id, e, a, "\n".join(probe.responses)[-300:])
        for probe, e, a in zip(changed, expected, after, strict=True)
        if e != a and "missing" not in (e, a)
    ]
    missing = sum("missing" in pair for pair in zip(expected, after, strict=True))
    return BiasResult(bias.name, mode, _share_same(expected, after), missing, examples=tuple(moved[:_SHOWN]))


async def _self_enhancement(
    bias: Bias, judge: Judge, probes: Sequence[Probe], own: Model | None, other: Model | None
) -> BiasResult:
    if not judge.reads_notes or own is None or other is None:
        reason = "needs a second model: name one with --other" if judge.reads_notes else "no model behind the judge"
        return BiasResult(bias.name, "pair", None, why_not=reason)
    items = [probe.item for probe in probes]
    mine, theirs = await _answers(own, items), await _answers(other, items)
    pairs = []
    for n, (item, a, b) in enumerate(zip(items, mine, theirs, strict=True)):
        if a.strip() and b.strip():
            marked = replace(item, extra={**item.extra, "own": n % 2})
            pairs.append(Probe(marked, (b, a) if n % 2 else (a, b)))
    before = await _outcomes(judge, pairs)
    result = await _try(bias, judge, "pair", pairs, before)
    decided = [(p, b) for p, b in zip(pairs, before, strict=True) if b in ("first", "second")]
    chose_own = sum((b == "second") == bool(p.item.extra["own"]) for p, b in decided)
    return replace(result, own_preferred=wilson(chose_own, len(decided)))


async def _answers(model: Model, items: Sequence[Item]) -> list[str]:
    """What a model answers to the questions, greedily; "" where it failed."""
    decoding = Decoding(temperature=0.0, max_tokens=_ANSWER_TOKENS)
    asked = [Request((Message("user", item.question),), decoding, seed=0) for item in items]
    return ["" if isinstance(answer, CallError) else answer.text for answer in await respond_all(model, asked)]


async def _outcomes(judge: Judge, probes: Sequence[Probe]) -> list[Outcome]:
    return await asyncio.gather(*(_outcome(judge, probe) for probe in probes))


async def _outcome(judge: Judge, probe: Probe) -> Outcome:
    responses = [Response(text) for text in probe.responses]
    try:
        if probe.is_pair:
            return await judge.prefer(probe.item, *responses)
        score = (await judge.judge(probe.item, responses[0])).score
    except CallError:
        return "missing"
    return "missing" if score is None else side(score)


def _share_same(one: Sequence[Outcome], other: Sequence[Outcome]) -> Estimate:
    pairs = [pair for pair in zip(one, other, strict=True) if "missing" not in pair]
    return wilson(sum(a == b for a, b in pairs), len(pairs))
