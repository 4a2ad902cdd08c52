"""The embedded model and what every local model promises."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evenhand.errors import ModelError, SpecError
from evenhand.models import CallError, ModelOptions, make_model
from evenhand.models.chat import ChatFormat, merge_system
from evenhand.types import Decoding, Message, Request, Response
from tests.tiny import tiny_llama

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]


def request(text: str, seed: int = 1, **decoding: Any) -> Request:
    messages = (Message("system", "You are a helpful assistant."), Message("user", text))
    return Request(messages, Decoding(max_tokens=12, top_k=10, **decoding), seed)


QUESTIONS = ["Hi!", "What is the capital of France?", "Tell me a story about a fox. " * 3, "Why?", "Name a colour."]


async def answers(requests: list[Request], **options: Any) -> list[Any]:
    model = make_model("smollm2", ModelOptions(**options))
    await model.start()
    try:
        return list(await asyncio.gather(*(model.respond(r) for r in requests)))
    finally:
        await model.aclose()


async def test_sampling_does_not_depend_on_the_batch(smollm2_folder: Path) -> None:
    requests = [request(q, seed) for seed, q in enumerate(QUESTIONS * 2)]
    together = await answers(requests, batch_size=10, dtype="float32")
    alone = await answers(requests[::-1], batch_size=3, dtype="float32")
    assert [r.text for r in together] == [r.text for r in alone[::-1]]
    assert len({r.text for r in together}) > len(QUESTIONS), "another seed gives another sample"
    assert all(r.completion_tokens and r.completion_tokens <= 12 for r in together)
    assert {r.finish_reason for r in together} <= {"stop", "length"}


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("cut", [{"top_k": 3}, {"top_p": 0.8}, {"top_k": 5, "top_p": 0.6}, {}])
def test_a_token_is_drawn_by_inverting_what_the_temperature_makes_of_the_kept(
    temperature: float, cut: dict[str, Any]
) -> None:
    from evenhand.models import sampling

    drawn = torch.Generator().manual_seed(0)
    logits, uniforms = torch.randn(200, 12, generator=drawn) * 2, torch.rand(200, generator=drawn, dtype=torch.double)
    decoding = Decoding(temperature=temperature, **cut)
    found = sampling.sample(logits, uniforms, decoding).tolist()
    wanted = []
    for row, uniform in zip(logits.tolist(), uniforms.tolist(), strict=True):
        order = sorted(range(12), key=lambda n: -row[n])[: cut.get("top_k", 12)]
        order = order if cut else list(range(12))
        weights = [math.exp(row[n] / temperature) for n in order]
        shares = [weight / sum(weights) for weight in weights]
        kept = [share if sum(shares[:n]) < cut.get("top_p", 1) else 0 for n, share in enumerate(shares)]
        wanted.append(next(t for n, t in enumerate(order) if sum(kept[: n + 1]) > uniform * sum(kept)))
    assert found == wanted
    assert len(set(found)) > 2


async def test_greedy_and_stop(smollm2_folder: Path) -> None:
    plain, stopped = await answers(
        [
            request("What is the capital of France?", temperature=0.0),
            request(QUESTIONS[1], temperature=0.0, stop=("Paris",)),
        ]
    )
    assert "Paris" in plain.text
    assert stopped.text == plain.text[: plain.text.index("Paris")]
    assert stopped.finish_reason == "stop"


async def test_texts_are_scored_by_all_their_tokens() -> None:
    from evenhand.models import sampling

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config).eval()
    prompts = [[1, 5, 9], [2] * 20]
    texts = [[[3], [4, 7, 8, 9]], [[6, 6]]]
    found = sampling.text_logprobs(model, prompts, texts)
    for prompt, held, row in zip(prompts, texts, found, strict=True):
        for text, scored in zip(held, row, strict=True):
            with torch.inference_mode():
                logprobs = model(torch.tensor([[*prompt, *text]])).logits.log_softmax(-1)[0]
            wanted = sum(float(logprobs[len(prompt) + n - 1, token]) for n, token in enumerate(text))
            assert scored == pytest.approx(wanted, abs=1e-4)


async def test_a_whole_choice_costs_what_its_tokens_cost(smollm2_folder: Path) -> None:
    question = (Message("user", "What is the capital of France?"),)
    asked = [
        Request(question, Decoding(), 1, choices=texts, prefill="The capital of", whole=True)
        for texts in ((" France is Paris.", " France is Rome."), (" France is Rome.",))
    ]
    two, one = await answers(asked)
    assert two.choice_logprobs[0] > two.choice_logprobs[1]
    assert two.choice_logprobs[1] == pytest.approx(one.choice_logprobs[0], abs=0.2)
    assert two.choice_tokens == (4, 4)
    assert two.completion_tokens == 0


async def test_choices_are_scored_in_one_pass(smollm2_folder: Path) -> None:
    question = "What is the capital of France?\n\n(A) Rome\n(B) Paris\n\nAnswer with the letter only."
    messages = (Message("user", question),)
    scored = Request(messages, Decoding(), 1, choices=("A", "B"), prefill="The answer is (")
    words = Request((Message("user", "Is 2 even?"),), Decoding(), 1, choices=("Yes", "No"), prefill="The answer is ")
    clash = Request(messages, Decoding(), 1, choices=("A", "A"), prefill="")
    letters, yes_no = await answers([scored, words])
    for response in (letters, yes_no):
        assert response.choice_logprobs is not None
        assert all(lp is not None and lp < 0 for lp in response.choice_logprobs)
        assert response.completion_tokens == 0
    with pytest.raises(ModelError, match="first token"):
        await answers([clash])


def test_one_beginning_of_sequence_and_a_generation_prompt(smollm2_folder: Path) -> None:
    """The authors' prompts doubled the BOS and lacked the generation prompt."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_folder)
    chat = ChatFormat(tokenizer)
    messages = [Message("system", "S"), Message("user", "U")]
    text = tokenizer.decode(chat.tokens(messages))
    assert text.startswith("<|im_start|>system\nS<|im_end|>")
    assert not text.startswith("<|im_start|><|im_start|>")
    assert text.endswith("<|im_start|>assistant\n")
    assert chat.has_system_role


