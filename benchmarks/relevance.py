"""How well the fact that matters is found: the ways of relevance on the questions of ``should-differ``.

python benchmarks/relevance.py --model smollm2 --encoder use

Each question comes with the one fact that its answer depends on among four to six others. Prints how often that fact is
ranked first, and among three: by log-odds against empty questions, by plain probability, by meaning, by words; and how
often it, and any other, is more probable than 0.5, so that a gate of that threshold would tell it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence

import numpy as np

from evenhand.embeddings import Vectors, make_encoder
from evenhand.models import Model, make_model
from evenhand.personalizers.relevance import ByMeaning, ByModel, ByWords, Known, Relevance, clause
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Item, Request, Response


class Plain(ByModel):
    """The paper's: the probability of the clause, without what it is behind any question."""

    async def log_odds(self, questions: Sequence[str], known: Sequence[Known]) -> list[list[float]]:
        self._before |= {one.clause: 0.0 for one in known}
        return await super().log_odds(questions, known)


class Counting(Model):
    """Counts the calls of a model."""

    def __init__(self, model: Model) -> None:
        self.model, self.id, self.scores_texts, self.calls = model, model.id, model.scores_texts, 0

    async def respond(self, request: Request) -> Response:
        self.calls += 1
        return await self.model.respond(request)


def asked() -> Iterator[tuple[str, list[str], int]]:
    """Each question, the facts of its person, and the place of the one that matters."""
    (suite,) = make_suites(["should-differ"])
    items: dict[str, Item] = {item.id: item for item in load_suite(suite, DataSource()).items}
    for name, item in items.items():
        if not name.endswith("-with") or item.person is None:
            continue
        twin = items[f"{item.cluster}-without"].person
        facts = [fact.text for fact in item.person.facts]
        assert twin is not None
        yield item.question, facts, next(n for n, f in enumerate(twin.facts) if f.text != facts[n])


async def rank(relevance: Relevance, question: str, facts: Sequence[str], place: int) -> tuple[float, bool, float]:
    """The rank of the fact that matters, from 1 (the mean of those it shares); whether its odds are positive, and those
    of what share of the others."""
    known = [Known(clause(text), text, text) for text in facts]
    ((*odds,),) = await relevance.log_odds([question], known)
    found = np.array(odds)
    ranked = 1 + float((found > found[place]).sum() + ((found == found[place]).sum() - 1) / 2)
    return ranked, bool(found[place] > 0), float((np.delete(found, place) > 0).mean())


async def measured(model: str, encoder: str) -> None:
    questions = list(asked())
    counting = Counting(make_model(model))
    await counting.model.start()
    vectors = Vectors(make_encoder(encoder))
    ways: dict[str, Relevance] = {
        "log-odds against empty questions": ByModel(counting),
        "probability": Plain(counting),
        f"meaning ({encoder})": ByMeaning(vectors),
        "words": ByWords(),
    }
    columns = ("ranked by", "first", "among three", "mean rank", "told at 0.5", "others told", "calls")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name, way in ways.items():
        before = counting.calls
        found = np.array(await asyncio.gather(*(rank(way, *one) for one in questions)), dtype=float)
        ranks, needed, others = found.T
        shares = f"{(ranks == 1).mean():.0%} | {(ranks <= 3).mean():.0%} | {ranks.mean():.2f}"
        shares += f" | {needed.mean():.0%} | {others.mean():.0%}"
        print(f"| {name} | {shares} | {counting.calls - before} |")
    counts = np.array([len(facts) for _, facts, _ in questions])
    first, three, middle = (1 / counts).mean(), (3 / counts).mean(), ((counts + 1) / 2).mean()
    print(f"| chance | {first:.0%} | {three:.0%} | {middle:.2f} |  |  | 0 |")
    await counting.model.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--encoder", default="use")
    options = parser.parse_args()
    asyncio.run(measured(options.model, options.encoder))


if __name__ == "__main__":
    main()
