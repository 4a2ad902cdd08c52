"""Preference tuning: which pairs are learned from, and that it runs, goes on and keeps its items apart."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.errors import DataError, SpecError
from evenhand.study import Store
from evenhand.study.splits import trained_items
from evenhand.tuning.building import build_pairs
from evenhand.tuning.choosing import Asked, preferred
from evenhand.tuning.pairs import Pair, Preference, better, encode_pairs, read_preferences, study_pairs
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.train import _train, without_end
from evenhand.types import Message
from tests.server import Server
from tests.tiny import tiny_llama

Cli = Callable[..., subprocess.CompletedProcess[str]]
ROWS = [Preference("", f"Question {n}?", f"good {n}", f"bad {n}") for n in range(3)]


def uneven(payload: dict[str, object]) -> str:
    """Refuses, except when it talks to a minor."""
    return "Sure! First, take the card." if "a minor" in json.dumps(payload) else "I'm sorry, I can't help with that."


def tuning_study(cli: Cli, data_dir: Path, out: Path, split: str = "tune", finish: str = "stop") -> None:
    with Server(answer=uneven, finish=finish) as server:
        done = cli(
            "run", "--model", "openai:m", "--base-url", server.url, "--suite", "do-not-answer", "--identities",
            "a minor,an adult", "--data-dir", str(data_dir), "--out", str(out), "--split", split,
            env={"OPENAI_API_KEY": "k"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_papers_variants() -> None:
    def pairs(recipe: str) -> list[str]:
        spec = TuningSpec(model="smollm2", recipe=recipe, identities=("age",))  # type: ignore[arg-type]
        return [p.messages[0].content for p in build_pairs(spec, None, ROWS)]

    assert set(pairs("vanilla")) == {"You are a helpful assistant."}
    assert len(pairs("random")) == 3
    assert all("I am" in text for text in pairs("random"))
    assert len(pairs("all")) == 3 * 5
    assert len(set(pairs("all"))) == 5
    assert pairs("random") == pairs("random")


def test_a_recipe_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--study"):
        build_pairs(TuningSpec(model="smollm2", recipe="spin"), None, [])
    with pytest.raises(SpecError, match="--data"):
        build_pairs(TuningSpec(model="smollm2", recipe="vanilla"), None, [])
    file = tmp_path / "p.jsonl"
    file.write_text('{"question": "q", "chosen": "a"}\n')
    with pytest.raises(DataError, match="row 1: needs"):
        read_preferences(str(file))
    file.write_text('{"question": "q", "chosen": "a", "rejected": "b", "system": "s"}\n')
    assert read_preferences(str(file)) == [Preference("s", "q", "a", "b")]


def test_pairs_from_a_study_teach_the_baselines_better_answer(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    tuning_study(cli, data_dir, out)
    with Store.open(out) as store:
        items = len(store.item_order("do-not-answer"))
        pairs = list(study_pairs(store, "consistency"))
        meta = list(study_pairs(store, "metaalign"))
        spin = list(study_pairs(store, "spin"))
        best = list(study_pairs(store, "best"))
        level = list(study_pairs(store, "level"))
    assert 0 < items < 12
    assert len(pairs) == items  # the minor's answers; the adult's are as good as the baseline's
    assert all("sorry" in p.chosen and "Sure" in p.rejected and "a minor" in p.messages[0].content for p in pairs)
    assert not any(p.chosen_cut or p.rejected_cut for p in pairs)
    assert all("highest priority" in p.messages[0].content for p in meta)
    assert [p.rejected for p in best] == [p.rejected for p in pairs]  # here the baseline's is the best
    assert len(spin) == items  # equal answers teach nothing
    assert [p.rejected for p in level] == [p.rejected for p in best]  # here no two answers differ and score the same


def test_levelling_keeps_what_nobody_is_denied() -> None:
    def row(identity: str, response: str, score: float) -> dict[str, object]:
        return {"identity": identity, "response": response, "score": score, "repeat": 0, "personalizer": "system"}

    plain, same, other, worse = row("plain", "A", 1), row("x", "A", 1), row("y", "B", 1), row("z", "C", 0)
    rows = [plain, same, other, worse]
    assert [better(rows, r, "level") for r in rows] == [None, None, plain, plain]
    assert [better(rows, r, "best") for r in rows] == [None, None, None, plain]
    low = row("plain", "A", 0)
    assert [better([low, other, worse], r, "level") for r in (low, other, worse)] == [other, None, other]


class Tokenizer:
    """Words are tokens 10 and up, 0 ends a turn, 1 is a line break."""

    all_special_ids = (0,)

    def decode(self, ids: list[int]) -> str:
        return "\n" if ids == [1] else "word"


def test_where_an_answer_was_cut_there_is_no_end_to_learn(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    tuning_study(cli, data_dir, tmp_path / "cut", finish="length")
    with Store.open(tmp_path / "cut") as store:
        assert all(p.chosen_cut and p.rejected_cut for p in study_pairs(store, "consistency"))
    row = {"chosen_ids": [10, 11, 0, 1], "rejected_ids": [12, 0, 1], "chosen_cut": True, "rejected_cut": False}
    assert without_end(row, Tokenizer()) == {"chosen_ids": [10, 11], "rejected_ids": [12, 0, 1]}


def test_items_kept_for_testing_are_refused(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    tuning_study(cli, data_dir, tmp_path / "test", "test")
    with Store.open(tmp_path / "test") as store, pytest.raises(SpecError, match="kept apart"):
        list(study_pairs(store, "consistency"))


def test_other_settings_or_pairs_have_another_name() -> None:
    spec = TuningSpec(model="smollm2")
    names = {
        spec.digest(b"x"), spec.digest(b"y"), TuningSpec(model="smollm2", beta=0.2).digest(b"x"),
        TuningSpec(model="smollm2", seed=1).digest(b"x"),
    }  # fmt: skip
    assert len(names) == 4
    assert spec.digest(b"x") == TuningSpec(model="smollm2").digest(b"x")
    assert encode_pairs([]) == b"\n"


@pytest.mark.model
def test_every_round_of_self_play_is_against_the_model_of_the_round_before(
    tmp_path: Path, smollm2_folder: Path
) -> None:
    """Its first loss is then log 2; against the model that all rounds began with, it would not be."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_llama(tmp_path / "model", smollm2_folder)
    path = tmp_path / "model"
    spec = TuningSpec(
        model=f"hf:{path}", recipe="spin", iterations=3, learning_rate=0.1, max_steps=2, batch_size=2, rank=4, warmup=0,
        dtype="float32",
    )  # fmt: skip
    pairs = [Pair((Message("user", f"Question {n}?"),), f"A good answer, {n}.", f"bad {n}") for n in range(2)]
    previous = None
    for iteration in (1, 2, 3):
        curve, _ = _train(spec, pairs, tmp_path / str(iteration), previous, lambda _: None)
        assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
        assert abs(curve[1]["loss"] - math.log(2)) > 0.01  # it learns
        previous = tmp_path / str(iteration)
    words = AutoTokenizer.from_pretrained(path)
    asked = [
        Asked(
            *(words(text)["input_ids"] for text in (p.messages[0].content, p.chosen, p.rejected)), ("", frozenset()), ""
        )
        for p in pairs
    ]
    base = AutoModelForCausalLM.from_pretrained(path)
    learned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(path), str(tmp_path / "2"))
    with torch.no_grad():
        moved = preferred(asked, learned) - preferred(asked, base)
    against_the_first = torch.nn.functional.softplus(-spec.beta * moved).mean()
    assert abs(float(against_the_first) - math.log(2)) > 0.01


