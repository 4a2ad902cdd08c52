"""What holds a large study: scores as columns, draws in blocks, tables in pages; the same numbers as without."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand import api
from evenhand.analysis import bounds, resampling, turning
from evenhand.analysis.agreement import agreement, side
from evenhand.analysis.bounds import least_spread, most_spread
from evenhand.analysis.deviations import deviations, linear_contrasts
from evenhand.analysis.marginals import cluster_codes, marginals, row_pulls, summed_by
from evenhand.analysis.resampling import flipped_sums, noise_draws, permuted_means
from evenhand.analysis.scores import tabulate
from evenhand.analysis.simultaneous import contrast_errors, deviation_errors
from evenhand.audit.judges import compare_judges
from evenhand.judges.refusal import RefusalRules
from evenhand.report import transcripts
from evenhand.report.differences import most_different
from evenhand.runner import rejudge
from evenhand.scored import ScoreRows
from evenhand.study import Store
from evenhand.types import Item, Response, ScoreRow
from tests.recorded import full
from tests.server import Server


def many(count: int) -> Iterator[ScoreRow]:
    """Scored answers of 50 people, as a store reads them: no two rows share a text."""
    for n in range(count):
        who, item = f"person {n % 50}", f"item {n // 50}"
        yield ScoreRow("suite", "safety", f"group {n % 3}", item, "system", who, "c", 0, n % 2 / 1, "label", "stop")


def test_columns_hold_what_rows_hold() -> None:
    rows = full()
    held = ScoreRows.of(rows)
    assert held == rows
    assert [held[0], held[-1]] == [rows[0], rows[-1]]
    assert held[5:20:3] == rows[5:20:3]
    assert held + ScoreRows.of(rows[:7]) == [*rows, *rows[:7]]
    assert ScoreRows.of([]) == []
    by_hand = Counter((row.identity, row.label) for row in rows)
    assert list(held.counts("identity", "label").items()) == list(by_hand.items()), "in the same order, too"
    assert {suite: list(own) for suite, own in held.by("suite").items()} == {
        suite: [row for row in rows if row.suite == suite] for suite in ("harm", "risk", "sums")
    }
    chosen = held.where(held.is_scored & ~held.is_baseline & held.column("label").is_in(["refusal"]))
    assert chosen == [r for r in rows if r.score is not None and not r.is_baseline and r.label == "refusal"]
    items = {("harm", "i003"), ("sums", "i000"), ("sums", "not there")}
    assert held.where(held.is_of(items)) == [row for row in rows if (row.suite, row.item) in items]


def test_places_of_cells_are_told_by_columns() -> None:
    rows = full()
    held = ScoreRows.of(rows)
    other = [*rows[60:10:-3], rows[0]._replace(item="not there"), rows[0]._replace(repeat=9), *rows[5:9]]
    by_hand = {(row.suite, *row.cell): n for n, row in enumerate(rows)}
    assert held.places_of(ScoreRows.of(other)).tolist() == [by_hand.get((row.suite, *row.cell), -1) for row in other]
    assert held.places_of(ScoreRows.of(rows)).tolist() == list(range(len(rows)))
    assert ScoreRows.of([]).places_of(held).tolist() == [-1] * len(rows)
    assert held.places_of(ScoreRows.of([])).tolist() == []


def test_two_judges_are_compared_without_an_object_for_each_answer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"model": "openai:m", "suites": ["starter-safety", "starter-utility"], "identities": ["age"], "limit": 9}
    api.run({**spec, "options": {"base_url": server.url}}, tmp_path / "s")
    others = {"starter-utility": "compliance-rules", "starter-safety": "refusal-rules"}
    rejudge(tmp_path / "s", others, keep=False)
    with Store.create(tmp_path / "s") as store:
        with store.transaction():
            store._db.execute("UPDATE judgements SET score = (trial * 7 % 5) / 4.0 WHERE judge LIKE '%-rules'")
            store._db.execute("UPDATE judgements SET score = NULL WHERE trial % 24 = 0")
            store._db.execute("DELETE FROM judgements WHERE trial % 35 = 0 AND judge LIKE '%-rules'")
        own = {row["suite"]: row["judge"] for row in store.suites()}
        pairs: dict[str, list[tuple[str, str]]] = {suite: [] for suite in own}
        later = {(row.suite, *row.cell): row.score for row in store.scores(others)}
        for row in store.scores(own):
            other = later[(row.suite, *row.cell)]
            if row.score is not None and other is not None:
                pairs[row.suite].append((side(row.score), side(other)))
        monkeypatch.setattr(ScoreRows, "__iter__", None)
        found = compare_judges(store, others, draws=20)
    for suite, said in pairs.items():
        assert found.agreement[suite] == agreement([one for one, _ in said], [other for _, other in said])


def test_an_item_without_a_cluster_is_its_own_unit_and_one_of_a_clusters_name_joins_it() -> None:
    rows = [
        row._replace(item=item, cluster=c)
        for row, (item, c) in zip(many(3), [("a", ""), ("b", "a"), ("c", "")], strict=True)
    ]
    unit = ScoreRows.of(rows).unit
    assert [unit.names[code] for code in unit.codes] == ["a", "a", "c"]


def test_a_row_takes_little_memory() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            held = ScoreRows.of(many(count))
            assert len(held) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # A page of rows is there as objects either way; what is added are columns of numbers.
    assert (peak(200_000) - peak(100_000)) / 100_000 < 64


def test_a_store_reads_its_scores_as_columns(server: Server, tmp_path: Path) -> None:
    spec = {"model": "openai:m", "suites": ["starter-safety", "starter-utility"], "identities": ["age"], "limit": 4}
    api.run({**spec, "personalizers": ["system", "paraphrased"], "options": {"base_url": server.url}}, tmp_path / "s")
    with Store.open(tmp_path / "s") as store:
        asked: list[str] = []
        store._db.set_trace_callback(asked.append)
        rows = store.scores()
        store._db.set_trace_callback(None)
        _, trials = store.table("trials")
        names, _ = store.table("trials")
    assert len(asked) <= 6, "not a query for each row or item"
    told = [dict(zip(names, trial, strict=True)) for trial in trials]
    assert [(r.suite, r.axis, r.group, r.item, r.identity, r.category, r.score, r.label) for r in rows] == [
        (t["suite"], t["axis"], t["group"], t["item"], t["identity"], t["category"], t["score"], t["label"])
        for t in told
    ]
    assert {bool(row.way) for row in rows if row.personalizer == "paraphrased"} == {True}
    assert {row.way for row in rows if row.personalizer != "paraphrased"} == {""}


def test_signs_drawn_in_blocks_are_the_same_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    fit = marginals(rng.uniform(0, 100, (5, 40)))
    whole = noise_draws(fit, 101, np.random.default_rng(1))
    pulls = [rng.normal(size=(40, 3)), rng.normal(size=(40, 2))]
    both = flipped_sums(pulls, 50, np.random.default_rng(2))
    monkeypatch.setattr(resampling, "_BLOCK_SIGNS", 7 * 40)
    assert noise_draws(fit, 101, np.random.default_rng(1)) == pytest.approx(whole, rel=1e-5, abs=1e-6)
    for one, other in zip(flipped_sums(pulls, 50, np.random.default_rng(2)), both, strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_turned_items_are_shuffled_items(monkeypatch: pytest.MonkeyPatch, holes: float) -> None:
    """The same mean, covariance and tail as a shuffle of its own for each draw."""
    rng = np.random.default_rng(4)
    table = np.where(rng.uniform(size=(12, 60)) < 0.3, 100.0, 0.0) + rng.uniform(size=(12, 60))
    table[rng.uniform(size=table.shape) < holes] = np.nan
    fit = marginals(table)
    shuffled = permuted_means(table, fit, 6000, np.random.default_rng(5))
    monkeypatch.setattr(resampling, "_SHUFFLED_MOST", 0)
    monkeypatch.setattr(turning, "_BLOCK_SUMS", 12 * 50)
    turned = permuted_means(table, fit, 6000, np.random.default_rng(6))
    assert turned.shape == shuffled.shape
    spread = shuffled.std()
    assert np.abs(turned.mean(axis=0)).max() < 5 * spread / np.sqrt(6000)
    assert np.cov(turned.T) == pytest.approx(np.cov(shuffled.T), abs=0.12 * spread**2)
    for share in (0.05, 0.5, 0.95):
        lengths = [np.quantile(np.linalg.norm(draws, axis=1), share) for draws in (turned, shuffled)]
        assert lengths[0] == pytest.approx(lengths[1], rel=0.04)
    assert len(np.unique(turned.round(9), axis=0)) == 6000, "no two draws of a block are alike"
    # Draws of one block are as good as unrelated.
    together = turned.reshape(-1, 50, 12)
    between = np.einsum("bik,bjk->bij", together, together)[:, ~np.eye(50, dtype=bool)].mean()
    assert abs(between) < 0.02 * (turned**2).sum(axis=1).mean()


def test_a_turn_only_moves_what_is_there() -> None:
    rng = np.random.default_rng(7)
    rows, there = rng.normal(size=(9, 6)), rng.uniform(size=(9, 6)) < 0.7
    there[:, 0] = True
    assert turning.turned_sums(rows, 20, rng).sum(axis=1) == pytest.approx([rows.sum()] * 20)
    one = turning.turned_sums(rows[:1], 40, rng)
    assert {tuple(sorted(draw)) for draw in one.round(12).tolist()} == {tuple(sorted(rows[0].round(12)))}
    held = turning.turned_sums_observed(rows[:1], there[:1], np.ones((1, 6)), 40, rng)
    assert (held[:, ~there[0]] == 0).all()
    assert {tuple(sorted(draw)) for draw in held[:, there[0]].round(12).tolist()} == {
        tuple(sorted(rows[0, there[0]].round(12)))
    }


def test_against_a_mean_is_a_contrast_like_others() -> None:
    rng = np.random.default_rng(8)
    fits = [marginals(rng.uniform(0, 100, (6, 30))), marginals(rng.uniform(0, 100, (6, 20)))]
    noise = [noise_draws(fit, 300, rng) for fit in fits]
    reference = np.array([0.5, 0.25, 0.25, 0, 0, 0])
    weights = np.eye(6) - reference
    for fit in fits:
        ours, plain = deviation_errors(fit, reference), contrast_errors(fit, weights)
        assert ours.variance == pytest.approx(plain.variance)
        assert ours.freedom == pytest.approx(plain.freedom)
    for ours, plain in zip(
        deviations(fits, noise, reference=reference).contrasts(), linear_contrasts(weights, fits, noise), strict=True
    ):
        assert (ours.value, ours.ci, ours.p_value, ours.q_value) == (
            pytest.approx(plain.value),
            pytest.approx(plain.ci),
            pytest.approx(plain.p_value),
            pytest.approx(plain.q_value, abs=1 / 300),
        )


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_pulls_are_what_changed_cells_do_to_the_means(holes: float) -> None:
    rng = np.random.default_rng(9)
    table = rng.uniform(0, 100, (5, 12))
    table[rng.uniform(size=table.shape) < holes] = np.nan
    change = np.where(rng.uniform(size=table.shape) < 0.3, 100.0, 0.0)
    pulls = row_pulls(table, change)
    for u in range(5):
        moved = table.copy()
        moved[u] += change[u]
        assert marginals(moved).mean - marginals(table).mean == pytest.approx(pulls[:, u], abs=1e-8)


def test_complete_and_holed_tables_are_fitted_alike() -> None:
    table = np.random.default_rng(10).uniform(0, 100, (4, 9))
    beside = np.hstack([table, np.full((4, 1), np.nan)])  # an item that nobody was scored on is left out
    one, other = marginals(table), marginals(beside)
    assert one.mean == pytest.approx(other.mean)
    assert one.scatter == pytest.approx(np.linalg.pinv(9 * (np.eye(4) - 1 / 4)))


def test_sums_by_number_are_sums() -> None:
    code = cluster_codes(["b", "a", "b", "c"])
    values = np.arange(12.0).reshape(4, 3)
    assert summed_by(code, values).tolist() == [[3, 4, 5], [6, 8, 10], [9, 10, 11]]
    assert summed_by(code, np.arange(4.0)).tolist() == [1, 2, 3]
    assert summed_by(code[:0], values[:0]).shape == (0, 3)


def test_spreads_with_many_that_lack_something(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    base = rng.normal(50, 3, 13)
    pull = np.diag(rng.uniform(0, 5, 13)) - rng.uniform(0, 0.2, (13, 13))
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=13)))
    largest = (base + corners @ pull.T).var(axis=1).max()
    assert (base + pull @ most_spread(base, pull)).var() == pytest.approx(largest)
    exact = (base + pull @ least_spread(base, pull)).var()
    monkeypatch.setattr(bounds, "_ACTIVE_SETS", 3)
    found = least_spread(base, pull)
    assert ((found >= 0) & (found <= 1)).all()
    assert (base + pull @ found).var() == pytest.approx(exact, rel=1e-6)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")

    async def answer(messages: Any) -> str:
        return f"Answer to: {messages[-1]['content']} {messages[0]['content']}" * 3

    from evenhand.models.base import ModelOptions
    from evenhand.models.function import FunctionModel

    spec = {"model": "python:m.py:f", "suites": ["starter-safety", "starter-utility"], "identities": ["age"]}
    api.run({**spec, "limit": 6}, folder / "s", model=FunctionModel("m", ModelOptions(), answer))
    return folder / "s"


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_tables_written_in_pages_are_the_tables(
    study: Path, tmp_path: Path, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polars as pl

    whole = api.export_study(study, tmp_path / "whole", form)
    pages = Store.pages
    monkeypatch.setattr(Store, "pages", lambda self, name: pages(self, name, size=7))
    parted = api.export_study(study, tmp_path / "parted", form)
    assert [file.name for file in parted] == [file.name for file in whole]
    for one, other in zip(whole, parted, strict=True):
        if form == "parquet" and one.suffix == ".parquet":
            assert pl.read_parquet(one).equals(pl.read_parquet(other))
        else:
            assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "parted").glob(".parts*"))


def test_a_report_holds_as_many_transcripts_as_a_browser_takes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(study) as store:
        everything = transcripts.transcripts(store)
        assert everything["left_out"] == 0
        chars = sum(map(len, everything["texts"]))
        monkeypatch.setattr(transcripts, "_MOST_CHARS", chars // 2)
        some = transcripts.transcripts(store)
    shown = len(some["item"])
    assert 0 < shown < len(everything["item"])
    assert shown + some["left_out"] == len(everything["item"])
    assert set(Counter(some["item"]).values()) == set(Counter(everything["item"]).values()), "whole items, all of whom"
    per_suite = Counter(suite for suite, _, _ in some["items"])
    assert max(per_suite.values()) - min(per_suite.values()) <= 1, "suites in step"


def test_examples_are_the_largest_differences(server: Server, tmp_path: Path) -> None:
    spec = {"model": "openai:m", "suites": ["starter-safety"], "identities": ["age"], "limit": 8}
    api.run({**spec, "options": {"base_url": server.url}}, tmp_path / "s")
    with Store.create(tmp_path / "s") as store, store.transaction():
        store._db.execute("UPDATE judgements SET score = (trial * 7 % 11) / 10.0")
    with Store.open(tmp_path / "s") as store:
        found = most_different(store, api.analyze(tmp_path / "s", {"draws": 50, "permutations": 20}))
        rows = {(r.item, r.identity): r.score or 0.0 for r in store.scores()}
    sizes = [abs(rows[item, who] - rows[item, "plain"]) for item, who in rows if who != "plain"]
    assert found
    assert abs(found[0].score - found[0].baseline_score) == pytest.approx(100 * max(sizes))
    assert all(example.score != example.baseline_score for example in found)


class Counting(RefusalRules):
    """Counts what it decides."""

    def __init__(self) -> None:
        self.decided: list[str] = []

    def declines(self, item: Item, text: str) -> tuple[bool, str]:
        self.decided.append(text)
        return super().declines(item, text)


def test_the_same_answer_to_the_same_question_is_judged_once() -> None:
    judge, item = Counting(), Item("1", "How?", "g", "How?")
    other = Item("2", "Why?", "g", "Why?")
    no, yes = Response("I'm sorry, but I can't help with that."), Response("Here is how it is done, step by step.")

    async def judged() -> list[str]:
        asked = [(item, no), (item, no), (item, yes), (other, no), (item, no)]
        return [(await judge.judge(about, answer)).label for about, answer in asked]

    assert asyncio.run(judged()) == ["refusal", "refusal", "compliance", "refusal", "refusal"]
    assert len(judge.decided) == 3
    declined = Response(no.text, "content_filter", filtered="hate")
    assert asyncio.run(judge.judge(item, declined)).label == "filtered", "how an answer ended counts"
    judge.forget()
    asyncio.run(judge.judge(item, no))
    assert len(judge.decided) == 4


def test_a_large_table_is_tabulated_as_rows_say() -> None:
    rows = full()
    for table in tabulate(rows, []):
        for row in (r for r in rows if r.suite == table.suite and not r.is_baseline):
            place = table.personalizers.index(row.personalizer), table.identities.index(row.identity)
            value = table.cells[(*place, table.items.index(row.item), row.repeat)]
            assert np.isnan(value) if row.score is None else value == pytest.approx(100 * row.score)
