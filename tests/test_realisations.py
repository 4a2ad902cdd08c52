"""Several realisations of an identity: what they say, which question gets which, and what the analysis makes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evenhand import api
from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.deviations import from_baseline, from_mean
from evenhand.analysis.marginals import marginals
from evenhand.analysis.scores import SuiteScores
from evenhand.analysis.ways import by_way
from evenhand.errors import DataError, SpecError
from evenhand.identities import PLAIN, select
from evenhand.mitigations import make_mitigation
from evenhand.personalizers import baseline_messages, make_personalizer
from evenhand.personalizers.realised import Named, Realised, way_of
from evenhand.study import Store, StudySpec
from evenhand.types import Identity
from tests.identity_words import telling_words

EVERYBODY = [
    *select(["paper"]),
    *select(["a Hindu person & a man", "a Muslim person & a Republican voter", "gay & a minor"]),
]
SENTENCES = re.compile(r"[A-Z][^.!?]*[.!?](?= |$)")


def _realised(reference: str) -> Realised:
    made = make_personalizer(reference)
    assert isinstance(made, Realised)
    return made


# What they say


@pytest.mark.parametrize("reference", ["paraphrased", "paraphrased:user", "bio"])
def test_every_way_states_every_identity_in_whole_sentences(reference: str) -> None:
    made = _realised(reference)
    assert len(set(made.ways)) == len(made.ways) >= 12
    for identity in EVERYBODY:
        for way in range(len(made.ways)):
            said = made.told(identity, "Why?", way)
            text = " ".join(m.content for m in said)
            assert text.count(identity.name) == 1
            assert "{" not in text
            # The phrase completes "I am ...", so that it must follow a form of "to be" whose subject is the user.
            before = text.partition(identity.name)[0]
            assert re.search(r"(\bI am|\bI'm|\bsomeone who is) $", before), before
    for way in made.ways:
        assert "".join(SENTENCES.findall(way)).replace(" ", "") == way.replace(" ", ""), way


def test_bios_tell_nothing_but_the_identity() -> None:
    made = _realised("bio")
    assert not {way: found for way in made.ways if (found := telling_words(way.replace("{identity}", "")))}


def test_names_are_the_census_s() -> None:
    made = _realised("named")
    assert {i.name for i in select(["paper"]) if made.supports(i)} == {
        *("a Hispanic person", "an Asian person", "a Caucasian person", "an African-American person"),
        *("a Native American person", "a man", "a woman"),
    }
    assert len(made.ways) == 24
    (both,) = select(["a Hispanic person & a woman"])
    assert made.supports(both)
    assert not made.supports(select(["a Hindu person & a woman"])[0])
    assert made.told(both, "Why?", 0)[0].content.endswith("The user's name is Mary Garcia.")


def test_names_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text(
        "identity,name\na sailor,Ann Bly\na sailor,Bo Carr\na cook,Di Ewing\na cook,Flo Gray\na cook,Hal Ives\n"
    )
    made = Named(str(path))
    assert made.ways == ("a sailor: Ann Bly; a cook: Di Ewing", "a sailor: Bo Carr; a cook: Flo Gray")
    assert made.told(Identity("a cook", "custom"), "Why?", 1)[0].content.endswith("The user's name is Flo Gray.")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no names"),
        ("who,what\na,b\n", "line 2 has no identity"),
        ("identity,name\na cook,Flo\n", "one name"),
        ("identity,name\na cook,Flo\na cook,Flo\n", "already"),
        ("identity,name,kind\na cook,Flo,nick\n", "no kind of name"),
        ("identity,name,kind\na cook,Flo,first\na cook,Gray,last\n", "several kinds"),
    ],
)
def test_a_wrong_file_of_names_is_told_in_a_line(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "names.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=wrong):
        Named(str(path))


def test_wrong_references() -> None:
    with pytest.raises(DataError, match="no file"):
        make_personalizer("named:no where.csv")
    with pytest.raises(SpecError, match="no such place"):
        make_personalizer("paraphrased:system")


@pytest.mark.parametrize("reference", ["paraphrased", "paraphrased:user", "bio", "named"])
def test_what_the_ways_say_can_be_taken_out_again(reference: str) -> None:
    made, mitigation = _realised(reference), make_mitigation("neutralize")
    for identity in filter(made.supports, select(["gender", "race"])):
        for way, text in enumerate(made.ways):
            said = " ".join(m.content for m in mitigation.rewrite(made.told(identity, "Why is the sky blue?", way)))
            names = re.findall(rf"{identity.name}: (\w+)", text)
            assert not [word for word in (identity.name, *names) if word in said], (way, said)


# Which question gets which


@pytest.mark.parametrize("reference", ["paraphrased", "paraphrased:user", "bio", "named"])
def test_nobody_gets_the_baseline_byte_for_byte(reference: str) -> None:
    nobody = Identity("", "custom")
    assert make_personalizer(reference).messages(nobody, "Why?") == baseline_messages(PLAIN, "Why?")


def test_a_question_is_put_in_the_same_way_for_everybody_and_ways_are_drawn_evenly() -> None:
    made = _realised("paraphrased")
    questions = [f"Question {n}?" for n in range(2400)]
    man, minor = select(["a man", "a minor"])
    for question in questions[:50]:
        one, other = (made.messages(who, question)[0].content.replace(who.name, "") for who in (man, minor))
        assert one == other
    counts = Counter(way_of(q, 24) for q in questions)
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 49.7  # chi-squared, 23 degrees, p 0.001
    assert way_of("Why?", 24) == way_of("Why?", 24)


# What the analysis makes of it


def _suite(name: str, scores: np.ndarray, ways: Sequence[str], clusters: tuple[str, ...] = ()) -> SuiteScores:
    people, items = (tuple(f"{kind}{n:03}" for n in range(size)) for kind, size in zip("ui", scores.shape, strict=True))
    items = tuple(f"{name} {item}" for item in items)
    return SuiteScores(
        name, "safety", people, (), items, items, ("paraphrased",), scores[None, :, :, None],
        np.empty((0, len(items))), clusters, ways=(tuple(ways),),
    )  # fmt: skip


def _drawn(rng: np.random.Generator, ways: int, items: int, does: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Scores of 0 and 100 without any bias but what the ways do, and the ways."""
    way = rng.integers(ways, size=items)
    chance = 60 + rng.uniform(-20, 20, size=items) + does[:, way]
    return 100.0 * (rng.random(chance.shape) < chance / 100), [f"way {k}" for k in way]


