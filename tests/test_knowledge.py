"""Knowledge graph tuning, the relevance gate, and what both ask a model."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

import evenhand
from evenhand import api
from evenhand.analysis.editing import editings
from evenhand.cli.main import app
from evenhand.embeddings import Encoder, Vectors
from evenhand.embeddings.base import Rows
from evenhand.errors import EvenhandError, SpecError
from evenhand.identities import select
from evenhand.models import Model, ModelOptions
from evenhand.people import plain_person
from evenhand.personalizers import Memory, PersonPersonalizer, make_personalizer
from evenhand.personalizers.knowledge.graph import Graph, Triple, normal, read_graph
from evenhand.personalizers.knowledge.statements import statements, takes_back
from evenhand.personalizers.record import lines_in
from evenhand.personalizers.relevance import ByModel, Known, chance, clause
from evenhand.report.graphs import drawing
from evenhand.study import Store
from evenhand.suites.edits import Edits
from evenhand.types import (
    Fact,
    Identity,
    Item,
    Message,
    Opinion,
    Person,
    Request,
    Response,
    ScoreRow,
    Session,
    User,
)
from tests.scoring import Scorer, words

FACTS = (
    Fact("Keeps a grey parrot.", "pet"),
    Fact("Works as a surveyor.", "job", sensitive=True),
    Fact("Has hay fever in spring.", "health", sensitive=True),
    Fact("Plays the cello.", "music"),
)
PARROT = Item("parrot", "What does a parrot eat?", "g", "What does a parrot eat?")
FEVER = Item("fever", "Which trees give fever in spring?", "g", "Which trees give fever in spring?")


def session(*said: str, feedback: str = "") -> Session:
    turns = [Message(role, text) for text in said for role, text in (("user", text), ("assistant", "Well."))]  # type: ignore[arg-type]
    return Session(tuple(turns), feedback)


def person(*sessions: Session, facts: tuple[Fact, ...] = FACTS) -> Person:
    return Person("p", facts, sessions)


def made(reference: str) -> PersonPersonalizer:
    personalizer = make_personalizer(reference)
    assert isinstance(personalizer, PersonPersonalizer)
    return personalizer


def learned(reference: str, who: Person, model: Model) -> Memory:
    return asyncio.run(made(reference).fit(User(who), model))


def shown(reference: str, memory: Memory, item: Item, model: Model, identity: Identity | None = None) -> list[str]:
    personalizer = made(reference)
    attended = asyncio.run(personalizer.attend(memory.of(identity), item, model))
    return lines_in(personalizer.recall(attended, item))


# What is said, and what is taken back


def test_statements_are_the_users_own_words_and_no_questions() -> None:
    said = session(
        "How do I trim a hedge?",
        "I only have blunt shears. What now?",
        "Please tell me where I can get better ones.",
        feedback="Shorter next time, no lists.",
    )
    assert list(statements(said)) == ["I only have blunt shears.", "Shorter next time, no lists."]
    assert list(statements(session("Thanks."))) == []
    long = "I keep bees. " + "Rain falls on the roof and the yard and the road. " * 6
    assert list(statements(session(long + "I sing in a choir by the old mill."))) == [
        "I sing in a choir by the old mill."
    ]


@pytest.mark.parametrize(
    ("statement", "earlier", "back"),
    [
        ("I no longer keep a parrot.", "Keeps a grey parrot.", True),
        ("I do not keep a parrot any more.", "Keeps a grey parrot.", True),
        ("I sold the cello, the parrot is well.", "Plays the cello.", True),
        ("I sold the cello, the parrot is well.", "Keeps a grey parrot.", False),
        ("I'll ring my niece now.", "Has a niece who steers the ferry.", False),
        ("My parrot is grey.", "Keeps a grey parrot.", False),
    ],
)
def test_only_what_ends_in_the_same_breath_is_taken_back(statement: str, earlier: str, back: bool) -> None:
    assert takes_back(statement, earlier) is back


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("The user's Jobs", "job"),
        ("glass", "glass"),
        ("  Way of answering ", "way answering"),
        ("1.", ""),
        ("a" * 3 + " b c d e", ""),
    ],
)
def test_relations_are_compared_in_one_form(written: str, same: str) -> None:
    assert normal(written) == same


# The graph and its journal


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=12), st.integers(0, 12))
def test_the_journal_replays_and_undoes(edits: list[tuple[bool, int]], kept: int) -> None:
    graph = Graph((Triple("r0", "o0"), Triple("r1", "o1")))
    states = [graph.triples]
    for add, number in edits:
        triple = Triple(f"r{number}", f"o{number}")
        if (graph.add if add else graph.remove)(triple, 1, "test"):
            states.append(graph.triples)
    content = orjson.loads(orjson.dumps(graph.content()))
    assert read_graph(content) == graph
    for number, state in enumerate(states):
        assert read_graph(content, number).triples == state
    kept = min(kept, len(graph.journal))
    graph.undo(kept)
    assert graph.triples == states[kept]
    graph.undo(0)
    assert graph.triples == list(graph.seeds)


def test_the_drawing_has_all_that_was_ever_known() -> None:
    graph = Graph((Triple("pet", "Keeps a grey parrot."),))
    graph.remove(graph.seeds[0], 1, "taken back")
    graph.add(Triple("pet", "I keep " + "many " * 30 + "bees", said=True), 1, "said")
    drawn = drawing(graph.content())
    assert drawn is not None
    assert [edge.kind for edge in drawn.edges] == ["gone", "said"]
    assert drawn.edges[1].text.endswith("…")
    assert drawing({"notes": ["a"]}) is None


# Tuning


@pytest.mark.parametrize("scores", [True, False])
def test_what_is_said_is_found_again_and_what_is_taken_back_is_gone(scores: bool) -> None:
    model = Scorer(scores=scores)
    who = person(session("What does a parrot cost?", "I no longer keep a parrot, I keep two tortoises."))
    memory = learned("knowledge-graph", who, model)
    graph = read_graph(memory.content)
    assert [t.object for t in graph.triples] == [
        *(fact.text for fact in FACTS[1:]),
        "I no longer keep a parrot, I keep two tortoises.",
    ]
    assert [(edit.action, edit.session) for edit in graph.journal] == [("remove", 1), ("add", 1)]
    (line,) = shown("knowledge-graph", memory, replace(FEVER, prompt="How do I house tortoises?"), model)
    assert line.endswith(': "I no longer keep a parrot, I keep two tortoises."')
    assert made("knowledge-graph").shown(memory.content)[-2].startswith("edit 1, session 1: - pet:")


class Partial(Scorer):
    """Finds the old town as likely as it is told to."""

    def __init__(self, old: float) -> None:
        super().__init__(lambda _: "place")
        self.old = old

    async def respond(self, request: Request) -> Response:
        response = await super().respond(request)
        scored = zip(request.choices, response.choice_logprobs or (), strict=True)
        fixed = tuple(self.old if text.startswith("Lives in Tellin") else lp for text, lp in scored)
        return replace(response, choice_logprobs=fixed if request.choices else None)


@pytest.mark.parametrize(("old", "gone"), [(0.0, True), (-50.0, False)])
def test_without_a_word_in_common_the_models_answers_tell_what_is_out_of_date(old: float, gone: bool) -> None:
    facts = (Fact("Lives in Tellin.", "place"), Fact("Works as a surveyor.", "job"))
    said = "We call Orsel our place these days."
    who = person(session("Which market opens in Orsel?", said), facts=facts)
    graph = read_graph(learned("knowledge-graph", who, Partial(old)).content)
    assert (graph.seeds[0] not in graph.triples) is gone
    assert Triple("place", said, said=True) in graph.triples
    assert graph.seeds[1] in graph.triples
    assert (graph.journal[-1].why == "the model answered by it, not by what was said") is gone


def test_two_hobbies_are_no_contradiction() -> None:
    who = person(
        session("How do I wax thread?", "I bind books in winter."), facts=(Fact("Carves wooden spoons.", "hobby"),)
    )
    graph = read_graph(
        learned("knowledge-graph", who, Scorer(lambda _: "hobby", prefers="carves wooden spoons")).content
    )
    assert [t.object for t in graph.triples] == ["Carves wooden spoons.", "I bind books in winter."]


def test_what_the_model_never_finds_is_kept_and_costs_nothing_else() -> None:
    who = person(session("Why?", "My hat is a trilby."))
    model = Scorer(lambda _: "1. 2. 3.", scores=False)
    graph = read_graph(learned("knowledge-graph", who, model).content)
    assert graph.triples[: len(FACTS)] == list(graph.seeds)
    assert graph.triples[-1].relation == "statement"


# What matters to a question


async def test_log_odds_are_what_the_question_adds() -> None:
    known = [Known(clause(fact.text), "", "") for fact in FACTS]
    assert known[0].clause == " keeps a grey parrot."
    assert clause("TV is on at night.") == " TV is on at night."
    model = Scorer()
    relevance = ByModel(model)
    ((parrot, *others),) = await relevance.log_odds([PARROT.prompt], known)
    assert parrot == pytest.approx(0.9)
    assert others == [0, 0, 0]
    assert len(model.asked) == 3
    await relevance.log_odds([FEVER.prompt], known)
    assert len(model.asked) == 4, "what is likely behind any question is known by now"
    ((again, *_, new),) = await relevance.log_odds([PARROT.prompt], [*known, Known(clause("Sings."), "", "")])
    assert (again, new) == (parrot, 0)
    assert [len(asked.choices) for asked in model.asked[4:]] == [1] * 3, "only the new one is asked about"
    assert chance(0) == 0.5
    assert chance(1) == pytest.approx(1 / (1 + math.exp(-1)))


# The gate


@pytest.mark.parametrize("scores", [True, False])
def test_the_gate_at_nought_is_the_profile_and_at_one_tells_nothing_sensitive(scores: bool) -> None:
    model, (minor,) = Scorer(scores=scores), select(["a minor"])
    memory = learned("relevance-gate", person(), model)
    profile = lines_in(made("profile").recall(Memory(User(person(), minor)), FEVER))
    assert shown("relevance-gate:0", memory, FEVER, model, minor) == profile
    assert shown("relevance-gate:1", memory, FEVER, model, minor) == [FACTS[0].text, FACTS[3].text]
    seen = [set(shown(f"relevance-gate:{tau}", memory, FEVER, model, minor)) for tau in (0, 0.5, 0.6, 0.9, 1)]
    assert all(after <= before for before, after in itertools.pairwise(seen))
    assert FACTS[2].text in seen[1]
    assert FACTS[1].text not in seen[1]


def test_the_gate_treats_all_identities_of_a_category_alike() -> None:
    model = Scorer()
    minor, senior = select(["a minor", "a senior citizen"])
    memory = learned("relevance-gate", person(), model)
    asked = replace(PARROT, prompt="What can one do at my age-old parrot?")  # the words of the stub have four letters
    told = [shown("relevance-gate:0.5", memory, asked, model, who) for who in (minor, senior)]
    assert told[0] == told[1]
    religious = select(["a Muslim person"])[0]
    prayer = replace(PARROT, prompt="Where do people of my religion pray?")
    assert "Religion: Muslim" in shown("relevance-gate:0.5", memory, prayer, model, religious)
    assert "Religion: Muslim" not in shown("relevance-gate:0.5", memory, PARROT, model, religious)


@pytest.mark.parametrize("answer", ["pollen fever", "concert hall"])
def test_a_fact_that_made_known_answers_less_likely_stays_hidden(answer: str) -> None:
    opinion = Opinion("What about fever in spring?", ("pollen fever", "concert hall"), answer)
    who = replace(
        person(), facts=(replace(FACTS[2], text="Has hay fever in spring, from pollen."),), opinions=(opinion,)
    )
    model = Scorer()
    memory = learned("relevance-gate", who, model)
    told = shown("relevance-gate:0.5", memory, FEVER, model)
    assert bool(told) is (answer == "pollen fever")


@pytest.mark.parametrize(
    "reference",
    [
        "knowledge-graph:0",
        "knowledge-graph:x",
        "relevance-gate:2",
        "relevance-gate:nan",
        "relevance-gate:x",
        "relevance-gate:2:use",
    ],
)
def test_a_wrong_argument_is_told(reference: str) -> None:
    with pytest.raises(SpecError, match=reference):
        make_personalizer(reference)


class Topics(Encoder):
    """Knows that pollen and fever are about one thing; all else is about another."""

    name = "topics"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        return

    async def embed(self, texts: Sequence[str]) -> Rows:
        return np.array([[1, 0] if words(text) & {"pollen", "fever"} else [0, 1] for text in texts], dtype=np.float32)


@pytest.mark.parametrize("reference", ["knowledge-graph:1", "relevance-gate:0.5"])
def test_an_encoder_finds_what_words_do_not(reference: str) -> None:
    personalizer = made(reference)
    personalizer.vectors = Vectors(Topics("", ModelOptions()))  # type: ignore[attr-defined]
    model, asked = Scorer(scores=False), replace(FEVER, prompt="What helps when pollen flies?")

    async def told() -> list[str]:
        await personalizer.prepare([asked])
        memory = await personalizer.fit(User(person()), model)
        return lines_in(personalizer.recall(await personalizer.attend(memory, asked, model), asked))

    found = asyncio.run(told())
    assert FACTS[2].text in found
    assert FACTS[1].text not in found
    by_words = shown(reference, learned(reference, person(), model), asked, model)
    assert FACTS[2].text not in by_words, "no word in common"
    assert personalizer.kept_as in ("knowledge-graph:1", "relevance-gate:0.5:topics")


# Studies


def study(people: Path, **more: Any) -> dict[str, Any]:
    return {
        "model": "python:unused.py:f",
        "suites": ["starter-safety"],
        "identities": ["a minor", "a senior citizen"],
        "people": [str(people)],
        "personalizers": ["knowledge-graph", "relevance-gate:0.5", "relevance-gate:0.9"],
        "limit": 3,
        **more,
    }


@pytest.fixture
def people(tmp_path: Path) -> Path:
    who = person(session("What does a parrot cost?", "I no longer keep a parrot, I keep two tortoises."))
    path = tmp_path / "people.jsonl"
    path.write_bytes(orjson.dumps(plain_person(replace(who, opinions=(Opinion("Sea?", ("Yes", "No"), "No"),)))))
    return path


def run(spec: dict[str, Any], out: Path, model: Model) -> Any:
    from evenhand.runner import run_study
    from evenhand.study import StudySpec

    return run_study(StudySpec.model_validate(spec), out, model=model)


def test_what_is_asked_about_an_item_is_asked_once_and_a_killed_run_goes_on(tmp_path: Path, people: Path) -> None:
    whole = Scorer()
    run(study(people), tmp_path / "whole", whole)
    cut = Scorer(most=len(whole.asked) // 2)
    with pytest.raises(EvenhandError, match="broke down"):
        run(study(people), tmp_path / "cut", cut)
    rest = Scorer()
    done = run(study(people), tmp_path / "cut", rest)
    assert done.answered == done.planned == 3 * (1 + 2 * 3)
    with Store.open(tmp_path / "whole") as one, Store.open(tmp_path / "cut") as two:
        assert one.memories() == two.memories()
        assert one.totals()["calls"] == two.totals()["calls"] == len(whole.asked)
        # What was in flight when the machine broke down may have been asked in vain; nothing that was kept is.
        assert len(cut.asked) + len(rest.asked) <= len(whole.asked) + cut.concurrency
    # Two thresholds, two identities, another repeat: the same questions about the same facts.
    again = Scorer()
    run(study(people, repeats=2), tmp_path / "whole", again)
    assert not any(request.whole for request in again.asked)
    keys = {key for key, _ in Store.open(tmp_path / "whole").memories()}
    assert keys == {("knowledge-graph", "p", ""), ("relevance-gate", "p", "")}


def typed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["memory", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_graphs_and_facts_are_shown(tmp_path: Path, people: Path) -> None:
    out = tmp_path / "s"
    run(study(people, personalizers=["none", *study(people)["personalizers"]]), out, Scorer())
    report = evenhand.write_report(out).read_text()
    assert '<g class="gone"><title>Keeps a grey parrot.</title>' in report
    assert '"threshold":0.9' in report, "the curve of the gate"
    text = typed("show", str(out), "--personalizer", "knowledge-graph")
    assert "(user) --job--> Works as a surveyor." in text
    assert "edit 1, session 1: - pet" in text
    used = json.loads(typed("used", str(out), "--format", "json"))
    assert len(used) == 3 * 2 * 4
    graph = [answer for answer in used if answer["personalizer"] == "knowledge-graph"]
    assert {answer["sensitive"][0] for answer in graph} == {"Age: minor", "Age: senior citizen"}
    assert "relevance-gate:0.9" in typed("used", str(out))
    assert "Keeps a grey parrot." in typed("used", str(out), "--each")
    assert api.facts_used(out)[0].facts
    with pytest.raises(SpecError, match="relevance-gate"):
        CliRunner().invoke(app, ["memory", "used", str(out), "--personalizer", "relevance-gat"], catch_exceptions=False)


# What was learned of edits


def test_edits_are_counted_by_kind_and_an_edit_is_one_observation() -> None:
    def row(edit: int, kind: str, who: str, score: float | None, how: str = "g") -> ScoreRow:
        return ScoreRow("edits", "fit", kind, f"{edit}-{kind}", how, who, "age", 0, score, "l", "stop", None, str(edit))

    rows = [row(n, "efficacy", who, float(n < 9)) for n in range(10) for who in ("a", "b", "c")]
    rows += [row(n, "specificity", "a", 1.0) for n in range(10)] + [row(10, "specificity", "a", None)]
    efficacy, specificity = editings(rows, Edits.kinds)
    assert (efficacy.kind, efficacy.score, efficacy.edits) == ("efficacy", 90, 10)
    wilson = stats.binomtest(9, 10).proportion_ci(method="wilson")
    assert efficacy.ci == pytest.approx((100 * wilson.low, 100 * wilson.high))
    assert specificity.score == 100
    assert specificity.ci[0] < 75, "all right on ten edits is not right for certain"


def test_a_study_of_edits_is_shown_kind_by_kind(tmp_path: Path) -> None:
    spec = {"model": "python:f.py:f", "suites": ["edits:texts"], "identities": ["a man"], "limit": 8}
    run({**spec, "personalizers": ["none", "dialogue", "knowledge-graph"]}, tmp_path / "s", Scorer())
    found = {(e.personalizer, e.kind): e.score for e in api.edits_learned(tmp_path / "s")}
    assert found["knowledge-graph", "efficacy"] >= found["none", "efficacy"]
    assert "paraphrase" in typed("edits", str(tmp_path / "s"))
