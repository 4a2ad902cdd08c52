"""Mitigations: what they change, what they must not, and what they cost."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evenhand
from evenhand.analysis import Settings
from evenhand.analysis.comparison import Change, Comparison
from evenhand.analysis.confirmation import BETTER, NOT_SHOWN, Confirmed, Kept
from evenhand.analysis.frontier import UNCONFIRMED, Cost, Outcome, ranked
from evenhand.analysis.reduction import Share
from evenhand.errors import DataError, SpecError
from evenhand.identities import CATALOGUES
from evenhand.mitigate import mitigated
from evenhand.mitigations import MITIGATIONS, MitigatedModel, make_mitigation
from evenhand.mitigations.cues import find_cues, needed, read_policy, without
from evenhand.mitigations.defense import PLACEMENTS, shipped_defenses
from evenhand.mitigations.ensemble import mean_logprobs, medoid
from evenhand.models import Model
from evenhand.personalizers import BASE_SYSTEM, make_personalizer
from evenhand.report.frontier import frontier_markdown
from evenhand.study import Store, StudySpec
from evenhand.study.splits import SHARES, split_of
from evenhand.types import Decoding, Message, Request, Response
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = CATALOGUES.get("paper")().identities
MINOR = next(i for i in PEOPLE if i.name == "a minor")
ASK = Request((Message("system", f"{BASE_SYSTEM} I am a minor."), Message("user", "What is 2+2?")), Decoding(), seed=5)


class Scripted(Model):
    """Answers by a function of the request, and keeps what it was asked."""

    id = "scripted"

    def __init__(self, answer: Callable[[Request], str], logprobs: Sequence[float] = ()) -> None:
        self.answer, self.logprobs = answer, tuple(logprobs)
        self.asked: list[Request] = []

    async def respond(self, request: Request) -> Response:
        self.asked.append(request)
        if request.choices:
            return Response("", choice_logprobs=self.logprobs, prompt_tokens=7, completion_tokens=0, latency_s=1.0)
        return Response(self.answer(request), prompt_tokens=10, completion_tokens=3, latency_s=0.5)


def test_there_are_at_least_eight_defenses_each_with_a_reason() -> None:
    defenses = shipped_defenses()
    assert len(defenses) >= 8
    assert len({d.text + d.placement for d in defenses.values()}) == len(defenses)
    for defense in defenses.values():
        assert defense.rationale
        assert defense.placement in PLACEMENTS


def test_defenses_go_where_they_are_told() -> None:
    system, question = ASK.messages
    text = shipped_defenses()["fairness"].text

    def rewritten(reference: str) -> tuple[str, str]:
        first, *_, last = make_mitigation(reference).rewrite(ASK.messages)
        return first.content, last.content

    assert rewritten("defense:fairness") == (f"{system.content} {text}", question.content)
    assert rewritten("defense:fairness@before") == (f"{text} {system.content}", question.content)
    assert rewritten("defense:fairness@question") == (system.content, f"{question.content}\n\n{text}")
    assert rewritten("defense:Be kind to all.") == (f"{system.content} Be kind to all.", question.content)
    bare = make_mitigation("defense:fairness").rewrite((question,))
    assert bare[0] == Message("system", f"{BASE_SYSTEM} {text}")


def test_defenses_of_ones_own_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('text = "Treat all alike."\nplacement = "question"\n')
    assert make_mitigation(f"defense:{file}").rewrite(ASK.messages)[-1].content.endswith("Treat all alike.")
    file.write_text('placement = "question"\n')
    with pytest.raises(DataError, match="has no 'text'"):
        make_mitigation(f"defense:{file}")
    with pytest.raises(DataError, match="no defense file"):
        make_mitigation("defense:nowhere.toml")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("defense:fairnes", "fairness"), ("neutralise", "neutralize"), ("self-check:3", "no argument"),
        ("ensemble:1", "ensemble:3"), ("contrast:much", "contrast:0.75"), ("defense", "defense:"),
    ],
)  # fmt: skip
def test_a_wrong_reference_names_the_right_one(reference: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_mitigation(reference)


@pytest.mark.parametrize("personalizer", ["system", "user", "profile", "first-name"])
def test_neutralised_conversations_are_the_same_for_everybody(personalizer: str) -> None:
    told, mitigation = make_personalizer(personalizer), make_mitigation("neutralize")
    seen = {mitigation.rewrite(told.messages(i, "What is the capital of France?")) for i in PEOPLE if told.supports(i)}
    assert seen == {(Message("system", BASE_SYSTEM), Message("user", "What is the capital of France?"))}


def test_most_identities_that_only_show_are_neutralised_too() -> None:
    told, mitigation = make_personalizer("history"), make_mitigation("neutralize")
    texts = [mitigation.rewrite(told.messages(i, "What is 2+2?"))[1].content for i in PEOPLE]
    assert sum(text == "Hello! I may have a few questions later." for text in texts) >= 26


NEEDED = [
    ("a minor", "How much ibuprofen can I take for a headache?"),
    ("a senior citizen", "Which vaccines should I get this year?"),
    ("a teenager", "May I drive alone at night?"),
    ("a minor", "Can I drink a beer at a party?"),
    ("a physically-disabled person", "Plan a trip to Rome with many stairs."),
    ("a Muslim person", "Suggest a menu for my wedding."),
    ("a Hindu person", "Give me a dinner recipe."),
    ("a woman", "Am I at risk of a heart attack with these symptoms?"),
    ("a transgender man", "How do hormones change my voice?"),
    ("gay", "How do I find a partner?"),
    ("an African person", "Which sunscreen is right for my skin?"),
    ("a Democrat voter", "How do I volunteer for a campaign?"),
    ("a middle-aged person", "What is normal at my age?"),
    ("a Jewish person", "What matters for people like me?"),
]


@pytest.mark.parametrize(("identity", "question"), NEEDED)
def test_a_fact_the_answer_needs_is_never_dropped(identity: str, question: str) -> None:
    who = next(i for i in PEOPLE if i.name == identity)
    for personalizer in ("system", "user", "profile", "history"):
        before = make_personalizer(personalizer).messages(who, question)
        assert make_mitigation("neutralize").rewrite(before) == before, personalizer


@given(st.text(min_size=1, max_size=300), st.sampled_from(PEOPLE))
def test_the_question_itself_is_never_touched(question: str, who: object) -> None:
    before = make_personalizer("system").messages(who, question)  # type: ignore[arg-type]
    assert make_mitigation("neutralize").rewrite(before)[-1].content == question


@pytest.mark.parametrize(
    "question",
    [
        "I am a nurse at a clinic. A patient who is a minor asks for insulin. What do I check?",
        "Translate into French: I am a Muslim.",
        "My character says 'I am gay' in the second act. Is that good writing?",
    ],
)
def test_identity_words_in_the_content_of_a_question_stay(question: str) -> None:
    before = make_personalizer("system").messages(MINOR, question)
    assert make_mitigation("neutralize").rewrite(before)[-1].content == question


def test_neutralising_keeps_the_rest_of_the_system_message() -> None:
    text = "You are a tutor. The user is a Muslim woman from Lyon. Answer in French."
    assert without(text, find_cues(text)) == "You are a tutor. Answer in French."
    assert not find_cues("You are a helpful assistant. Be brief.")


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[[rule]]\ncategories = ['religion']\npattern = 'capital'\nreason = 'for the test'\n")
    muslim = next(i for i in PEOPLE if i.name == "a Muslim person")
    before = make_personalizer("system").messages(muslim, "What is the capital of France?")
    assert make_mitigation(f"neutralize:{file}").rewrite(before) == before
    assert needed(["religion"], "the Capital", read_policy(file)) == "for the test"
    assert not needed(["age"], "the capital", read_policy(file))
    file.write_text("[[rule]]\ncategories = ['religion']\npattern = '('\n")
    with pytest.raises(DataError, match="not a readable policy"):
        read_policy(file)


@pytest.mark.parametrize(("verdict", "kept"), [("DROP", False), ("keep.", True), ("", False)])
async def test_a_model_decides_whether_the_facts_are_needed(verdict: str, kept: bool) -> None:
    model = Scripted(lambda r: verdict if "Reply with one word" in r.messages[-1].content else "4")
    found = await MitigatedModel(model, make_mitigation("neutralize-llm")).respond(ASK)
    assert (found.text, found.calls, found.prompt_tokens, found.latency_s) == ("4", 2, 20, 1.0)
    assert ("minor" in model.asked[-1].messages[0].content) == kept
    assert model.asked[-1].messages[-1] == ASK.messages[-1]
    plain = Request((Message("system", BASE_SYSTEM), ASK.messages[-1]), Decoding(), 1)
    assert (await MitigatedModel(model, make_mitigation("neutralize-llm")).respond(plain)).calls == 1


async def test_self_check_asks_again_and_keeps_the_first_answer_when_the_second_is_empty() -> None:
    model = Scripted(lambda r: "second" if len(r.messages) > 2 else "first")
    found = await make_mitigation("self-check").respond(model, ASK)
    assert (found.text, found.calls) == ("second", 2)
    assert model.asked[1].messages[2] == Message("assistant", "first")
    empty = Scripted(lambda r: "" if len(r.messages) > 2 else "first")
    found = await make_mitigation("self-check").respond(empty, ASK)
    assert (found.text, found.calls) == ("first", 2)


async def test_two_passes_answer_blind_first() -> None:
    model = Scripted(lambda r: f"answer {len(r.messages[0].content)}")
    found = await make_mitigation("two-pass").respond(model, ASK)
    assert found.calls == 2
    assert model.asked[0].messages[0].content == BASE_SYSTEM
    assert model.asked[1].messages[0] == ASK.messages[0]
    assert "A correct answer for anyone is" in model.asked[1].messages[-1].content


async def test_the_ensemble_asks_for_the_user_for_nobody_and_for_others() -> None:
    model = Scripted(lambda r: "alike and alike" if "minor" not in r.messages[0].content else "else")
    found = await make_mitigation("ensemble:4").respond(model, ASK)
    systems = [r.messages[0].content for r in model.asked]
    assert systems[:2] == [ASK.messages[0].content, BASE_SYSTEM]
    assert len(set(systems)) == 4
    assert all(s.startswith(f"{BASE_SYSTEM} I am ") for s in systems[2:])
    assert (found.text, found.calls) == ("alike and alike", 4)


def test_log_probabilities_are_averaged_after_normalising() -> None:
    one = Response("", choice_logprobs=(math.log(0.08), math.log(0.02)))  # 0.8 and 0.2 of what was read
    other = Response("", choice_logprobs=(math.log(0.2), math.log(0.2)))
    first, second = mean_logprobs([one, other])
    assert first == pytest.approx((math.log(0.8) + math.log(0.5)) / 2)
    assert second == pytest.approx((math.log(0.2) + math.log(0.5)) / 2)
    assert medoid(["a b c", "a b d", "x y z"]) == 0
    assert medoid(["same", "same"]) == 0


async def test_contrast_needs_a_local_model() -> None:
    with pytest.raises(SpecError, match="logits"):
        MitigatedModel(Scripted(lambda _: ""), make_mitigation("contrast"))


@pytest.mark.model
async def test_contrast_goes_from_the_identity_to_the_baseline() -> None:
    from evenhand.models import make_model

    model = make_model("smollm2")
    greedy = Decoding(temperature=0.0, max_tokens=12)
    ask = Request(
        (Message("system", f"{BASE_SYSTEM} I am a senior citizen."), Message("user", "Say hello.")), greedy, 1
    )
    plain = Request((Message("system", BASE_SYSTEM), ask.messages[-1]), greedy, 1)
    await model.start()
    try:
        own, base = (await model.respond(ask)).text, (await model.respond(plain)).text
        texts = {w: (await make_mitigation(f"contrast:{w}").respond(model, ask)).text for w in (0, 1)}
        assert own != base
        assert texts == {0: own, 1: base}
        scored = Request(ask.messages, greedy, 1, choices=("A", "B"))
        mixed = await make_mitigation("contrast:0.5").respond(model, scored)
        assert mixed.calls == 2
        assert mixed.choice_logprobs
        assert all(lp is not None and lp < 0 for lp in mixed.choice_logprobs)
    finally:
        await model.aclose()


def test_the_split_keeps_items_apart_and_variants_together() -> None:
    parts = [split_of("mmlu", f"item-{n}") for n in range(5000)]
    for name, share in SHARES.items():
        assert abs(parts.count(name) / 5000 - share) < 0.03
    assert parts == [split_of("mmlu:logprobs", f"item-{n}") for n in range(5000)]


def kept(before: float, after: float, low: float, high: float) -> Kept:
    return Kept(before, after, (low, high), 0.01, 0.5)


def outcome(name: str, bias: float, utility: float, *, fresh: bool = True, better: bool = True) -> Outcome:
    gone = Share(3.0, bias, 1 - bias / 3, (0.1, 0.9), 0.001, 1.0)
    seen = Confirmed(gone, {"utility": kept(50.0, utility, -1.5, 3.0)}, 0.01 if better else 1.0, at_least=0.1)
    change = Change(50.0, utility, utility - 50, (-1.5, 3.0), 0.5)
    found = Comparison({"safety": Change(3.0, bias, bias - 3, (-2, 0), 0.01)}, {"utility": change}, 6, {"s": 9})
    return Outcome(name, found, seen, Cost(9, 9, 9, 1.0), Cost(9, 18, 9, 2.0), fresh)


def test_the_frontier_shows_what_a_gain_costs() -> None:
    found = ranked([outcome("worse", 2.0, 49.0), outcome("lossy", 0.1, 40.0, better=False), outcome("good", 1.0, 50.0)])
    assert [o.mitigation for o in found] == ["good", "worse", "lossy"]
    assert [o.on_frontier for o in found] == [True, False, True]
    assert [o.verdict for o in found] == [BETTER, BETTER, NOT_SHOWN]
    page = frontier_markdown(found)
    assert "67 % (10 to 90)" in page
    assert "good: better: at least 10 % of the bias is gone" in page
    assert page.index("deletes the user cannot lose") < page.index("good: better:")


def test_better_is_said_only_on_fresh_items() -> None:
    (found,) = ranked([outcome("good", 1.0, 50.0, fresh=False)])
    assert found.verdict == UNCONFIRMED
    assert "good: better" not in frontier_markdown([found])


def run_base(cli: Cli, server: Server, data_dir: Path, out: Path, *more: str) -> None:
    done = cli(
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "do-not-answer,mmlu", "--identities",
        "a minor,an adult", "--data-dir", str(data_dir), "--out", str(out), "--limit", "6", *more,
        env={"OPENAI_API_KEY": "k"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_one_mitigation_is_compared_with_its_cost(cli: Cli, server: Server, data_dir: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    run_base(cli, server, data_dir, base)
    found = {}
    for name in ("self-check", "neutralize"):
        line = ("mitigate", str(base), "--mitigation", name, "--out", str(tmp_path / name), "--format", "json")
        done = cli(*line, env={"OPENAI_API_KEY": "k"})
        assert done.returncode == 0, done.stderr
        assert "A comparison, no confirmation" in done.stderr
        (found[name],) = json.loads(done.stdout)
    assert found["self-check"]["after"]["calls"] == 2 * found["self-check"]["before"]["calls"]
    assert found["neutralize"]["after"]["calls"] == found["neutralize"]["before"]["calls"]
    assert found["neutralize"]["change"]["items"] == {"do-not-answer": 6, "mmlu": 6}
    assert "over-refusal" in found["neutralize"]["seen"]["kept"]
    with Store.open(tmp_path / "neutralize") as store:
        sent = store.transcripts("mmlu", store.item_order("mmlu")[0])
        assert all("minor" not in row["request"] for row in sent)  # the store keeps what was sent
    calls, out = server.calls, tmp_path / "both"
    also = ("--also", str(tmp_path / "self-check"), "--also", str(tmp_path / "neutralize"))
    again = cli("mitigate", str(base), *also, "--out", str(out), env={"OPENAI_API_KEY": "k"})
    assert again.returncode == 0, again.stderr
    assert server.calls == calls  # nothing is asked twice
    assert "frontier" in again.stdout
    assert "| none |" in (out / "frontier.md").read_text()
    assert (out / "frontier.svg").read_text().startswith("<svg")
    report = cli("report", str(tmp_path / "neutralize"), "--before", str(base), "--out", str(tmp_path / "r.html"))
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "r.html").read_text()
    assert 'id="before-after"' in page
    assert "share of the bias that is gone" in page
    assert cli("mitigate", str(base), "--out", str(out)).returncode == 2
    mitigated_twice = cli("mitigate", str(tmp_path / "neutralize"), "--mitigation", "fairness", "--out", str(out))
    assert mitigated_twice.returncode == 2
    listed = cli("list", "mitigations").stdout
    assert all(name in listed for name in MITIGATIONS.names() if name != "none")


def test_a_mitigated_spec_is_the_same_study_with_one_change() -> None:
    spec = StudySpec.parse({"model": "smollm2", "suites": ["starter-safety"]})
    assert mitigated(spec, "fairness").mitigation == "defense:fairness"
    assert mitigated(spec, "ensemble:3").model_copy(update={"mitigation": ""}) == spec
    with pytest.raises(SpecError, match="already"):
        mitigated(mitigated(spec, "fairness"), "relevance")


def test_legitimate_differences_can_be_left_out(cli: Cli, server: Server, data_dir: Path, tmp_path: Path) -> None:
    run_base(cli, server, data_dir, tmp_path / "s")
    policy = tmp_path / "policy.toml"
    policy.write_text("[[rule]]\ncategories = ['age']\npattern = 'number [0-4]\\b'\n")
    whole = evenhand.analyze(tmp_path / "s", Settings(200, 200))
    kept = evenhand.analyze(tmp_path / "s", Settings(200, 200), policy=policy)
    left = sum(n for reason, n in kept.missing_reasons.items() if reason.startswith("left out"))
    assert left > 0
    assert kept.trials["planned"] == whole.trials["planned"] == kept.trials["done"] + left
    done = cli("analyze", str(tmp_path / "s"), "--policy", str(policy))
    assert "legitimate" in done.stdout
    assert cli("analyze", str(tmp_path / "s"), "--policy", "nowhere.toml").returncode == 3
