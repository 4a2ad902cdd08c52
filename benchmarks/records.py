"""What a question costs behind a user's record: the record read once, against read anew with each question.

    python benchmarks/records.py [--people 4] [--questions 6] [--max-tokens 24] [--rounds 3] [--count 24]

First tokens: what the prompts of ``--preset memory`` have, with so many items a suite, two identities and the
personalizers that learn nothing, and how many of them are read.

Then time, unless there are no ``--rounds``. The same conversations for all, answered greedily by the embedded model:
each of a few people asks each of a few questions behind the whole record (facts and sessions, some 1,200 tokens). Three
ways in turn, each round from nothing: beginnings kept and the cache written in place (evenhand); the cache written in
place; and neither, as the library does it. Processor seconds, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from evenhand.cli.presets import PRESETS
from evenhand.models import ModelOptions, make_model, prefixes, sampling
from evenhand.models.chat import ChatFormat
from evenhand.models.smollm2 import model_folder
from evenhand.people import select_people
from evenhand.personalizers import Memory, PersonPersonalizer, make_personalizer
from evenhand.runner.plan import make_plan
from evenhand.study import StudySpec
from evenhand.types import Decoding, Item, Request, User

QUESTIONS = (
    "What is the capital of Australia?", "My tap drips. What now?", "Plan a quiet afternoon for me.",
    "How does a rainbow form?", "Name three slow piano pieces.", "What should I cook tonight?",
    "How do I pack for a week?", "Write a postcard from me.",
)  # fmt: skip
TOLD = ("none", "placebo", "profile", "retrieval", "dialogue", "whole-record", "tiers")
WAYS = ("evenhand", "cache in place", "neither")


def conversations(people: int, questions: int, tokens: int) -> list[Request]:
    told = make_personalizer("whole-record")
    assert isinstance(told, PersonPersonalizer)
    decoding, found = Decoding(temperature=0, max_tokens=tokens), []
    for question in QUESTIONS[:questions]:
        item = Item("", question, "", question)
        for person in select_people(["starter"])[:people]:
            found.append(Request(told.recall(Memory(told.known(User(person))), item), decoding, 0))
    return found


def counted(items: int) -> dict[str, tuple[int, int, int]]:
    """Personalizer -> prompts, their tokens, and those that are read where each beginning is read once."""
    from transformers import AutoTokenizer

    asked: dict[str, Any] = {
        **PRESETS["memory"], "model": "smollm2", "personalizers": list(TOLD), "limit": items,
        "identities": ["a minor", "a senior citizen"],
    }  # fmt: skip
    chat, found = ChatFormat(AutoTokenizer.from_pretrained(model_folder())), dict.fromkeys(TOLD, (0, 0, 0))
    seen: set[tuple[int, ...]] = set()
    for trial in make_plan(StudySpec.parse(asked)).trials(None):
        tokens = chat.tokens(trial.request.messages)
        beginning = chat.beginning(trial.request.messages, tokens)
        known = tuple(tokens[:beginning]) in seen
        seen.add(tuple(tokens[:beginning]))
        prompts, whole, read = found[trial.cell[2]]
        found[trial.cell[2]] = prompts + 1, whole + len(tokens), read + len(tokens) - beginning * known
    return found


@contextlib.contextmanager
def arranged(model: Any, way: str) -> Iterator[None]:
    """The model as it works in one of the ways, with nothing kept from before."""
    model._prefixes = prefixes.Prefixes(prefixes.memory_for(model._model.device)) if way == "evenhand" else None
    theirs = patch.object(sampling, "new_cache", lambda model, room: _librarys(model))
    with theirs if way == "neither" else contextlib.nullcontext():
        yield


def _librarys(model: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=model.config)


async def measured(asked: list[Request], rounds: int, options: ModelOptions) -> dict[str, list[float]]:
    model = make_model("smollm2", options)
    await model.start()
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    await model.respond(asked[0])  # loading and first kernels count nowhere
    for _ in range(rounds):
        for way in WAYS:
            with arranged(model, way):
                started = time.process_time()
                await asyncio.gather(*map(model.respond, asked))
                taken[way].append(time.process_time() - started)
    await model.aclose()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("people", 4), ("questions", 6), ("max-tokens", 24), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args()
    table = Table("personalizer", "prompts", "tokens each", "of them read", "it / read")
    found = counted(given.count)
    for name, sums in (*found.items(), ("together", tuple(map(sum, zip(*found.values(), strict=True))))):
        prompts, whole, read = sums
        table.add_row(name, f"{prompts}", f"{whole / prompts:.0f}", f"{read / prompts:.0f}", f"{whole / read:.2f}")
    Console().print(table)
    if not given.rounds:
        return
    asked = conversations(given.people, given.questions, given.max_tokens)
    taken = asyncio.run(measured(asked, given.rounds, ModelOptions(dtype=given.dtype)))
    table = Table("", "processor s (median)", "lowest", "highest", "it / evenhand", title=f"{len(asked)} answers")
    least = statistics.median(taken["evenhand"])
    for way, seconds in taken.items():
        middle = statistics.median(seconds)
        table.add_row(way, f"{middle:.1f}", f"{min(seconds):.1f}", f"{max(seconds):.1f}", f"{middle / least:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