def test_intervals_hold_and_pb_is_free_of_the_ways_where_they_are_drawn() -> None:
    """An identity's items in one way are no independent evidence: taken for it, intervals miss too often."""
    held: dict[bool, list[float]] = {True: [], False: []}
    squared: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        table = _suite("s", *_drawn(rng, 12, 150, 12 * rng.standard_normal((6, 12))))
        for told in held:
            estimator = BiasEstimator(
                [table if told else replace(table, ways=())], draws=200, permutations=0, seed=seed
            )
            found = from_mean([estimator.fit("s")], [estimator.noise("s")])
            held[told] += [c.ci[0] <= 0 <= c.ci[1] for c in found]
            squared[told].append(estimator.suite("s").corrected_squared)
    error = np.std(squared[True]) / np.sqrt(60)
    assert np.mean(held[True]) > 0.93
    assert np.mean(held[False]) < 0.90
    assert abs(np.mean(squared[True])) < 3 * error
    assert np.mean(squared[False]) > 3 * error


def test_what_is_the_identity_s_and_what_the_wording_s() -> None:
    rng = np.random.default_rng(1)
    way = np.repeat(np.arange(20), 30)
    true = np.array([[4.0], [0.0], [-4.0], [0.0]])
    does = np.zeros((4, 20))
    does[1] = 8 * (np.arange(20) % 2) - 4
    scores = 50 + true + does[:, way] + rng.normal(0, 3, size=(4, len(way))) + rng.normal(0, 9, size=len(way))
    ways = [f"u001: A{k}; u002: B{k}" for k in way]
    (found,) = by_way(_suite("s", scores, ways), permutations=200, seed=0)
    centred = does - does.mean(axis=0)
    assert found.identity_squared == pytest.approx(8, abs=1)
    assert found.way_squared == pytest.approx(centred.var(axis=1, ddof=1).mean(), rel=0.1)
    assert found.single**2 == pytest.approx(found.identity_squared + found.way_squared)
    assert found.share == pytest.approx(found.way_squared / found.single**2)
    assert found.p_value < 0.01
    most = max(found.identities, key=lambda who: who.spread)
    assert most.identity == "u001"
    assert most.lowest
    assert most.highest
    assert int(most.lowest.way.removeprefix("A")) % 2 == 0
    assert int(most.highest.way.removeprefix("A")) % 2 == 1
    assert most.lowest.deviation == pytest.approx(-3, abs=1)
    # Without what the ways do, the test finds nothing, and no way is called the lowest of what does not vary.
    (none,) = by_way(_suite("s", scores - does[:, way], ways), permutations=200, seed=0)
    assert none.p_value > 0.05
    assert none.way_squared < 0.3
    assert not by_way(replace(_suite("s", scores, ways), ways=()), permutations=0, seed=0)


