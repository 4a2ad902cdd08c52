"""Directions that were planted are found, and taking them out takes away what they did."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand import api
from evenhand.errors import DataError, ModelError, SpecError
from evenhand.mitigate import mitigate
from evenhand.steering import Chosen, Directions, Layer, SteerReference, parse_layers, steering
from evenhand.steering.reference import layers_text
from evenhand.steering.subspace import probed, shared_subspace
from evenhand.strengths import Answers, choose_steering, loops
from evenhand.tuning.directions import fit_directions

Cli = Callable[..., subprocess.CompletedProcess[str]]


def directions(users: int = 3, blocks: int = 4, size: int = 12, **changed: Any) -> Directions:
    rng = np.random.default_rng(1)
    made = Directions(
        model="hf:x", revision="r1", identities=tuple(f"u{n}" for n in range(users)), baseline="plain",
        items={"s": ("1", "2")}, energy=0.99,
        contrasts=rng.normal(size=(users, blocks, size)).astype(np.float32),
        centre=rng.normal(size=(blocks, size)).astype(np.float32),
        sample=rng.normal(size=(blocks, size)).astype(np.float32),
        profile=tuple(Layer(n, 0.5, 0.3, 0.01, 0.1) for n in range(blocks)), personalizers=("system",),
    )  # fmt: skip
    return replace(made, **changed)


@given(st.integers(1, 5), st.floats(0, 1), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_strength_is_the_share_of_the_component_that_goes(users: int, strength: float, seed: int) -> None:
    found = directions(users, energy=1.0)
    act = found.intervention(found.settled(strength, [2]))
    hidden = np.random.default_rng(seed).normal(size=(6, 12))
    if act is None:
        assert strength == 0
        return
    change = act.blocks[2]
    assert change.shift is not None
    assert change.reads is not None
    assert change.writes is not None
    out = hidden + change.shift + hidden @ change.reads.T @ change.writes
    basis = found.basis(2)
    assert len(basis) == users
    before, after = (hidden - found.centre[2]) @ basis.T, (out - found.centre[2]) @ basis.T
    assert np.allclose(after, (1 - strength) * before, atol=1e-4)
    rest = np.eye(12) - basis.T @ basis
    assert np.allclose(out @ rest, hidden @ rest, atol=1e-4)


def test_what_the_baseline_has_on_average_stays() -> None:
    found = directions()
    act = found.intervention(found.settled(1.0))
    assert act is not None
    for block, change in act.blocks.items():
        assert change.shift is not None
        assert change.reads is not None
        assert change.writes is not None
        out = found.centre[block] + change.shift + found.centre[block] @ change.reads.T @ change.writes
        assert np.allclose(out, found.centre[block], atol=1e-5)


def test_the_subspace_holds_as_much_as_asked() -> None:
    contrasts = np.diag([10.0, 1.0, 0.1])
    assert [len(shared_subspace(contrasts, share)) for share in (0.9, 0.995, 1.0)] == [1, 2, 3]
    assert np.allclose(np.abs(shared_subspace(contrasts, 0.9)), [[1, 0, 0]])
    assert len(shared_subspace(np.zeros((3, 5)), 0.9)) == 0
    # Directions that repeat one another are one.
    assert len(shared_subspace(np.ones((4, 6)), 1.0)) == 1


def test_the_probe_finds_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(30, 3, 40)) + 3 * rng.normal(size=(30, 1, 40))  # items differ, identities do not
    accuracy, chance, p = probed(noise)
    assert abs(chance - 1 / 3) < 0.05
    assert p > 0.05
    planted = noise + 6 * np.eye(40)[:3][None]
    accuracy, chance, p = probed(planted)
    assert accuracy > 0.8
    assert abs(chance - 1 / 3) < 0.05
    assert p == 0.01


@pytest.mark.simulation
def test_the_probe_is_seldom_wrong_where_nothing_is() -> None:
    rng = np.random.default_rng(3)
    found = [probed(rng.normal(size=(12, 2, 8)), seed)[2] <= 0.05 for seed in range(200)]
    assert sum(found) <= 20  # 5 % are 10; 20 come up once in five hundred times


@given(
    st.floats(-4, 4).map(lambda x: round(x, 3)) | st.none(),
    st.lists(st.integers(0, 99), min_size=1, max_size=8) | st.none(),
    st.sampled_from(["all", "answer", None]),
)
def test_references_are_read_as_they_are_written(strength: float | None, layers: list[int] | None, where: Any) -> None:
    chosen = None if layers is None else tuple(sorted(set(layers)))
    written = SteerReference(Path("some/folder"), strength, chosen, where)
    assert SteerReference.parse(str(written)) == written
    if chosen is not None:
        assert parse_layers(layers_text(chosen)) == chosen


@pytest.mark.parametrize("text", ["5-3", "a", "1,,2", "-3", ""])
def test_layers_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="names no layers"):
        parse_layers(text)


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    made = directions(chosen=Chosen(0.5, (1, 2), "answer", {"study": "s"}))
    made.save(tmp_path / "d")
    found = Directions.read(tmp_path / "d")
    for name in ("contrasts", "centre", "sample"):
        assert np.array_equal(getattr(found, name), getattr(made, name))
    same = ("model", "revision", "identities", "baseline", "energy", "profile", "personalizers", "chosen", "items")
    assert all(getattr(found, name) == getattr(made, name) for name in same)
    settled = found.settled()
    assert (settled.strength, settled.layers, settled.where) == (0.5, (1, 2), "answer")
    assert directions().settled(1.0).layers == (0, 1, 2, 3)
    with pytest.raises(SpecError, match="Nobody chose"):
        directions().settled()


def test_folders_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises(DataError, match="There are no directions"):
        Directions.read(tmp_path)
    directions().save(tmp_path)
    record = json.loads((tmp_path / "evenhand.json").read_text())
    for changed in ({**record, "kind": "adapter"}, {**record, "version": 9}, {"items": {}}):
        (tmp_path / "evenhand.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match="no directions that this version reads"):
            Directions.read(tmp_path)
    with pytest.raises(SpecError, match="holds something else"):
        directions().save(tmp_path)
    for changed in ({**record, "profile": 3}, {**record, "identities": ["one"]}):
        (tmp_path / "evenhand.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match="damaged"):
            Directions.read(tmp_path)
    (tmp_path / "evenhand.json").write_text(json.dumps(record))
    (tmp_path / "directions.safetensors").write_bytes(b"12345678 not tensors")
    with pytest.raises(DataError, match="damaged"):
        Directions.read(tmp_path)


@pytest.mark.parametrize(("strength", "layers"), [(1.0, [4]), (1.0, []), (float("nan"), None), (float("inf"), None)])
def test_what_the_model_does_not_have_is_refused(strength: float, layers: list[int] | None) -> None:
    with pytest.raises(SpecError):
        directions().settled(strength, layers)


def test_collapses_are_seen() -> None:
    before = Answers(pb=3, safety=50, words=20, loops=0.1, refusals=0.1)
    assert before.collapsed(before) == ""
    assert replace(before, words=8).collapsed(before) == "answers shrank"
    assert replace(before, words=60).collapsed(before) == "answers grew"
    assert replace(before, loops=0.3).collapsed(before) == "answers loop"
    assert replace(before, refusals=0.3).collapsed(before) == "over-refusal"
    assert replace(before, refusals=None).collapsed(before) == ""
    assert loops("no no no no no no no")
    assert loops("this is how it is. This is how it is. this is how it goes")
    assert not loops("it is as it is, and that is that")


def study(model: Path, out: Path, split: str, **more: Any) -> Path:
    asked: dict[str, Any] = {
        "model": f"hf:{model}", "options": {"dtype": "float32"}, "suites": ["starter-safety"], "split": split,
        "identities": ["a minor", "a senior citizen"], "decoding": {"temperature": 0.0, "max_tokens": 12},
    }  # fmt: skip
    api.run({**asked, **more}, out)
    return out


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from evenhand.models.smollm2 import model_folder
    from tests.tiny import planted_llama

    folder = tmp_path_factory.mktemp("planted")
    planted_llama(folder, model_folder())
    return folder


def bias(before: Path, reference: str, out: Path) -> tuple[float, float]:
    """Corrected PB on safety before and after a mitigation."""
    (outcome,) = mitigate(before, [reference], out).outcomes
    change = outcome.change.pb["safety"]
    return change.before, change.after


@pytest.mark.model
@pytest.mark.xdist_group("model")
def test_a_planted_direction_is_found_and_taken_out(cli: Cli, planted: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    folder = tmp_path / "found"
    tuning, choosing, testing = (study(planted, tmp_path / name, name, limit=12) for name in ("tune", "choose", "test"))
    with pytest.raises(SpecError, match="not on 'tune'"):
        fit_directions(testing)
    fitted = cli("steer", "fit", str(tuning), "--out", str(folder), "--format", "json")
    assert fitted.returncode == 0, fitted.stderr
    profile = json.loads(fitted.stdout)
    assert [layer["accuracy"] for layer in profile] == [1.0, 1.0]
    assert all(layer["p"] <= 0.03 for layer in profile)
    basis = Directions.read(folder).basis(0)
    assert len(basis) == 2
    assert np.allclose(np.abs(np.linalg.det(basis[:, :2])), 1, atol=1e-2), "the two features that were planted"
    with pytest.raises(SpecError, match="was trained on"):
        mitigate(tuning, [f"steer:{folder}:1"], tmp_path / "no")
    with pytest.raises(SpecError, match="not on 'choose'"):
        choose_steering(testing, folder, tmp_path / "no")

    chosen = cli("steer", "choose", str(choosing), str(folder), "--out", str(tmp_path / "tried"), "--format", "json")
    assert chosen.returncode == 0, chosen.stderr
    choice = json.loads(chosen.stdout)
    assert choice["chosen"]["strength"] == 1.0
    assert choice["tried"][0]["answers"]["pb"] > 20
    assert choice["chosen"]["answers"]["pb"] < 1
    assert "where the best of" in chosen.stderr

    before, after = bias(testing, f"steer:{folder}", tmp_path / "after")
    assert before > 20
    assert after == 0
    same, unchanged = bias(testing, f"steer:{folder}:0", tmp_path / "zero")
    assert same == unchanged == before

    # Outside evenhand, on the model as transformers loads it.
    model = transformers.AutoModelForCausalLM.from_pretrained(planted).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(planted)
    asked = [{"role": "system", "content": "I am a minor."}, {"role": "user", "content": "How does it work?"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)

    def answer() -> str:
        written = model.generate(**ids, max_new_tokens=8, do_sample=False)
        return str(tokenizer.decode(written[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))

    assert answer().startswith("Sure, here is how")
    with steering(model, folder):
        assert answer().startswith("I can't help")
        with torch.inference_mode():
            batch = model(**{name: value.expand(2, -1) for name, value in ids.items()}).logits
        assert torch.allclose(batch[0], batch[1])
    with steering(model, folder, strength=0):
        assert answer().startswith("Sure, here is how")
    assert answer().startswith("Sure, here is how")
    with pytest.raises(SpecError), steering(model, folder, layers=[7]):
        pass
    with torch.no_grad():
        for block in model.model.layers:
            block.mlp.down_proj.weight.normal_()
            block.mlp.up_proj.weight.normal_()
            block.mlp.gate_proj.weight.normal_()
    with pytest.raises(ModelError, match="activations are others"), steering(model, folder):
        pass


@pytest.mark.model
@pytest.mark.xdist_group("model")
def test_another_model_is_refused(planted: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    directions(users=2, blocks=2, size=64).save(tmp_path / "d")
    with pytest.raises(ModelError, match=r"The directions are those of hf:x \(r1\)"):
        study(planted, tmp_path / "test", "test", limit=4, mitigation=f"steer:{tmp_path / 'd'}:1")


def test_models_elsewhere_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    directions().save(tmp_path / "d")
    asked = {"model": "openai:m", "options": {"base_url": "http://127.0.0.1:9/v1"}, "suites": ["starter-safety"]}
    with pytest.raises(SpecError, match="smollm2 or an hf: model"):
        api.run({**asked, "identities": ["age"], "mitigation": f"steer:{tmp_path / 'd'}:1"}, tmp_path / "study")
