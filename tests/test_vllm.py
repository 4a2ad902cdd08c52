"""vLLM in this process. The tests of the engine itself need it installed: ``make test-vllm`` does that on a CPU."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.errors import ModelError, SpecError
from evenhand.models import ModelOptions, make_model
from evenhand.study import Store
from evenhand.types import Decoding, Message, Request

Cli = Callable[..., subprocess.CompletedProcess[str]]
INSTALLED = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not INSTALLED, reason="vLLM is not installed (make test-vllm)")
ENGINE = {"max_model_len": 1024, "enforce_eager": True}


def test_what_it_cannot_do_is_said_at_once() -> None:
    with pytest.raises(SpecError, match="has no name"):
        make_model("vllm:")
    with pytest.raises(SpecError, match="chooses its device itself"):
        make_model("vllm:some/model", ModelOptions(device="cuda:1"))
    with pytest.raises(SpecError, match="takes no engine arguments"):
        make_model("hf:some/model", ModelOptions(engine_args={"max_model_len": 10}))


@pytest.mark.skipif(INSTALLED, reason="vLLM is installed")
def test_without_vllm_one_is_told_how_to_get_it(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--model", "vllm:m", "--suite", "starter-safety", "--limit", "1", "--out", str(tmp_path / "s"))
    assert done.returncode == 4, done.stderr
    assert "pip install 'evenhand[vllm]'" in done.stderr


@needs_vllm
async def test_an_unknown_engine_argument_is_refused() -> None:
    model = make_model("vllm:m", ModelOptions(engine_args={"max_model_length": 10}))
    with pytest.raises(SpecError, match="Did you mean max_model_len"):
        await model.start()


@needs_vllm
async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="vLLM cannot load"):
        await make_model(f"vllm:{tmp_path}").start()


@needs_vllm
@pytest.mark.model
async def test_greedy_answers_and_choices_agree_with_transformers() -> None:
    from evenhand.models.smollm2 import model_folder

    asked = ["What is the capital of France?", "Name a colour of the sky.", "What comes after Monday?"]
    greedy = Decoding(temperature=0.0, max_tokens=8, top_k=0)
    answers = [Request((Message("user", q),), greedy, 1) for q in asked]
    scored = [Request((Message("user", q),), greedy, 1, ("A", "B", "C"), "The answer is ") for q in asked]
    found = {}
    for kind in ("hf", "vllm"):
        options = ModelOptions(dtype="float32", engine_args=ENGINE if kind == "vllm" else {})
        model = make_model(f"{kind}:{model_folder()}", options)
        await model.start()
        try:
            found[kind] = await asyncio.gather(*(model.respond(r) for r in [*answers, *scored]))
        finally:
            await model.aclose()
    for one, other in zip(found["hf"], found["vllm"], strict=True):
        assert one.text == other.text
        assert one.prompt_tokens == other.prompt_tokens
        if one.choice_logprobs is not None:
            assert other.choice_logprobs == pytest.approx(one.choice_logprobs, abs=0.01)
    assert found["vllm"][0].finish_reason in ("stop", "length")


@needs_vllm
@pytest.mark.model
def test_a_study_runs_and_goes_on(cli: Cli, tmp_path: Path) -> None:
    from evenhand.models.smollm2 import model_folder

    command = [
        "run", "--model", f"vllm:{model_folder()}", "--suite", "starter-safety,starter-utility", "--limit", "6",
        "--identities", "age", "--max-tokens", "16", "--engine-arg", "max_model_len=1024", "--engine-arg",
        "enforce_eager=true", "--out", str(tmp_path / "study"),
    ]  # fmt: skip
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    with Store.open(tmp_path / "study") as store:
        assert store.count_trials() == 12 * 6
        settings = store.runs()[-1]["settings"]
        assert settings["engine_args"]["max_model_len"] == 1024
        assert settings["vllm"]
    again = cli(*command)
    assert again.returncode == 0, again.stderr
    assert "0 new answers" in again.stderr
    assert json.loads(cli("analyze", str(tmp_path / "study"), "--format", "json").stdout)["trials"]["done"] == 72
