"""What is shipped is what was measured: the function, the assistant, and what is known of a mitigation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import evenhand
from evenhand.deploy import Assistant, make_mitigation, mitigated
from evenhand.deploy.backends import Endpoint
from evenhand.deploy.conversation import Conversation, text_of, with_text
from evenhand.deploy.evidence import evidence
from evenhand.deploy.rewriting import fingerprint, label_of, only_rewrites
from evenhand.deploy.upstream import Upstream
from evenhand.errors import SpecError
from evenhand.mitigate import mitigate
from evenhand.mitigations import MITIGATIONS, Mitigation
from evenhand.mitigations.base import Messages
from evenhand.mitigations.cues import find_cues, known_phrases, tells
from evenhand.models import CallError
from evenhand.types import Message
from tests.proxies import before
from tests.server import Server
from tests.test_mitigations import Scripted

Turns = list[dict[str, Any]]
TOLD = "You are a helpful assistant. I am a minor."
ASKED: Turns = [{"role": "system", "content": TOLD}, {"role": "user", "content": "What is 2+2?"}]
REWRITING = ["defense:fairness", "defense:fairness@before", "defense:fairness@question", "neutralize"]
ASKING = ["self-check", "two-pass", "neutralize-llm", "ensemble:4", "two-step", "neutral-draft"]
# These act on records of people, which an endpoint does not have.
ON_RECORDS = {"do-not-store", "show-when-relevant"}


def study(server: Server, out: Path, mitigation: str = "", limit: int = 1) -> list[dict[str, Any]]:
    """The bodies that a study sends."""
    server.payloads.clear()
    spec = {
        "model": "openai:m", "suites": ["starter-safety"], "identities": ["age"], "limit": limit,
        "mitigation": mitigation, "personalizers": ["system", "history"], "options": {"base_url": server.url},
    }  # fmt: skip
    assert evenhand.run(spec, out).failed == 0
    return list(server.payloads)


def exactly(body: dict[str, Any]) -> tuple[str, str]:
    """The messages as they were sent, and all else in whatever order."""
    return json.dumps(body["messages"]), json.dumps(body, sort_keys=True)


def test_the_references_here_are_all_that_an_endpoint_can_have() -> None:
    names = {reference.partition(":")[0] for reference in REWRITING + ASKING}
    assert names == {n for n, m in MITIGATIONS.members().items() if n != "none" and not m.local_only} - ON_RECORDS
    assert all(only_rewrites(make_mitigation(reference)) for reference in REWRITING)
    assert not any(only_rewrites(make_mitigation(reference)) for reference in ASKING)


def test_a_rewriting_mitigation_sends_what_its_study_sent(server: Server, tmp_path: Path) -> None:
    plain = {body["seed"]: body for body in study(server, tmp_path / "plain")}
    for n, reference in enumerate(REWRITING):
        sent = study(server, tmp_path / str(n), reference)
        assert len(sent) == len(plain)
        changed = 0
        for body in sent:
            before_it = plain[body["seed"]]["messages"]
            ours = mitigated(before_it, reference)
            assert json.dumps(ours) == json.dumps(body["messages"])
            changed += ours != before_it
        assert changed > 2


def test_one_that_asks_several_times_sends_what_its_study_sent(server: Server, tmp_path: Path) -> None:
    from openai import OpenAI

    plain = study(server, tmp_path / "plain")
    for n, reference in enumerate(ASKING):
        sent = study(server, tmp_path / str(n), reference)
        server.payloads.clear()
        with before(server.url, reference) as proxy:
            client = OpenAI(base_url=proxy.url, api_key="none")
            for body in plain:
                client.chat.completions.create(**body)
        assert Counter(map(exactly, server.payloads)) == Counter(map(exactly, sent)), reference
        # Where the policy names nothing, the draft is the answer.
        assert len(sent) > len(plain) or reference == "neutral-draft"


@pytest.mark.parametrize("reference", ASKING)
async def test_the_assistant_asks_as_the_proxy_does(server: Server, reference: str) -> None:
    asked: list[Turns] = []

    async def model(messages: Turns, seed: int) -> str:
        asked.append(messages)
        return server.answer({"messages": messages})

    async with Assistant(model, reference) as assistant:
        found = await assistant.respond(ASKED, seed=7)
    with before(server.url, reference) as proxy:
        from openai import AsyncOpenAI

        client = AsyncOpenAI(base_url=proxy.url, api_key="none")
        reply = await client.chat.completions.create(model="m", messages=ASKED, seed=7)  # type: ignore[arg-type]
    assert reply.choices[0].message.content == found.text
    assert found.calls == len(asked) == len(server.payloads)
    assert Counter(map(json.dumps, asked)) == Counter(json.dumps(body["messages"]) for body in server.payloads)


async def test_the_assistant_takes_models_and_plain_functions(capsys: pytest.CaptureFixture[str]) -> None:
    def shout(messages: Turns) -> str:
        print("seen")
        return messages[0]["content"].upper()

    async with Assistant(shout, "neutralize") as assistant:
        found = await assistant.respond([{"role": "developer", "content": TOLD}, ASKED[1]])
    assert found.text == "YOU ARE A HELPFUL ASSISTANT."
    assert capsys.readouterr().out == "seen\n"
    model = Scripted(lambda request: str(request.decoding.max_tokens))
    async with Assistant(model, "neutralize") as assistant:
        assert (await assistant.respond(ASKED, max_tokens=12)).text == "12"
        await assistant.respond([{"role": "user", "content": "As a senior dad, hi. 2+2?"}], told=["senior dad"])
        with pytest.raises(SpecError, match=r"messages\[0\] holds what this model does not read"):
            await assistant.respond([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])
        with pytest.raises(SpecError, match="does not end with a turn of the user"):
            await assistant.respond([*ASKED, {"role": "assistant", "content": "4"}])

    def fails(messages: Turns) -> str:
        raise ValueError("no")

    async with Assistant(fails, "self-check") as assistant:
        with pytest.raises(CallError, match="ValueError: no"):
            await assistant.respond(ASKED)


def test_one_that_asks_is_no_function_of_messages() -> None:
    with pytest.raises(SpecError, match=r"Assistant, or the proxy"):
        mitigated(ASKED, "two-pass")
    with pytest.raises(SpecError, match=r"messages\[1\] is not an object"):
        mitigated([ASKED[0], "hi"], "neutralize")  # type: ignore[list-item]


def test_names_pictures_tools_and_what_follows_the_question_stay() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns: Turns = [
        {"role": "developer", "content": [{"type": "text", "text": TOLD, "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "name": "ann", "content": "Look."},
        {"role": "assistant", "content": "I am a bot.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "The user is a minor."},
        {"role": "user", "name": "ann", "content": [picture, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "I am a minor."},
    ]
    given_before = json.dumps(turns)
    found = mitigated(turns, "neutralize")
    assert json.dumps(turns) == given_before
    assert found[0]["content"] == [
        {"type": "text", "text": "You are a helpful assistant.", "cache_control": {"type": "ephemeral"}}
    ]
    assert found[1:] == turns[1:]
    defended = mitigated(turns, "defense:Be fair to all.@question")
    assert defended[4] == {
        "role": "user", "name": "ann",
        "content": [picture, {"type": "text", "text": "What is it?\n\nBe fair to all."}],
    }  # fmt: skip
    assert defended[:4] + defended[5:] == turns[:4] + turns[5:]
    alone = mitigated([{"role": "user", "content": [picture]}], "defense:Be fair to all.@question")
    assert alone == [{"role": "user", "content": [picture, {"type": "text", "text": "Be fair to all."}]}]


def test_a_conversation_without_a_question_is_left() -> None:
    for turns in ([], [{"role": "system", "content": TOLD}], [{"role": "tool", "content": "I am a minor."}]):
        assert mitigated(turns, "defense:fairness") == turns


def test_a_statement_in_a_part_of_its_own_goes_with_its_part() -> None:
    parts = [{"type": "text", "text": "I am a minor."}, {"type": "text", "text": "What is 2+2?"}]
    assert mitigated([{"role": "user", "content": parts}], "neutralize") == [{"role": "user", "content": parts[1:]}]


def test_phrases_that_the_rules_do_not_know() -> None:
    turns = [{"role": "system", "content": "Help.\nCustomer: single mother of two, lives in York."}, ASKED[1]]
    assert mitigated(turns, "neutralize") == turns
    found = mitigated(turns, "neutralize", told=["Single mother of two, "])
    assert found[0]["content"] == "Help.\nCustomer: lives in York."
    assert mitigated(turns, "neutralize", told="single mother of two,")[0]["content"].endswith(
        "Customer: lives in York."
    )
    with known_phrases(["two"]):
        assert [cue.fact for cue in find_cues("two twos, Two")] == ["two", "Two"]
    assert find_cues("two") == []


class Appends(Mitigation):
    """Adds a turn behind the question, as a second look does, and drops the earlier ones."""

    name = "appends"
    kept = 1

    def rewrite(self, messages: Messages) -> Messages:
        return (*messages[-self.kept :], Message("assistant", "Four."), Message("user", "Sure?"))


def test_what_was_called_stays_behind_the_question_when_turns_follow() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    used: Turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
    ]
    mitigation = Appends("", None)  # type: ignore[arg-type]
    mitigation.kept = 2
    found = Conversation.of([*ASKED, *used]).rewritten(mitigation)
    assert list(found.given) == [
        *ASKED, *used, {"role": "assistant", "content": "Four."}, {"role": "user", "content": "Sure?"},
    ]  # fmt: skip
    assert [found.given[place]["content"] for place in found.places] == [m.content for m in found.seen]


class Forgets(Mitigation):
    """Acts on records, which conversations do not bring."""

    name = "forgets"

    def known(self, person: object) -> object:
        return person


def test_what_acts_on_records_is_not_shipped_as_if_it_did_something() -> None:
    forgets = Forgets("", None)  # type: ignore[arg-type]
    upstream = Upstream("http://127.0.0.1:9/v1", api_key_env=None, timeout_s=1, concurrency=1)
    for ship in (
        lambda: mitigated(ASKED, forgets), lambda: Assistant(str, forgets), lambda: Endpoint(upstream, forgets),
    ):  # fmt: skip
        with pytest.raises(SpecError, match="acts on records of people"):
            ship()


TEXTS = st.text(max_size=60) | st.sampled_from(
    ["", "Hello!  Two  spaces.\n\n\n\nAnd lines?!", "def f():\n    return 1"]
)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": "u"}}), st.just("odd"),
)  # fmt: skip
TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "critic"]),
        "content": st.one_of(TEXTS, st.none(), st.lists(PARTS, max_size=3)),
    },
    optional={"name": st.just("ann"), "tool_calls": st.just([{"id": "c"}])},
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TURN, max_size=5))
def test_without_facts_about_the_user_every_byte_stays(turns: Turns) -> None:
    for turn in turns:
        text = text_of(turn)
        assume(not find_cues(text) and not tells(text))
    assert json.dumps(mitigated(turns, "neutralize")) == json.dumps(turns)


@given(st.lists(TURN, max_size=8), st.sampled_from(["defense:Be fair.", "defense:Be fair.@question", "neutralize"]))
def test_what_a_mitigation_does_not_see_is_sent_as_it_came(turns: Turns, reference: str) -> None:
    conversation = Conversation.of(turns)
    found = conversation.rewritten(make_mitigation(reference))
    hidden = [t for n, t in enumerate(conversation.given) if n not in conversation.places]
    assert [t for n, t in enumerate(found.given) if n not in found.places] == hidden
    assert [text_of(found.given[n]).split() for n in found.places] == [m.content.split() for m in found.seen]


@given(st.lists(PARTS, min_size=1, max_size=5), st.integers(0, 200), st.integers(0, 200), st.text(max_size=9))
def test_parts_hold_the_new_text_and_everything_else(parts: list[Any], start: int, length: int, new: str) -> None:
    turn = {"role": "user", "content": parts}
    before_it = text_of(turn)
    after = before_it[:start] + new + before_it[start + length :]
    found = with_text(turn, before_it, after)
    others = [p for p in parts if p == "odd" or p["type"] != "text"]
    assert [p for p in found["content"] if p == "odd" or p["type"] != "text"] == others
    assert "".join(text_of(found).split()) == "".join(after.split())


def test_labels_show_no_folders_and_no_texts(tmp_path: Path) -> None:
    assert label_of("neutralize") == "neutralize"
    assert label_of("ensemble:4") == "ensemble:4"
    assert label_of("defense:/home/ann/mine.toml") == "defense:mine.toml"
    assert label_of("defense:Nobody is a minor.\nX: y") == "defense:(text)"
    file = tmp_path / "d.txt"
    file.write_text("One.")
    first = fingerprint("d", make_mitigation(f"defense:{file}"))
    file.write_text("Two.")
    assert first != fingerprint("d", make_mitigation(f"defense:{file}"))


def test_what_a_study_showed_goes_along(server: Server, tmp_path: Path) -> None:
    defense = tmp_path / "mine.txt"
    defense.write_text("Be fair to all.")
    study(server, tmp_path / "plain", limit=2)
    mitigate(tmp_path / "plain", [f"defense:{defense}", "neutralize"], tmp_path / "set", draws=50)
    found = evidence(tmp_path / "set", mitigation="neutralize", against=tmp_path / "plain")
    assert (found.mitigation, found.confirmed) == ("neutralize", False)
    assert found.lines[0].startswith("Not confirmed: on the items of this study")
    assert any(line.startswith("bias, safety: ") and "95 % interval" in line for line in found.lines)
    assert "openai:m" in found.lines[-1]
    with pytest.raises(SpecError, match=r"several mitigated studies.*Add --mitigation with one of: .*neutralize"):
        evidence(tmp_path / "set")
    with pytest.raises(SpecError, match="has no mitigation"):
        evidence(tmp_path / "plain")
    with pytest.raises(SpecError, match="neither a study nor"):
        evidence(tmp_path / "nowhere")
    one = f"defense:{defense}"
    assert "--against" in evidence(tmp_path / "set", mitigation=one).lines[0]
    alone = next(d for d in (tmp_path / "set").iterdir() if "neutralize" in d.name)
    with pytest.raises(SpecError, match="is about the mitigation neutralize"):
        evidence(alone, mitigation=one)
    defense.write_text("Be fair to some.")
    with pytest.raises(SpecError, match="its file has changed"):
        evidence(tmp_path / "set", mitigation=one)


@pytest.mark.parametrize(
    ("verdict", "first"),
    [("improvement shown", "Confirmed on fresh items"), ("no improvement shown", "Not confirmed: no improvement")],
)
def test_what_an_evolved_defense_showed_goes_along(tmp_path: Path, verdict: str, first: str) -> None:
    file = tmp_path / "defense.toml"
    file.write_text(
        f'text = "Be fair."\n[provenance]\nverdict = "{verdict}"\nmodel = "smollm2"\nmargin = 2.0\nsuites = ["s"]\n'
        "[provenance.against_none.bias]\nbefore = 9.0\nafter = 3.0\nchange = -6.0\nci = [-9.0, -3.0]\n"
    )
    found = evidence(file)
    assert found.confirmed == first.startswith("Confirmed")
    assert found.lines[0].startswith(first)
    assert found.lines[1] == "bias: 9.0 -> 3.0 points, change -6.0 (95 % interval -9.0 to -3.0)"
    assert "smollm2 on s;" in found.lines[-1]
    file.write_text('text = "Be fair."\n')
    assert not evidence(file).confirmed
