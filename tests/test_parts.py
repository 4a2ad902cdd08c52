"""Answers that take several calls: what was answered is not asked again, whatever became of the rest."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import evenhand
from evenhand.errors import EvenhandError
from evenhand.models import CallError, Model
from evenhand.study import Store
from evenhand.types import Request, Response
from tests.test_rerank import Words

assert Words.name == "test-words"  # it registers itself

PAID = Response("Tea.", prompt_tokens=10, completion_tokens=3, cached_tokens=2)


class Fragile(Model):
    """Fails at some of its calls, counted from 1, and counts what it answered."""

    id = "fragile"
    concurrency = 2

    def __init__(self, fails: frozenset[int] = frozenset(), dies: bool = False) -> None:
        self.fails, self.dies = fails, dies
        self.calls = 0
        self.answered = Counter[tuple[object, ...]]()

    async def respond(self, request: Request) -> Response:
        self.calls += 1
        if self.calls in self.fails:
            raise KeyboardInterrupt if self.dies else CallError("HTTP 500")
        self.answered[request.messages, request.seed] += 1
        return PAID


def study(mitigation: str = "self-check", **more: object) -> dict[str, object]:
    return {
        "model": "function:fragile", "suites": ["starter-safety"], "identities": ["a minor", "an adult"], "limit": 3,
        "baselines": ["plain"], "mitigation": mitigation, **more,
    }  # fmt: skip


def parts(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "study.sqlite")) as store:
        return int(store.execute("SELECT count(*) FROM parts").fetchone()[0])


def totals(directory: Path) -> dict[str, float]:
    with Store.open(directory) as store:
        return store.totals()


@pytest.mark.parametrize("mitigation", ["self-check", "two-pass", "self-check+two-pass", "ensemble:2"])
def test_calls_of_answers_that_failed_are_not_made_again(mitigation: str, tmp_path: Path) -> None:
    calm, fragile = Fragile(), Fragile(frozenset({3, 4, 8}))
    evenhand.run(study(mitigation), tmp_path / "calm", model=calm)
    first = evenhand.run(study(mitigation), tmp_path / "study", model=fragile)
    assert first.failed
    assert parts(tmp_path / "study") or first.answered == fragile.answered.total()
    assert totals(tmp_path / "study")["calls"] == fragile.answered.total()
    second = evenhand.run(study(mitigation), tmp_path / "study", model=fragile)
    assert (second.failed, second.answered) == (0, 9)
    assert fragile.answered == calm.answered
    assert parts(tmp_path / "study") == 0
    assert totals(tmp_path / "study") == totals(tmp_path / "calm")


def test_calls_before_a_death_are_not_made_again(tmp_path: Path) -> None:
    calm, fragile = Fragile(), Fragile(frozenset({6}), dies=True)
    evenhand.run(study(), tmp_path / "calm", model=calm)
    with pytest.raises(KeyboardInterrupt):
        evenhand.run(study(), tmp_path / "study", model=fragile)
    evenhand.run(study(), tmp_path / "study", model=fragile)
    # What the other worker had been answered when this one died may not have been written.
    assert calm.answered.total() <= fragile.answered.total() <= calm.answered.total() + 1
    assert totals(tmp_path / "study") == totals(tmp_path / "calm")


def test_the_best_of_four_answers_keeps_each_of_them(tmp_path: Path) -> None:
    asked = study("none", people=["starter"], personalizers=["logistic-rerank:test-words"], baselines=[])
    asked["decoding"] = {"temperature": 1.0}
    calm, fragile = Fragile(), Fragile(frozenset({2, 7}))
    evenhand.run(asked, tmp_path / "calm", model=calm)
    assert (max(calm.answered.values()), calm.answered.total()) == (1, 4 * 6)
    assert evenhand.run(asked, tmp_path / "study", model=fragile).failed
    evenhand.run(asked, tmp_path / "study", model=fragile)
    assert fragile.answered == calm.answered


def test_a_budget_counts_each_call_once(tmp_path: Path) -> None:
    fragile = Fragile(frozenset({3, 4}))
    priced = study(budget={"price_in": 1.0, "price_out": 1.0})
    evenhand.run(priced, tmp_path / "study", model=fragile)
    done = evenhand.run(priced, tmp_path / "study", model=fragile)
    assert done.cost == pytest.approx(fragile.answered.total() * 13 / 1e6)
    assert done.cached_tokens == fragile.answered.total() * 2


def test_one_call_an_answer_is_kept_once(tmp_path: Path) -> None:
    evenhand.run(study("defense:fairness"), tmp_path / "study", model=Fragile())
    assert parts(tmp_path / "study") == 0
    with Store.open(tmp_path / "study") as store:
        assert store.parts() == {}


def test_a_higher_limit_asks_anew(tmp_path: Path) -> None:
    fragile = Fragile(frozenset({2, 3, 4}))
    evenhand.run(study(decoding={"max_tokens": 8}), tmp_path / "study", model=fragile)
    before = fragile.answered.total()
    held = parts(tmp_path / "study")
    evenhand.run(study(decoding={"max_tokens": 16}), tmp_path / "study", model=fragile)
    assert held and fragile.answered.total() > before
    assert parts(tmp_path / "study") == 0


def test_a_study_that_can_be_read_only_tells_what_was_paid(tmp_path: Path) -> None:
    evenhand.run(study(), tmp_path / "study", model=Fragile(frozenset({4})))
    told = totals(tmp_path / "study")
    (tmp_path / "study" / "study.sqlite").chmod(0o400)
    assert totals(tmp_path / "study") == told
    with pytest.raises(EvenhandError):
        Store.open(tmp_path / "nothing")