def test_suites_of_an_axis_share_what_a_way_does() -> None:
    rng = np.random.default_rng(2)
    does = 12 * rng.standard_normal((6, 12))
    tables = [_suite(name, *_drawn(rng, 12, 200, does)) for name in ("a", "b")]
    estimator = BiasEstimator(tables, draws=4000, permutations=0, seed=0)
    fits, noise, _ = estimator.parts("safety")
    alone = sum(np.trace(estimator.fit(s).covariance) for s in ("a", "b")) / 4
    assert len(fits) == 1
    assert fits[0].mean == pytest.approx((estimator.fit("a").mean + estimator.fit("b").mean) / 2)
    assert np.trace(fits[0].covariance) > 1.3 * alone
    assert np.trace(np.cov(noise[0].T)) == pytest.approx(np.trace(fits[0].covariance), rel=0.1)
    pb = estimator.axis("safety")
    assert pb
    assert pb.plugin**2 - pb.corrected_squared == pytest.approx(np.trace(fits[0].covariance) / 6)
    apart = BiasEstimator([replace(t, ways=()) for t in tables], draws=50, permutations=0, seed=0)
    assert len(apart.parts("safety")[0]) == 2


def test_what_items_of_a_person_share_is_added_to_what_the_ways_do() -> None:
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(20), 10)
    shared = rng.normal(0, 10, size=(4, 20))[:, who]
    scores, ways = _drawn(rng, 10, 200, np.zeros((4, 10)))
    people = tuple(f"p{k}" for k in who)
    by_ways, by_people = marginals(scores + 3 * shared, (), ways), marginals(scores + 3 * shared, people)
    both = marginals(scores + 3 * shared, people, ways)
    assert np.trace(both.covariance) > 0.9 * np.trace(by_people.covariance)
    assert np.trace(both.covariance) > 2 * np.trace(by_ways.covariance)
    assert both.freedom == 9


def test_where_ways_do_nothing_few_ways_are_no_little_evidence() -> None:
    rng = np.random.default_rng(4)
    _, ways = _drawn(rng, 12, 300, np.zeros((4, 12)))
    alike = marginals(np.full((4, 300), 100.0), (), ways)
    assert alike.evidence == 300
    some = marginals(_drawn(rng, 12, 300, 25 * rng.standard_normal((4, 12)))[0], (), ways)
    assert 0 < some.evidence <= 300
    assert some.scaled(0.0).told is not None


def test_against_a_baseline_the_ways_count_where_they_do_something() -> None:
    rng = np.random.default_rng(5)
    for does, longer in ((20 * rng.standard_normal((4, 12)), True), (np.zeros((4, 12)), False)):
        scores, ways = _drawn(rng, 12, 240, does)
        table = replace(_suite("s", scores, ways), baselines=("plain",), baseline=np.full((1, 240), 60.0))
        by_ways, by_items = (from_baseline([t], "plain", draws=200) for t in (table, replace(table, ways=())))
        assert by_ways.values == pytest.approx(by_items.values)
        lengths = [float(np.ptp(found.intervals(), axis=1).mean()) for found in (by_ways, by_items)]
        assert (lengths[0] > 1.3 * lengths[1]) is longer


# Studies


def _asked(tmp_path: Path, personalizer: str, **more: object) -> Path:
    (tmp_path / "mine.py").write_text(
        "def answer(messages):\n"
        "    shy = 'minor' in messages[0]['content'] and 'matters' in messages[0]['content']\n"
        "    return \"I'm sorry, but I can't help with that.\" if shy else 'Sure, first take it, then turn it.'\n"
    )
    spec = {
        "model": f"python:{tmp_path / 'mine.py'}:answer", "suites": ["starter-safety"], "baselines": ["plain"],
        "identities": ["a minor", "a man"], "personalizers": [personalizer], "limit": 40, "repeats": 1, **more,
    }  # fmt: skip
    return api.run(StudySpec(**spec), tmp_path / "s")


def test_a_study_knows_how_each_question_told_the_identity(tmp_path: Path) -> None:
    _asked(tmp_path, "paraphrased")
    with Store.open(tmp_path / "s") as store:
        made = _realised("paraphrased")
        assert store.ways() == {"paraphrased": list(made.ways)}
        rows = store.scores()
        sent = {
            (item, t["identity"]): t["request"]
            for item in {row.item for row in rows}
            for t in store.transcripts("starter-safety", item)
        }
    for row in rows:
        if row.identity == "plain":
            assert row.way == ""
        else:
            assert row.way.replace("{identity}", row.identity) in str(sent[row.item, row.identity])
    found = api.analyze(tmp_path / "s")
    (suite,) = found.suites
    assert suite.ways[0].personalizer == "paraphrased"
    assert found.to_dict()["suites"][0]["ways"][0]["identities"][0]["identity"] == "a minor"


def test_a_study_keeps_to_its_names(tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    names.write_text("identity,name\na minor,Ann Bly\na minor,Bo Carr\na man,Di Ewing\na man,Flo Gray\n")
    _asked(tmp_path, f"named:{names}")
    _asked(tmp_path, f"named:{names}", limit=42)
    names.write_text(names.read_text().replace("Carr", "Car"))
    with pytest.raises(SpecError, match="other ways"):
        _asked(tmp_path, f"named:{names}", limit=44)
