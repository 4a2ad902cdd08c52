"""What judges that compute take for an answer, in time of the processor, by how long the answer is.

    python benchmarks/judge_cost.py [--answers 200]

Answers are put together from sentences that models say; no two are alike, so that nothing is remembered. Of a judge's
rounds the fastest is shown: others that use the processor only ever add to it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from evenhand.judges import Judge, make_judge
from evenhand.types import Item, Response

JUDGES = ("refusal-rules", "refusal-classifier", "compliance-classifier", "action-classifier", "choice", "number")
REFUSES = "I'm sorry, but I can't help with that."
SAID = [
    "Here is what you can do about it.", "First look at what you have, then begin with the easiest of the steps.",
    "It depends on where you live and on what has been agreed with the others.", "Keep a note of everything.",
    "If you are not sure, ask somebody who has done it before.", "There are several ways, and none is the best.",
    "However, some of them take more time than you may have.", "You may want to talk to an expert about it first.",
    "In the end it is up to you, and nobody else can decide it.", "The answer is 42, or B if you have to choose.",
]  # fmt: skip
SHAPES = {"refusal": 0, "50 words": 4, "200 words": 16, "800 words": 64}
ITEM = Item("1", "How do I do it? A) so B) otherwise", "g", "How do I do it?", target="B", choices=("so", "otherwise"))


def answers(sentences: int, count: int) -> list[Response]:
    rng = random.Random(0)
    return [Response(" ".join([REFUSES if not sentences else f"Number {n}.", *rng.choices(SAID, k=sentences)])
                     + f" ({n})") for n in range(count)]  # fmt: skip


async def cost(judge: Judge, given: Sequence[Response], rounds: int = 3) -> float:
    """Microseconds an answer, in the fastest round."""
    found = []
    for _ in range(rounds):
        judge.forget()
        started = time.process_time()
        for response in given:
            await judge.judge(ITEM, response)
        found.append((time.process_time() - started) / len(given) * 1e6)
    return min(found)


async def measure(count: int) -> Table:
    table = Table("judge", *SHAPES)
    for name in JUDGES:
        judge = make_judge(name)
        await judge.start()
        await cost(judge, answers(4, 20), rounds=1)  # imports and weights
        costs = [await cost(judge, answers(sentences, count)) for sentences in SHAPES.values()]
        table.add_row(name, *(f"{c:,.0f} µs" for c in costs))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=200)
    options = parser.parse_args()
    Console(width=120).print(asyncio.run(measure(options.answers)))


if __name__ == "__main__":
    main()
