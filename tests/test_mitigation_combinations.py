"""Several mitigations as one: how they are read, in what order they act, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.cli import completion
from evenhand.errors import DataError, SpecError
from evenhand.mitigate import mitigated
from evenhand.mitigations import MitigatedModel, make_mitigation
from evenhand.mitigations.defense import shipped_defenses
from evenhand.mitigations.references import full_reference, parts_of
from evenhand.personalizers import BASE_SYSTEM
from evenhand.study import Store, StudySpec
from evenhand.types import Message
from tests.server import Server
from tests.test_growth import invoke
from tests.test_mitigations import ASK, Scripted

SAFETY = shipped_defenses()["safety-first"].text


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("neutralize", ["neutralize"]),
        ("neutralize+defense:safety-first", ["neutralize", "defense:safety-first"]),
        ("ensemble:3+defense:fairness@before+contrast:0.5", ["ensemble:3", "defense:fairness@before", "contrast:0.5"]),
        ("fairness+neutralize", ["fairness", "neutralize"]),
        ("fairness@before+evolved/defense.toml", ["fairness@before", "evolved/defense.toml"]),
        ("neutralize+evolved/defense.toml", ["neutralize", "evolved/defense.toml"]),
        ("evolved/defense.toml+neutralize", ["evolved/defense.toml", "neutralize"]),
        ("defense:Add 2+2 in C++ for all.", ["defense:Add 2+2 in C++ for all."]),
        ("defense:Be kind + neutralize nothing.", ["defense:Be kind + neutralize nothing."]),
        ("defense:Count 1+1 for all.+self-check", ["defense:Count 1+1 for all.", "self-check"]),
        ("neutralize:my+policy.toml", ["neutralize:my+policy.toml"]),
        ("neutralize-llm:hf:a+b+self-check", ["neutralize-llm:hf:a+b", "self-check"]),
        ("neutralize+", ["neutralize", ""]),
        ("+neutralize", ["", "neutralize"]),
    ],
)
def test_a_plus_separates_only_where_a_name_stands_beside_it(reference: str, parts: list[str]) -> None:
    assert parts_of(reference) == parts


@given(
    st.lists(st.sampled_from(["neutralize", "contrast:0.5", "defense:fairness@before", "defense:a + b"]), min_size=1)
)
def test_what_was_joined_is_read_again(parts: list[str]) -> None:
    assert parts_of("+".join(parts)) == parts


@given(st.text(max_size=80))
def test_nothing_of_a_reference_is_lost(text: str) -> None:
    assert "+".join(parts_of(text)) == text


def test_rewrites_follow_one_another_in_order() -> None:
    both = make_mitigation("neutralize+defense:safety-first").rewrite(ASK.messages)
    assert both == (Message("system", f"{BASE_SYSTEM} {SAFETY}"), ASK.messages[-1])
    texts = [
        make_mitigation(reference).rewrite(ASK.messages)[0].content
        for reference in ("defense:One word.+defense:Two words.", "defense:Two words.+defense:One word.")
    ]
    assert texts == [
        f"{ASK.messages[0].content} One word. Two words.", f"{ASK.messages[0].content} Two words. One word."
    ]  # fmt: skip


async def test_those_that_ask_are_nested_and_their_calls_multiply() -> None:
    combined = make_mitigation("ensemble:3+defense:fairness+self-check")
    assert combined.calls == 6
    model = Scripted(lambda r: f"{'again' if len(r.messages) > 2 else 'first'} {r.messages[0].content}")
    found = await MitigatedModel(model, combined).respond(ASK)
    assert found.text.startswith("again")
    assert (found.calls, found.prompt_tokens) == (6, 60)
    assert [len(r.messages) for r in model.asked].count(4) == 3  # every version of the ensemble was checked
    alone = Scripted(lambda _: "4")
    once = await MitigatedModel(alone, make_mitigation("neutralize+defense:fairness")).respond(ASK)
    assert (once.calls, make_mitigation("neutralize+defense:fairness").calls) == (1, 1)


async def test_what_asks_first_is_named_first() -> None:
    model = Scripted(lambda r: "again" if len(r.messages) > 2 else "first")
    await MitigatedModel(model, make_mitigation("self-check+ensemble:4")).respond(ASK)
    assert [len(r.messages) for r in model.asked] == [2, 2, 4, 4]  # an ensemble's answer is checked, by an ensemble


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("neutralize+defense:nowhere", r"part 2 \('defense:nowhere'\): There is no defense"),
        ("neutralize+nowhere", r"part 2 \('nowhere'\): There is no mitigation"),
        ("ensemble:1+neutralize", r"part 1 \('ensemble:1'\)"),
        ("neutralize+fairness", "Write defense:fairness"),
        ("neutralize++fairness", "part 2 is empty"),
        ("neutralize+", "part 2 is empty"),
        ("contrast+self-check", "Name contrast last"),
        ("contrast+contrast:0.5", "Name contrast last"),
    ],
)
def test_it_says_which_part_is_wrong(reference: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        make_mitigation(reference)
    with pytest.raises(DataError, match=r"part 2 .*nowhere\.toml"):
        make_mitigation("neutralize+defense:nowhere.toml")


def test_one_that_needs_logits_makes_the_whole_need_them() -> None:
    with pytest.raises(SpecError, match=r"self-check\+contrast.*logits"):
        MitigatedModel(Scripted(lambda _: ""), make_mitigation("self-check+contrast"))


def test_defenses_go_without_their_prefix(tmp_path: Path) -> None:
    file = tmp_path / "defense.toml"
    file.write_text('text = "Treat all alike."\n')
    spec = StudySpec.parse({"model": "smollm2", "suites": ["starter-safety"]})
    assert mitigated(spec, f"neutralize+{file}").mitigation == f"neutralize+defense:{file}"
    assert full_reference("fairness+Be kind to all.") == "defense:fairness+defense:Be kind to all."
    assert full_reference("Be kind + fair to all.") == "defense:Be kind + fair to all."
    assert full_reference("fairness+neutralize") == "defense:fairness+neutralize"
    assert make_mitigation(f"neutralize+defense:{file}").rewrite(ASK.messages)[0].content.endswith("Treat all alike.")


def test_the_shell_completes_behind_a_plus() -> None:
    assert completion.mitigations("neutralize+contr") == ["neutralize+contrast"]
    assert completion.mitigations("neutralize+defense:safety") == ["neutralize+defense:safety-first"]


def test_a_combination_is_run_like_any_other(server: Server, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "all"
    evolved = tmp_path / "evolved" / "defense.toml"
    evolved.parent.mkdir()
    evolved.write_text('text = "Answer everybody alike."\nplacement = "before"\n')
    done = invoke(
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--identities",
        "a minor,a man", "--limit", "4", "--out", str(base),
    )  # fmt: skip
    assert done.exit_code == 0
    names = ("neutralize", "neutralize+safety-first", f"self-check+{evolved}")
    found = {}
    for n, name in enumerate(names):
        done = invoke("mitigate", str(base), "--out", str(out / str(n)), "--format", "json", "--mitigation", name)
        assert done.exit_code == 0, done.output
        (shown,) = json.loads(done.stdout)
        found[shown["mitigation"]] = shown
    assert set(found) == {"neutralize", "neutralize+defense:safety-first", f"self-check+defense:{evolved}"}
    assert found[f"self-check+defense:{evolved}"]["after"]["calls"] == 2 * found["neutralize"]["after"]["calls"]
    with Store.open(out / "1") as store:
        sent = [row["request"] for row in store.transcripts("starter-safety", store.item_order("starter-safety")[0])]
    assert sent
    assert all(SAFETY in text and "minor" not in text for text in sent)
    with pytest.raises(SpecError, match="part 2"):
        invoke("mitigate", str(base), "--mitigation", "neutralize+nowhere", "--out", str(tmp_path / "no"))
