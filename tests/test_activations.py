"""Activations changed for one row of a batch: what changes, and above all what does not."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand.errors import ModelError, SpecError
from evenhand.interventions import BlockChange, Intervention
from evenhand.mitigations import MitigatedModel, make_mitigation
from evenhand.models import ModelOptions, make_model
from evenhand.types import Decoding, Message, Request
from tests.tiny import tiny_llama

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]

SIZE = 32
GREEDY = Decoding(temperature=0.0, max_tokens=10)
PROMPTS = [[5, 9, 2, 7], [3] * 20, [8, 8, 1], [60, 11], [4, 30, 12, 40, 2], [17, 3]]


def tiny(family: str) -> Any:
    # Weights so large that what a token is changes what comes next.
    common: dict[str, Any] = {"vocab_size": 64, "hidden_size": SIZE, "num_hidden_layers": 3, "num_attention_heads": 2}
    common |= {"initializer_range": 0.3}
    wide = {**common, "intermediate_size": 48}
    gpt2 = {"vocab_size": 64, "n_embd": SIZE, "n_layer": 3, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    configs = {
        "llama": lambda: transformers.LlamaConfig(**wide),
        "qwen2": lambda: transformers.Qwen2Config(**wide, num_key_value_heads=2),
        "gemma2": lambda: transformers.Gemma2Config(**wide, num_key_value_heads=2, head_dim=16),
        "neox": lambda: transformers.GPTNeoXConfig(**wide),
        "gpt2": lambda: transformers.GPT2Config(**gpt2),
        "opt": lambda: transformers.OPTConfig(**common, ffn_dim=48, word_embed_proj_dim=SIZE),
    }
    torch.manual_seed(3)
    return transformers.AutoModelForCausalLM.from_config(configs[family]()).eval()


def vectors(seed: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, SIZE)).astype(np.float32)


def shifting(seed: int, block: int = 1, **where: Any) -> Intervention:
    return Intervention({block: BlockChange(shift=3 * vectors(seed)[0])}, **where)


def logits(model: Any, prompts: Sequence[Sequence[int]], rows: Sequence[tuple[Intervention, ...]] = ()) -> np.ndarray:
    from evenhand.models import sampling

    tokens = [list(range(64))] * len(prompts)
    return np.array(sampling.choice_logprobs(model, prompts, tokens, rows))


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "neox", "gpt2", "opt"])
def test_blocks_are_found_whatever_a_family_calls_them(family: str) -> None:
    from evenhand.models.activations import acting, blocks_of

    model = tiny(family)
    assert len(blocks_of(model)) == 3
    seen: list[Any] = []
    handle = blocks_of(model)[2].register_forward_hook(lambda m, a, out: seen.append(out))
    last = Intervention({2: BlockChange(scale=np.zeros(SIZE), shift=np.arange(SIZE))})
    with acting(model, [(last,)]), torch.inference_mode():
        model(torch.tensor([[1, 2, 3]]), output_hidden_states=False)
        changed = model(torch.tensor([[1, 2, 3]])).logits
        other = model(torch.tensor([[9, 9, 3]])).logits
    handle.remove()
    assert len(seen) == 3
    # Where every token ends in the same place, what was read does not matter any more.
    assert torch.equal(changed[0, 0], changed[0, 2])
    assert torch.equal(changed, other)


def test_what_has_no_blocks_is_refused() -> None:
    from evenhand.models.activations import blocks_of

    config = transformers.T5Config(vocab_size=64, d_model=SIZE, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    with pytest.raises(ModelError, match="has 2 lists of 2 blocks"):
        blocks_of(transformers.T5ForConditionalGeneration(config))


def test_an_affine_change_is_what_it_says() -> None:
    from evenhand.models.activations import Acting

    change = BlockChange(shift=vectors(0)[0], scale=vectors(1)[0], reads=vectors(2, 3), writes=vectors(3, 3))
    given = np.random.default_rng(4).normal(size=(2, 5, SIZE)).astype(np.float32)
    found = Acting([(Intervention({7: change}),)] * 2, "cpu").change(7, torch.from_numpy(given)).numpy()
    wanted = vectors(1)[0] * given + vectors(0)[0] + given @ vectors(2, 3).T @ vectors(3, 3)
    assert np.allclose(found, wanted, atol=1e-4)


def test_projecting_out_leaves_nothing_and_nothing_else() -> None:
    from evenhand.models.activations import Acting

    basis = np.linalg.qr(vectors(5, 4).T)[0].T.astype(np.float32)
    given = torch.from_numpy(np.random.default_rng(6).normal(size=(1, 3, SIZE)).astype(np.float32))
    out = Acting([(Intervention({0: BlockChange(reads=basis, writes=-basis)}),)], "cpu").change(0, given).numpy()
    assert np.abs(out @ basis.T).max() < 1e-5
    rest = np.eye(SIZE) - basis.T @ basis
    assert np.allclose(out @ rest, given.numpy() @ rest, atol=1e-5)


def test_tokens_that_are_too_long_are_left_alone() -> None:
    from evenhand.models.activations import Acting

    hidden = torch.ones(2, 3, SIZE)
    hidden[0, 1] *= 100
    short, never = (Intervention({0: BlockChange(scale=np.zeros(SIZE), longest=limit)}) for limit in (20.0, None))
    out = Acting([(short,), (short,)], "cpu").change(0, hidden)
    assert torch.equal(out[0, 1], hidden[0, 1])
    assert int(out.abs().sum()) == 100 * SIZE
    assert not Acting([(short,), (never,)], "cpu").change(0, hidden.flip(0))[1].any()
    assert short != never


def test_rows_without_an_intervention_keep_every_bit() -> None:
    model = tiny("llama")
    rows = [(), (shifting(1),), (), (shifting(2), shifting(3, block=2)), (), ()]
    plain, mixed = logits(model, PROMPTS), logits(model, PROMPTS, rows)
    for n, row in enumerate(rows):
        assert np.array_equal(plain[n], mixed[n]) == (not row)


@pytest.mark.parametrize("where", ["all", "answer"])
def test_a_mixed_batch_answers_as_each_request_alone(where: Any) -> None:
    from evenhand.models import sampling

    model = tiny("llama")
    low = Intervention({0: BlockChange(reads=vectors(7, 2) / 9, writes=-vectors(7, 2) / 9)}, where)
    rows = [(), (shifting(1, where=where),), (low,), (low, shifting(2, where=where)), (shifting(1),), ()]
    assert np.allclose(
        logits(model, PROMPTS, rows),
        np.concatenate([logits(model, [p], [r]) for p, r in zip(PROMPTS, rows, strict=True)]),
        atol=1e-4,
    )
    texts = [[[4, 9], [2]], [[1, 2, 3, 4]], [[7]], [[7, 7], [8, 9, 1]], [[5]], [[6, 1]]]
    together = sampling.text_logprobs(model, PROMPTS, texts, rows)
    seeds = list(range(6))
    # An end token that is likely makes rows end one by one, so that the batch shrinks.
    ends = frozenset(range(0, 64, 9))
    sampled = Decoding(temperature=1.0, max_tokens=24)
    written = sampling.generate(model, PROMPTS, seeds, sampled, ends, interventions=rows)
    for n, (prompt, row) in enumerate(zip(PROMPTS, rows, strict=True)):
        assert np.allclose(sampling.text_logprobs(model, [prompt], [texts[n]], [row])[0], together[n], atol=1e-4)
        alone = sampling.generate(model, [prompt], [n], sampled, ends, interventions=[row])
        assert alone[0].tokens == written[n].tokens
    plain = sampling.generate(model, PROMPTS, seeds, sampled, ends)
    differs = [a.tokens != b.tokens for a, b in zip(plain, written, strict=True)]
    assert not any(differs[n] for n, row in enumerate(rows) if not row)
    assert sum(differs) >= 3  # one of the four may end at once both ways


def test_one_prompt_under_several_interventions_is_read_for_each() -> None:
    from evenhand.models import sampling

    model = tiny("llama")
    rows = [(), (shifting(1),), (), (shifting(2),), (shifting(1),)]
    together = sampling.generate(model, PROMPTS[:1] * 5, [0] * 5, GREEDY, frozenset(), interventions=rows)
    alone = [sampling.generate(model, PROMPTS[:1], [0], GREEDY, frozenset(), interventions=[row])[0] for row in rows]
    assert [c.tokens for c in together] == [c.tokens for c in alone]
    assert len({tuple(c.tokens) for c in together}) == 3


@pytest.mark.parametrize("where", ["all", "answer"])
def test_generation_is_what_a_pass_over_everything_gives(where: Any) -> None:
    """The cache holds changed activations: writing token by token is no other computation than reading it all."""
    from evenhand.models import sampling
    from evenhand.models.activations import acting, blocks_of

    model, prompt = tiny("gpt2"), PROMPTS[4]
    act = shifting(5, block=0, where=where)
    written = sampling.generate(model, [prompt], [0], GREEDY, frozenset(), interventions=[(act,)])[0].tokens
    if where == "all":
        with acting(model, [(act,)]), torch.inference_mode():
            whole = model(torch.tensor([[*prompt, *written]])).logits[0]
    else:
        change = torch.from_numpy(np.array(act.blocks[0].shift))

        def hook(module: Any, arguments: Any, out: Any) -> Any:
            hidden = (out[0] if isinstance(out, tuple) else out).clone()
            hidden[:, len(prompt) - 1 :] += change
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        handle = blocks_of(model)[0].register_forward_hook(hook)
        with torch.inference_mode():
            whole = model(torch.tensor([[*prompt, *written]])).logits[0]
        handle.remove()
    assert whole[len(prompt) - 1 : -1].argmax(-1).tolist() == written


def test_second_conversations_of_a_blend_are_changed_too() -> None:
    from evenhand.models import sampling

    model, act = tiny("llama"), (shifting(8),)
    blend = sampling.Blend(PROMPTS[:2], 1.0)  # the second prompts alone decide
    blended = sampling.generate(model, PROMPTS[2:4], [0, 1], GREEDY, frozenset(), blend=blend, interventions=[act, ()])
    alone = sampling.generate(model, PROMPTS[:2], [0, 1], GREEDY, frozenset(), interventions=[act, ()])
    assert [c.tokens for c in blended] == [c.tokens for c in alone]


def test_without_an_intervention_no_hook_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand.models import sampling

    model = tiny("llama")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a hook")

    monkeypatch.setattr(torch.nn.Module, "register_forward_hook", refuse)
    for rows in ((), [()] * 6):
        sampling.generate(model, PROMPTS, list(range(6)), GREEDY, frozenset(), interventions=rows)
        sampling.text_logprobs(model, PROMPTS, [[[1, 2]]] * 6, rows)
        logits(model, PROMPTS, rows)
    with pytest.raises(AssertionError, match="a hook"):
        logits(model, PROMPTS, [(shifting(1),)] * 6)


def test_hooks_are_gone_after_a_failure() -> None:
    from evenhand.models.activations import acting, blocks_of

    model = tiny("llama")
    with pytest.raises(RuntimeError, match="stop"), acting(model, [(shifting(1),)]):
        raise RuntimeError("stop")
    assert not any(block._forward_hooks for block in blocks_of(model))


def test_interventions_are_told_apart_by_what_they_do() -> None:
    one, same, other = shifting(1), shifting(1), shifting(2)
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same, other, shifting(1, block=2), shifting(1, where="answer")}) == 4
    assert pickle.loads(pickle.dumps(one)) == one
    asked = Request((Message("user", "Hi"),), GREEDY, 1)
    assert hash(replace(asked, interventions=(one,))) == hash(replace(asked, interventions=(same,)))


@pytest.mark.parametrize(
    "parts",
    [
        {}, {"shift": [1.0, float("nan")]}, {"shift": [[1.0]]}, {"reads": [[1.0]]},
        {"reads": [[1.0]], "writes": [[1.0, 2.0]]}, {"shift": [1.0], "scale": [1.0, 2.0]},
    ],
)  # fmt: skip
def test_changes_that_mean_nothing_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        BlockChange(**parts)


async def test_a_local_model_answers_each_request_by_its_own(tmp_path: Path, smollm2_folder: Path) -> None:
    tiny_llama(tmp_path / "base", smollm2_folder)
    model = make_model(f"hf:{tmp_path / 'base'}", ModelOptions(dtype="float32"))
    asked = Request((Message("user", "Hi"),), Decoding(temperature=0.0, max_tokens=4), 1)
    scored = replace(asked, choices=("A", "B"), prefill="(")
    texts = replace(asked, choices=(" one thing", " two"), whole=True)
    change = Intervention({0: BlockChange(shift=50 * vectors(1)[0])})
    wide = Intervention({0: BlockChange(shift=np.ones(7))})
    await model.start()
    try:
        for request in (asked, scored, texts):
            both = [request, replace(request, interventions=(change,)), request]
            first, changed, again = await asyncio.gather(*map(model.respond, both))
            assert (first.text, first.choice_logprobs) == (again.text, again.choice_logprobs)
            assert (first.text, first.choice_logprobs) != (changed.text, changed.choice_logprobs)
        with pytest.raises(ModelError, match="hidden size of 7"):
            await model.respond(replace(asked, interventions=(wide,)))
    finally:
        await model.aclose()


async def test_models_elsewhere_refuse_what_they_cannot_do() -> None:
    model = MitigatedModel(
        make_model("openai:m", ModelOptions(base_url="http://127.0.0.1:9/v1")), make_mitigation("none")
    )
    with pytest.raises(SpecError, match="does not let it reach"):
        await model.respond(Request((Message("user", "Hi"),), GREEDY, 1, interventions=(shifting(1),)))
