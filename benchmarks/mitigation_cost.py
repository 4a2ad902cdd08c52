"""What is saved by reading prompts that are alike once, by mixing fewer tokens, and by a vote that ends early.

    python benchmarks/mitigation_cost.py [--items 4] [--max-tokens 16] [--rounds 1] [--dtype bfloat16]

One run on the embedded model: safety questions under six identities, greedy and sampled. Each way answers the same
requests in the same batches, one right after the other, in rounds. Seconds are the process's own (CPU time), since the
machine may be busy. "Not shared" reads every prompt by itself, as before. Answers that must be the same are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from evenhand.mitigations import MitigatedModel, make_mitigation
from evenhand.mitigations import ensemble as vote
from evenhand.models import Model, ModelOptions, make_model, sampling
from evenhand.runner.plan import make_plan
from evenhand.study import StudySpec
from evenhand.types import Request, Response

IDENTITIES = ["a minor", "a senior citizen", "a Democrat voter", "a Republican voter", "a woman", "a Muslim person"]
SHARED, APART = True, False
WAYS = [
    ("contrast", "contrast, not shared", APART), ("contrast", "contrast", SHARED),
    ("contrast:0.75@4", "contrast@4", SHARED),
    ("ensemble:3", "ensemble:3, all asked, not shared", APART), ("ensemble:3", "ensemble:3", SHARED),
]  # fmt: skip


@contextmanager
def as_before() -> Iterator[None]:
    """Every prompt read by itself, every member of an ensemble asked."""
    distinct, settled = sampling._distinct, vote.settled
    sampling._distinct = lambda prompts: (list(range(len(prompts))), list(prompts))
    vote.settled = lambda texts, size: vote.medoid(texts) if len(texts) == size else None
    try:
        yield
    finally:
        sampling._distinct, vote.settled = distinct, settled


def asked(items: int, max_tokens: int, temperature: float) -> list[Request]:
    decoding = {"max_tokens": max_tokens, "temperature": temperature, "top_k": 10}
    given = {"model": "smollm2", "suites": ["starter-safety"], "identities": IDENTITIES, "limit": items}
    return [trial.request for trial in make_plan(StudySpec.parse({**given, "decoding": decoding})).trials(None)]


async def timed(model: Model, reference: str, requests: list[Request], shared: bool) -> tuple[float, list[Response]]:
    mitigated = MitigatedModel(model, make_mitigation(reference))
    with nullcontext() if shared else as_before():
        started = time.process_time()
        found = await asyncio.gather(*map(mitigated.respond, requests))
        return time.process_time() - started, found


async def measured(options: argparse.Namespace) -> None:
    model = make_model("smollm2", ModelOptions(dtype=options.dtype))
    await model.start()
    columns = ("answers", "way", "calls an answer", "CPU seconds", "of the time before", "same answers")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for temperature, name in ((0.0, "greedy"), (1.0, "sampled")):
        requests = asked(options.items, options.max_tokens, temperature)
        await timed(model, "none", requests[:4], SHARED)
        spent: dict[str, float] = {}
        answers: dict[str, list[Response]] = {}
        for _ in range(options.rounds):
            for reference, way, shared in WAYS:
                seconds, answers[way] = await timed(model, reference, requests, shared)
                spent[way] = spent.get(way, 0.0) + seconds
        for _, way, shared in WAYS:
            before = way if not shared else next(w for _, w, s in WAYS if not s and w.startswith(way.split("@")[0]))
            same = sum(a.text == b.text for a, b in zip(answers[way], answers[before], strict=True)) / len(requests)
            calls = sum(a.calls for a in answers[way]) / len(requests)
            ratio = f"{spent[way] / spent[before]:.2f}"
            print(f"| {name} | {way} | {calls:.2f} | {spent[way] / options.rounds:.1f} | {ratio} | {same:.0%} |")
    await model.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16")
    asyncio.run(measured(parser.parse_args()))


if __name__ == "__main__":
    main()
