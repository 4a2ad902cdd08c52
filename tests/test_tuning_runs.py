"""Tuning with a loss of each row, on a tiny model: it goes on after a kill, is checked, and is exported whole."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest

from evenhand.analysis.collapse import collapse
from evenhand.errors import DataError, SpecError
from evenhand.exporting import export_adapter
from evenhand.loops import run_async
from evenhand.models import ModelOptions, make_model, respond_all
from evenhand.runner import run_study
from evenhand.study import StudySpec
from evenhand.study.splits import ADAPTER_FILE
from evenhand.tuning import check, train
from evenhand.tuning.objectives import GroupWeights
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.train import Tuned, tune
from evenhand.types import Decoding, Message, Request, Response
from tests.test_collapse import answers, usual
from tests.test_tuning import tuning_study
from tests.tiny import tiny_llama

pytestmark = pytest.mark.model
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def spec(tmp_path: Path, smollm2_folder: Path) -> TuningSpec:
    model = tiny_llama(tmp_path / "model", smollm2_folder)
    model.lm_head.weight.data *= 50
    model.save_pretrained(tmp_path / "model")
    return TuningSpec(
        model=f"hf:{tmp_path / 'model'}", objective="dpo+kl", group_step=0.5, sft_weight=0.1, learning_rate=0.02,
        max_steps=4, batch_size=2, rank=2, dtype="float32",
    )  # fmt: skip


@pytest.fixture
def study(cli: Cli, data_dir: Path, tmp_path: Path) -> Path:
    tuning_study(cli, data_dir, tmp_path / "study")
    return tmp_path / "study"


def test_a_killed_run_ends_as_one_that_was_not(
    spec: TuningSpec, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "_SAVE_STEPS", 1)
    whole = tune(spec, tmp_path / "whole", study=study, check_items=0)
    weights = {key: value for key, value in whole.curve[-1].items() if key.startswith("weight/")}
    assert set(weights) == {"weight/plain", "weight/a minor", "weight/an adult"}
    assert sum(weights.values()) == pytest.approx(1)
    assert len(set(weights.values())) > 1
    assert all(entry["kl"] >= 0 for entry in whole.curve)
    update, steps = GroupWeights.update, iter(range(100))

    def killed(self: GroupWeights, groups: list[str], losses: list[float]) -> None:
        if next(steps) == 2:
            raise KeyboardInterrupt
        update(self, groups, losses)

    monkeypatch.setattr(GroupWeights, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(spec, tmp_path / "killed", study=study, check_items=0)
    assert list((tmp_path / "killed").glob("*/iteration-1/checkpoints/checkpoint-2"))
    (checkpoints,) = (tmp_path / "killed").glob("*/iteration-1/checkpoints")
    shutil.copytree(checkpoints / "checkpoint-2", checkpoints / "checkpoint-3")  # killed while the next was saved
    (checkpoints / "checkpoint-3" / "trainer_state.json").write_text("")
    (checkpoints / "checkpoint-3" / "optimizer.pt").write_bytes(b"PK")
    (checkpoints.parent / "curve.json.half").write_text('{"curve": [')
    monkeypatch.setattr(GroupWeights, "update", update)
    resumed = tune(spec, tmp_path / "killed", study=study, check_items=0)
    assert resumed.adapter.name == whole.adapter.name
    assert resumed.steps == whole.steps == 4
    for entry, other in zip(resumed.curve, whole.curve, strict=True):
        assert entry == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert not checkpoints.exists()


def test_an_adapter_is_checked_before_it_is_done(
    spec: TuningSpec, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tune(spec, tmp_path / "adapters", study=study, check_items=1)
    assert made.collapse is not None
    assert made.collapse.collapsed is None  # one item shows nothing
    for name in ("before", "after"):
        assert (made.adapter / check.FOLDER / name / "study.sqlite").exists()
    found = collapse(answers(usual), answers(usual, declined=True))
    monkeypatch.setattr(train, "check", lambda *_, **__: found)
    assert tune(spec, tmp_path / "adapters", study=study, check_items=1).collapse == made.collapse  # not asked again
    record = json.loads((made.adapter / ADAPTER_FILE).read_text())
    del record["collapse"]
    (made.adapter / ADAPTER_FILE).write_text(json.dumps(record))
    again = tune(spec, tmp_path / "adapters", study=study)  # made before there were checks
    assert not again.new
    assert again.collapse == found
    assert json.loads((made.adapter / ADAPTER_FILE).read_text())["collapse"] == json.loads(orjson.dumps(asdict(found)))


def said(model: str, adapter: Path | None) -> list[str]:
    """What a model answers to three questions, greedily."""
    asked = [
        Request((Message("user", text),), Decoding(temperature=0.0, max_tokens=12), seed=0)
        for text in ("How do I whistle?", "Who are you?", "Sing!")
    ]
    options = ModelOptions(adapter=str(adapter) if adapter else None, dtype="float32", device="cpu")
    found = run_async(respond_all(make_model(model, options), asked))
    return [answer.text for answer in found if isinstance(answer, Response)]


@pytest.fixture
def tuned(spec: TuningSpec, study: Path, tmp_path: Path) -> Tuned:
    return tune(spec, tmp_path / "adapters", study=study, check_items=0)


def test_merged_weights_answer_as_the_adapter_does(tuned: Tuned, spec: TuningSpec, study: Path, tmp_path: Path) -> None:
    out = export_adapter(tuned.adapter, tmp_path / "merged")
    merged = said(f"hf:{out}", None)
    assert merged == said(spec.model, tuned.adapter)
    assert merged != said(spec.model, None)
    card = (out / "README.md").read_text()
    assert card.startswith("---\n")
    assert "base_model_relation: merge" in card
    assert "license: other" in card
    assert "**Its bias, safety and utility were not measured.**" in card
    assert "do-not-answer: " in card
    assert "CC BY-NC-SA 4.0" in card
    assert "forbids commercial use" in card
    assert all(str(tmp_path) not in file.read_text() for file in (out / "README.md", out / ADAPTER_FILE))
    assert not (out / "pairs.jsonl").exists()
    with pytest.raises(SpecError, match="something in"):
        export_adapter(tuned.adapter, out)
    # What the weights learned is not measured on them, merged or not.
    trained = StudySpec.parse(
        {"model": f"hf:{out}", "suites": ["do-not-answer"], "identities": ["a minor"], "split": "tune",
         "data_dir": study_data(study)}, "here",
    )  # fmt: skip
    with pytest.raises(SpecError, match="was trained on"):
        run_study(trained, tmp_path / "no")


def study_data(study: Path) -> str:
    """The data directory that a study was run with."""
    import tomllib

    return str(tomllib.loads((study / "study.toml").read_text())["data_dir"])


def test_the_card_states_what_two_studies_measured(tuned: Tuned, spec: TuningSpec, study: Path, tmp_path: Path) -> None:
    def measured(name: str, adapter: Path | None) -> Path:
        plan = {
            "model": spec.model, "suites": ["starter-safety", "starter-utility:reasoning"],
            "identities": ["a minor", "an adult"], "baselines": ["plain"], "split": "test", "limit": 4,
            "decoding": {"temperature": 0.0, "max_tokens": 4},
            "options": {"dtype": "float32", "adapter": str(adapter) if adapter else None},
        }  # fmt: skip
        run_study(StudySpec.parse(plan, "here"), tmp_path / name)
        return tmp_path / name

    before, after = measured("before", None), measured("after", tuned.adapter)
    out = export_adapter(tuned.adapter, tmp_path / "alone", before=before, after=after, merge=False)
    card = (out / "README.md").read_text()
    assert "| PB safety, corrected |" in card
    assert "| utility |" in card
    assert "4 of starter-safety" in card
    assert "Not measured: fit; gain" in card
    assert "kept for testing" not in card  # they were
    assert "not-measured" not in card
    shutil.copytree(out, tmp_path / "copy")
    assert said(spec.model, tmp_path / "copy") == said(spec.model, tuned.adapter)
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "model"
    with pytest.raises(SpecError, match="needs two studies"):
        export_adapter(tuned.adapter, tmp_path / "x", before=before)
    with pytest.raises(SpecError, match="not run with the adapter"):
        export_adapter(tuned.adapter, tmp_path / "x", before=before, after=before)
    with pytest.raises(SpecError, match="run with an adapter"):
        export_adapter(tuned.adapter, tmp_path / "x", before=after, after=after)
    with pytest.raises(DataError, match="no adapter"):
        export_adapter(tmp_path, tmp_path / "x")


def test_the_card_of_a_collapsed_adapter_says_so_first(tuned: Tuned, cli: Cli, tmp_path: Path) -> None:
    record = json.loads((tuned.adapter / ADAPTER_FILE).read_text())
    found = collapse(answers(usual), answers(usual, declined=True))
    record["collapse"] = json.loads(orjson.dumps(asdict(found)))
    (tuned.adapter / ADAPTER_FILE).write_text(json.dumps(record))
    done = cli("export-adapter", str(tuned.adapter), "--out", str(tmp_path / "out"), "--alone")
    assert done.returncode == 0, done.stderr
    assert "nothing was measured" in done.stderr
    card = (tmp_path / "out" / "README.md").read_text()
    first = card.index("**It collapsed: declines 100 % of safe prompts (0 % before). It is of no use")
    assert first < card.index("not measured") < card.index("## Training")
