"""What is counted over all answers without looking at each is what looking at each one says."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand.runner.plan import make_plan
from evenhand.study import Store, StudySpec
from evenhand.study.labelling import draw_for_browser, draw_sample, read_sample
from evenhand.study.rows import judgement_row, trial_row
from evenhand.types import Decoding, Message, Request, Response, Verdict
from tests.server import Server

SUITES = {"a": "rules", "b": "rules", "c": "model", "d": "never"}
WHO = {"plain": "baseline", "a man": "gender", "a woman": "gender"}
CELL = ("suite", "item", "personalizer", "identity", "repeat")
REQUEST = Request((Message("user", "?"),), Decoding(), 1)


@pytest.fixture(params=range(4))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store in which nothing is as it should be: judges that several suites share or that judge one of another, of
    several versions; answers without a judgement, without a score, without an identity that the study knows; failures
    again and again, of cells that are answered by now."""
    rng = random.Random(request.param)
    with Store.create(tmp_path / "s") as made, made.transaction():
        for suite, judge in SUITES.items():
            made._db.execute("INSERT INTO suites VALUES (?, 'safety', ?, 'own', 9)", (suite, judge))
        for n, (name, category) in enumerate(WHO.items()):
            made._db.execute("INSERT INTO identities VALUES (?, ?, ?, '[]')", (name, category, n))
        cells = [
            (suite, f"q{n}", told, who, repeat)
            for suite in ("a", "b", "c")
            for n in range(5)
            for told in (["system", "none", "late"] if request.param else ["system"])
            for who in [*WHO, "nobody"]
            for repeat in range(2)
        ]
        rng.shuffle(cells)
        cells.sort(key=lambda cell: cell[2] == "late")
        versions = ["1", "2"] if request.param > 1 else ["1"]
        for cell in cells:
            if rng.random() < 0.3:
                made.add_failures([(*cell, 1, rng.choice("xyz"), 0.0)] * rng.randint(1, 2))
            if rng.random() < 0.2:
                continue
            number = made.new_trial_id()
            made.add_trials([trial_row(number, cell, 1, REQUEST, b"[]", Response(f"answer {number}"))])
            for judge in ("rules", "model", "rules#more"):
                if rng.random() < 0.6:
                    verdict = Verdict(rng.choice([None, 0.0, 1.0]), rng.choice(["cut", "empty", "fine"]), "")
                    made.add_judgements([judgement_row(number, judge, rng.choice(versions), verdict)])
            if rng.random() < 0.1:
                made.annotate(number, "anna", "good", 1.0, at=0.0)
        yield made


def table(store: Store, name: str) -> list[dict[str, Any]]:
    cursor = store._db.execute(
        f"SELECT rowid AS place, * FROM {name}" if name == "failures" else f"SELECT * FROM {name}"
    )
    return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor]