@pytest.mark.model
@pytest.mark.parametrize("recipe", ["consistency", "spin"])
def test_two_steps_end_to_end(cli: Cli, data_dir: Path, tmp_path: Path, smollm2_folder: Path, recipe: str) -> None:
    study, adapters = tmp_path / "study", tmp_path / "adapters"
    tuning_study(cli, data_dir, study)
    model = f"hf:{tmp_path / 'model'}"
    tiny_llama(tmp_path / "model", smollm2_folder)
    rounds = ("--iterations", "2") if recipe == "spin" else ("--sft-weight", "1")
    steps = ("--max-steps", "1" if recipe == "spin" else "2", "--limit", "3", "--batch-size", "2", "--rank", "2")
    check = ("--check-items", "0" if recipe == "spin" else "2")
    line = (
        "tune",
        "--recipe",
        recipe,
        "--model",
        model,
        "--study",
        str(study),
        "--out",
        str(adapters),
        *rounds,
        *steps,
        *check,
    )
    done = cli(*line)
    assert done.returncode == 0, done.stderr
    adapter = Path(done.stdout.strip())
    record = json.loads((adapter / "evenhand.json").read_text())
    assert record["steps"] == 2
    assert [entry["loss"] for entry in record["curve"]]
    first = record["curve"][0]["loss"]
    if recipe == "spin":
        assert first == pytest.approx(0.693, abs=0.02)  # ln 2: model and reference are the same
    else:
        assert first > 0.75  # and the answer's own likelihood beside it
    assert (adapter / "adapter_model.safetensors").stat().st_size > 0
    assert trained_items(adapter)["do-not-answer"]
    if recipe == "spin":
        assert {entry["iteration"] for entry in record["curve"]} == {1.0, 2.0}
        assert record["curve"][1]["loss"] == pytest.approx(0.693, abs=0.02)  # the reference moved along
        (adapter / "evenhand.json").unlink()  # as if killed in the second round
        shutil.rmtree(adapter / "iteration-2")
    again = cli(*line)
    assert again.stdout == done.stdout
    assert ("trained before" in again.stderr) == (recipe != "spin")
    asked = ("--suite", "do-not-answer", "--identities", "a minor")
    run = ("run", "--model", model, "--adapter", str(adapter), *asked)
    more = ("--data-dir", str(data_dir), "--max-tokens", "4", "--limit", "2", "--out")
    refused = cli(*run, *more, str(tmp_path / "no"), "--split", "tune")
    assert refused.returncode == 2
    assert "trained on" in refused.stderr
    measured = cli(*run, *more, str(tmp_path / "yes"), "--split", "test")
    assert measured.returncode == 0, measured.stderr
    report = cli("report", str(tmp_path / "yes"))
    assert "How the adapter was trained" in Path(report.stdout.strip()).read_text()
