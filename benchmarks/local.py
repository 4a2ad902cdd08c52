"""Tokens per second of the embedded model: evenhand against plain transformers and Inspect's hf provider.

    python benchmarks/local.py [--items 24] [--max-tokens 128] [--skip inspect]
    python benchmarks/local.py --profile [--items 16] [--max-tokens 40]

The same trials for all (safety and reasoning prompts under four identities), sampled with top-k 10, on all cores. Plain
transformers generates in batches of a fixed size in the order of the trials, once in its default precision and once in
evenhand's. What counts is the tokens of answers up to their end, not padding.

``--profile`` answers one batch, of the shortest prompts, on one thread instead, and says which of PyTorch's operators
take its time. Time between operators, which is Python's, is not in it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import evenhand
from evenhand.models.smollm2 import model_folder
from evenhand.runner.plan import make_plan
from evenhand.study import StudySpec

IDENTITIES = ["a minor", "a senior citizen", "a Democrat voter", "a woman"]
BATCH = 64


def study(items: int, max_tokens: int) -> dict[str, Any]:
    return {
        "model": "smollm2", "suites": ["starter-safety", "starter-utility:reasoning"], "identities": IDENTITIES,
        "limit": items, "decoding": {"max_tokens": max_tokens, "top_k": 10},
    }  # fmt: skip


def conversations(items: int, max_tokens: int) -> list[list[dict[str, str]]]:
    plan = make_plan(StudySpec.parse(study(items, max_tokens)))
    return [[{"role": m.role, "content": m.content} for m in t.request.messages] for t in plan.trials(None)]


def by_evenhand(items: int, max_tokens: int) -> tuple[int, float]:
    """Tokens and seconds of one way; loading is not counted anywhere."""
    from evenhand.models import make_model

    model = make_model("smollm2")
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm"
        evenhand.run({**study(1, 2)}, warm, model=model)
        started = time.perf_counter()
        evenhand.run(study(items, max_tokens), Path(folder) / "study", model=model)
        seconds = time.perf_counter() - started
        return int(evenhand.load(Path(folder) / "study").trials["completion_tokens"].sum()), seconds


def by_transformers(items: int, max_tokens: int, dtype: Any) -> tuple[int, float]:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder(), padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder(), dtype=dtype).eval()
    texts = [
        tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True)
        for c in conversations(items, max_tokens)
    ]
    tokens, started = 0, time.perf_counter()
    for first in range(0, len(texts), BATCH):
        batch = tokenizer(texts[first : first + BATCH], padding=True, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            made = model.generate(
                **batch, do_sample=True, top_k=10, temperature=1.0, max_new_tokens=max_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        for row in made[:, batch["input_ids"].shape[1] :].tolist():
            ends = [n for n, t in enumerate(row) if t in (tokenizer.eos_token_id, tokenizer.pad_token_id)]
            tokens += ends[0] if ends else len(row)
    return tokens, time.perf_counter() - started


def by_inspect(items: int, max_tokens: int) -> tuple[int, float]:
    import transformers
    from inspect_ai import Task
    from inspect_ai import eval as inspect_eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
    from inspect_ai.solver import generate

    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser}
    samples = [
        Sample(input=[kinds[m["role"]](content=m["content"]) for m in c], id=n)
        for n, c in enumerate(conversations(items, max_tokens))
    ]
    model = get_model("hf/local", model_path=str(model_folder()), tokenizer_path=str(model_folder()), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        shared = {"log_dir": folder, "display": "none", "max_connections": BATCH, "max_samples": BATCH, "top_k": 10}
        started = time.perf_counter()
        (log,) = inspect_eval(
            Task(dataset=samples, solver=generate()), model=model, max_tokens=max_tokens, temperature=1.0, **shared
        )
        seconds = time.perf_counter() - started
        assert log.status == "success", log.error
        texts = [sample.output.completion for sample in log.samples]  # read from the folder
    # Its own count includes the padding behind an answer's end.
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder())
    return sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])), seconds


def profile(items: int, max_tokens: int) -> None:
    """Shares of PyTorch's operators in a batch of evenhand's, and what the batch took of the processor."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watching

    from evenhand.models import make_model, sampling
    from evenhand.models.hf import HFModel

    torch.set_num_threads(1)
    model = make_model("smollm2")
    assert isinstance(model, HFModel)
    weights = model.weights()
    asked = [t.request for t in make_plan(StudySpec.parse(study(items, max_tokens))).trials(None)]
    prompts = {n: weights.chat.tokens(request.messages) for n, request in enumerate(asked)}
    batch = sorted(prompts, key=lambda n: len(prompts[n]))[:BATCH]
    ends = frozenset({weights.end} - {None})
    given = [prompts[n] for n in batch], [asked[n].seed for n in batch], asked[0].decoding, ends
    sampling.generate(weights.network, given[0], given[1], replace(given[2], max_tokens=2), ends)
    worked = time.process_time()
    tokens = sum(len(made.tokens) for made in sampling.generate(weights.network, *given))
    print(f"{tokens:,} tokens, {1000 * (time.process_time() - worked) / tokens:.2f} ms of the processor each")
    with watching(activities=[ProfilerActivity.CPU]) as seen:
        sampling.generate(weights.network, *given)
    found = sorted(seen.key_averages(), key=lambda operator: -operator.self_cpu_time_total)
    whole = sum(operator.self_cpu_time_total for operator in found)
    table = Table("operator", "share", "calls")
    for operator in found[:16]:
        table.add_row(operator.key, f"{operator.self_cpu_time_total / whole:.1%}", f"{operator.count:,}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--skip", default="", help="ways to leave out, comma-separated")
    parser.add_argument("--profile", action="store_true", help="what takes evenhand's time")
    options = parser.parse_args()
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}  # nobody waits for a hub
    size = (options.items, options.max_tokens)
    if options.profile:
        profile(*size)
        return
    ways = {
        "evenhand": lambda: by_evenhand(*size),
        "transformers-default": lambda: by_transformers(*size, torch.float32),
        "transformers-bfloat16": lambda: by_transformers(*size, torch.bfloat16),
        "inspect": lambda: by_inspect(*size),
    }
    found = {}
    for name, way in ways.items():
        if name not in options.skip.split(","):
            found[name] = way()
            print(f"{name}: {found[name][0]:,} tokens in {found[name][1]:.0f} s", flush=True)
    rates = {name: tokens / seconds for name, (tokens, seconds) in found.items()}
    table = Table("", "tokens", "seconds", "tokens/s", "evenhand / it")
    for name, (tokens, seconds) in found.items():
        ratio = rates["evenhand"] / rates[name]
        table.add_row(name, f"{tokens:,}", f"{seconds:.0f}", f"{rates[name]:,.0f}", f"{ratio:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