def own_judgements(store: Store) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Answers with what the judge of their suite said."""
    said = {(row["trial"], row["judge"]): row for row in table(store, "judgements")}
    trials = [(trial, said.get((trial["id"], SUITES[trial["suite"]]))) for trial in table(store, "trials")]
    return [(trial, own) for trial, own in trials if own]


def test_counts_of_answers(store: Store) -> None:
    trials, own = table(store, "trials"), own_judgements(store)
    versions = defaultdict(set)
    for trial, judged in own:
        versions[trial["suite"]].add(judged["version"])
    assert store.judge_versions() == {suite: sorted(found) for suite, found in versions.items()}
    every = Counter(trial["suite"] for trial in trials)
    without = Counter(t["suite"] for t, j in own if j["label"] in ("cut", "empty", "truncated"))
    assert store.count_unanswered() == {suite: (without[suite], n) for suite, n in every.items()}
    unscored: dict[Any, Counter[Any]] = defaultdict(Counter)
    for trial, judged in own:
        if judged["score"] is None:
            unscored[trial["suite"], judged["judge"]][trial["identity"], judged["label"]] += 1
    assert store.count_unscored() == unscored
    assert store.count_scored() == sum(judged["score"] is not None for _, judged in own)


def test_failed_cells(store: Store) -> None:
    answered = {tuple(trial[name] for name in CELL) for trial in table(store, "trials")}
    failed = [row for row in table(store, "failures") if tuple(row[name] for name in CELL) not in answered]
    assert store.count_failed() == len({tuple(row[name] for name in CELL) for row in failed})
    assert store.failure_reasons() == Counter(row["error"] for row in failed)


def test_personalizers_by_their_first_answer(store: Store) -> None:
    first: dict[str, int] = {}
    for trial in sorted(table(store, "trials"), key=lambda row: row["id"]):
        category = WHO.get(trial["identity"])
        if category and (trial["personalizer"] != "none" or category != "baseline"):
            first.setdefault(trial["personalizer"], trial["id"])
    assert store.personalizers() == list(first)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_waits_for_a_judge_comes_in_pages_though_judged_meanwhile(store: Store, size: int) -> None:
    judged = {row["trial"] for row in table(store, "judgements") if (row["judge"], row["version"]) == ("rules", "1")}
    waiting = [t for t in sorted(table(store, "trials"), key=lambda t: t["id"]) if t["suite"] == "a"]
    waiting = [trial for trial in waiting if trial["id"] not in judged]
    assert waiting and store.count_unjudged("a", "rules", "1") == len(waiting)
    pages = []
    for page in store.unjudged("a", "rules", "1", size=size):
        pages.append(page)
        # Every other one fails, and is not met again in this round.
        rows = [judgement_row(row["id"], "rules", "1", Verdict(1.0, "fine", "")) for row in page[::2]]
        store.add_judgements(rows)
    assert {len(page) for page in pages[:-1]} <= {size}
    found = [row for page in pages for row in page]
    assert [(row["id"], row["item"], row["response"]) for row in found] == [
        (trial["id"], trial["item"], trial["response"]) for trial in waiting
    ]
    left = sum(1 for page in pages for n, _ in enumerate(page) if n % 2)
    assert store.count_unjudged("a", "rules", "1") == left


def test_a_draw_for_people_is_the_draw_of_the_list_itself(store: Store, tmp_path: Path) -> None:
    labelled = {row["trial"] for row in table(store, "labels")}
    open_ = [t for t in sorted(table(store, "trials"), key=lambda t: t["id"]) if t["suite"] == "b"]
    open_ = [trial for trial in open_ if trial["id"] not in labelled]
    assert store.unlabelled("b").tolist() == [trial["id"] for trial in open_]
    drawn = random.Random("3 b").sample([trial["id"] for trial in open_], 6)
    store._db.execute("DELETE FROM drawn")
    store._db.execute("DELETE FROM annotations")
    draw_for_browser(store, 6, suite="b", seed=3)
    assert [trial for trial, *_ in store.drawn()] == drawn
    texts = {trial["id"]: (trial["item"], trial["response"]) for trial in open_}
    assert store.responses(drawn) == [(number, *texts[number]) for number in drawn]
    assert store.suites_of([*drawn, -1, 10**15]) == dict.fromkeys(drawn, "b")


def test_a_sample_is_read_back_by_number(server: Server, tmp_path: Path) -> None:
    import evenhand

    evenhand.run(
        {
            "model": "openai:m", "suites": ["starter-safety"], "identities": ["a man"], "limit": 6,
            "options": {"base_url": server.url},
        },
        tmp_path / "s",
    )  # fmt: skip
    with Store.create(tmp_path / "s") as store:
        assert draw_sample(store, tmp_path / "s.csv", 4) == 4
        lines = (tmp_path / "s.csv").read_text().splitlines()
        (tmp_path / "s.csv").write_text("\n".join([lines[0], *(f"{line}refusal" for line in lines[1:])]))
        assert read_sample(store, tmp_path / "s.csv", "anna") == 4
        numbers = [int(line.split(",")[0]) for line in lines[1:]]
        assert sorted(trial for trial, *_ in store.annotations()) == sorted(numbers)
        assert not np.isin(store.unlabelled("starter-safety"), numbers).any()


def test_done_items_are_counted_whole_and_asked_nothing(server: Server, tmp_path: Path) -> None:
    import evenhand

    given = {
        "model": "openai:m", "suites": ["starter-safety", "starter-utility"], "identities": ["a man", "a woman"],
        "limit": 5, "repeats": 2, "options": {"base_url": server.url},
    }  # fmt: skip
    evenhand.run(given, tmp_path / "s")
    grown = make_plan(StudySpec.parse({**given, "limit": 6, "repeats": 3}))
    smaller = make_plan(StudySpec.parse({**given, "identities": ["a man"], "repeats": 1}))
    with Store.create(tmp_path / "s") as store:
        with store.transaction():
            store._db.execute("DELETE FROM trials WHERE id % 5 = 0")
        there = {tuple(row[name] for name in CELL) for row in table(store, "trials")}
        for plan in (make_plan(StudySpec.parse(given)), grown, smaller):
            asked = {trial.cell for trial in plan.trials(None)}
            by_hand = Counter((suite, who) for suite, _, _, who, _ in asked & there)
            assert plan.done(plan.answered(store)) == by_hand
            assert {trial.cell for trial in plan.trials(plan.answered(store))} == asked - there


def test_only_items_that_are_begun_are_looked_up_when_a_study_goes_on(server: Server, tmp_path: Path) -> None:
    import evenhand

    given = {
        "model": "openai:m", "suites": ["starter-safety", "starter-utility"], "identities": ["a man", "a woman"],
        "limit": 6, "options": {"base_url": server.url},
    }  # fmt: skip
    evenhand.run(given, tmp_path / "s")
    plan = make_plan(StudySpec.parse({**given, "limit": 9}))
    with Store.create(tmp_path / "s") as store:
        begun = store._db.execute("SELECT suite, item FROM trials WHERE id = 5").fetchone()
        with store.transaction():
            store._db.execute("DELETE FROM trials WHERE id = 5")
        asked: list[str] = []
        store._db.set_trace_callback(asked.append)
        answered = plan.answered(store)
        assert plan.done(answered).total() == store.count_trials()
        asked.clear()
        assert len(list(plan.trials(answered))) == plan.size - store.count_trials()
        lookups = [query for query in asked if "AND item = " in query]
    assert len(lookups) == 1, "items that are done, or not begun, are told by how many answers they have"
    assert all(name in lookups[0] for name in begun)