def test_templates_without_a_system_role_get_both_in_the_user_turn(smollm2_folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_folder)
    raising = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}"
    )
    dropping = "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
    for template in (raising, dropping):
        tokenizer.chat_template = template
        chat = ChatFormat(tokenizer)
        assert not chat.has_system_role
        assert chat.text([Message("system", "S"), Message("user", "U")]) == "[user]S\n\nU"
        assert chat.text([Message("user", "U")]) == "[user]U"
    tokenizer.chat_template = None
    base = ChatFormat(tokenizer)
    assert base.text([Message("system", "S"), Message("user", "U")]) == "S\n\nUser: U\n\nAssistant:"


def test_merging_keeps_later_turns() -> None:
    turns = [Message("system", "S"), Message("user", "U"), Message("assistant", "A"), Message("user", "V")]
    assert merge_system(turns) == [Message("user", "S\n\nU"), *turns[2:]]


async def test_hf_models_load_from_a_folder_with_an_adapter(tmp_path: Path, smollm2_folder: Path) -> None:
    peft = pytest.importorskip("peft")
    model = tiny_llama(tmp_path / "base", smollm2_folder)
    tuned = peft.get_peft_model(
        model, peft.LoraConfig(target_modules=["v_proj", "down_proj"], lora_alpha=512, init_lora_weights=False)
    )
    tuned.save_pretrained(tmp_path / "adapter")

    async def answer(**options: Any) -> tuple[str, str]:
        loaded = make_model(f"hf:{tmp_path / 'base'}", ModelOptions(dtype="float32", **options))
        await loaded.start()
        try:
            return (await loaded.respond(request("Hi", temperature=0.0))).text, loaded.revision
        finally:
            await loaded.aclose()

    plain, adapted = await answer(), await answer(adapter=str(tmp_path / "adapter"))
    assert plain[0] != adapted[0]
    assert plain[1] != adapted[1]
    assert adapted[1].startswith(plain[1])


async def test_what_the_context_has_no_room_for_fails_alone(tmp_path: Path, smollm2_folder: Path) -> None:
    tiny_llama(tmp_path / "base", smollm2_folder)
    loaded = make_model(f"hf:{tmp_path / 'base'}", ModelOptions(dtype="float32"))
    await loaded.start()
    try:
        asked = [request("Hi"), request("Hi " * 2040)]
        found = await asyncio.gather(*map(loaded.respond, asked), return_exceptions=True)
    finally:
        await loaded.aclose()
    assert [type(one) for one in found] == [Response, CallError]
    assert "12 of the answer are more than the 2,048" in str(found[1])


async def test_a_missing_model_says_so(tmp_path: Path) -> None:
    model = make_model(f"hf:{tmp_path / 'nothing'}")
    with pytest.raises(ModelError, match="Cannot load"):
        await model.start()
    await model.aclose()
    with pytest.raises(SpecError, match="hf:"):
        make_model("org/name")


def test_a_wheel_with_another_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand.models import smollm2

    file = tmp_path / "x.whl"
    file.write_bytes(b"not the model")
    with pytest.raises(ModelError, match="checksum"):
        smollm2._verify(file, smollm2.WHEEL_SHA256)


@pytest.fixture
def study(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Iterator[Path]:
    out = tmp_path / "study"
    line = ["run", "--model", "smollm2", "--suite", "starter-safety,starter-utility:knowledge+logprobs"]
    line += ["--identities", "a minor,a senior citizen", "--baseline", "bare", "--limit", "4", "--max-tokens", "24"]
    done = cli(*line, "--out", str(out))
    assert done.returncode == 0, done.stderr
    yield out


def test_a_study_on_the_embedded_model(study: Path, cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    found = json.loads(cli("analyze", str(study), "--format", "json").stdout)
    assert found["trials"] == {"planned": 24, "done": 24, "missing": 0, "failed": 0}
    assert found["pb"]["joint"]["plugin"] >= 0
    assert cli("report", str(study)).returncode == 0
