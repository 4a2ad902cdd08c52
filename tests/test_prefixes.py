"""Beginnings of prompts that are read once, and the cache that is written in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evenhand.models import ModelOptions, make_model
from evenhand.models.prefixes import Begun, Prefixes, keeps_everything, memory_for
from evenhand.types import Decoding, Message, Request
from tests.tiny import tiny_llama

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]

RECORD = tuple(range(1, 41))
PROMPTS = [[*RECORD, 50, 51], [*RECORD, 52], [*range(60, 30, -1), 7, 8, 9], [5, 6, 7]]
LENGTHS = [40, 40, 30, 1]
GREEDY = Decoding(temperature=0, max_tokens=6)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def read_by(model: Any, work: Any) -> int:
    """How many tokens a model reads meanwhile, padding among them."""
    read = []
    hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        work()
    finally:
        hook.remove()
    return sum(read)


@pytest.mark.parametrize("most", [0, 2**30])
def test_a_prompt_that_is_split_says_what_the_whole_says(model: Any, most: int) -> None:
    from evenhand.models import sampling

    kept = Prefixes(most)
    for number in (2, len(PROMPTS), len(PROMPTS)):
        prompts, begun = PROMPTS[:number], Begun(LENGTHS[:number], kept)
        wanted = sampling.generate(model, prompts, [0] * number, GREEDY, frozenset({63}))
        assert sampling.generate(model, prompts, [0] * number, GREEDY, frozenset({63}), begun=begun) == wanted
        letters = [[3, 4]] * number
        for split, whole in zip(
            sampling.choice_logprobs(model, prompts, letters, begun),
            sampling.choice_logprobs(model, prompts, letters),
            strict=True,
        ):
            assert split == pytest.approx(whole, abs=1e-4)
        texts = [[[3], [4, 7, 8, 9]], [[6, 6]], [[1, 2]], [[9]]][:number]
        for split, whole in zip(
            sampling.text_logprobs(model, prompts, texts, begun),
            sampling.text_logprobs(model, prompts, texts),
            strict=True,
        ):
            assert split == pytest.approx(whole, abs=1e-4)
    assert (kept.size == 0) == (most == 0)


def test_a_beginning_is_read_once(model: Any) -> None:
    from evenhand.models import sampling

    kept = Prefixes(2**30)
    prompts = [[*RECORD, 50 + n] for n in range(8)]

    def read(split: Begun | None) -> int:
        return read_by(model, lambda: sampling.choice_logprobs(model, prompts, [[3, 4]] * 8, split))

    whole, first, again = read(None), read(Begun([40] * 8, kept)), read(Begun([40] * 8, kept))
    # Eight prompts of 41 tokens; four rows at least of one of 40, and eight ends; eight ends, of 16 places each.
    assert (whole, first, again) == (8 * 48, 4 * 48 + 8 * 16, 8 * 16)


def test_of_a_turn_that_is_longer_than_what_is_kept_something_is_found_again() -> None:
    states = [(torch.zeros(2, 10, 8), torch.zeros(2, 10, 8))]
    most = 8 * 2 * 2 * 10 * 8 * 4
    kept, found = Prefixes(most), 0
    for _ in range(20):
        for number in range(12):
            found += not kept.missing([(number,)])
            kept.add((number,), states)
            assert kept.use((number,)) is states
            kept.shrink()
            assert kept.size <= most
    assert 60 < found < 220


def test_layers_that_forget_are_left_to_the_library() -> None:
    sliding = transformers.MistralForCausalLM(
        transformers.MistralConfig(
            vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
            num_key_value_heads=2, sliding_window=8,
        )
    ).eval()  # fmt: skip
    from evenhand.models import sampling

    assert not keeps_everything(sliding)
    assert memory_for(sliding.device) > 2**20
    (found,) = sampling.generate(sliding, [[*range(1, 30)]], [0], GREEDY, frozenset())
    with torch.inference_mode():
        ids = torch.tensor([[*range(1, 30)]])
        for token in found.tokens:
            assert int(sliding(ids).logits[0, -1].argmax()) == token
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)


async def test_only_long_beginnings_are_kept_apart(tmp_path: Path, smollm2_folder: Path) -> None:
    tiny_llama(tmp_path / "base", smollm2_folder)
    model: Any = make_model(f"hf:{tmp_path / 'base'}", ModelOptions(dtype="float32"))
    await model.start()
    try:
        await model.respond(Request((Message("system", "Be short."), Message("user", "Why? " * 200)), GREEDY, 0))
        assert model._prefixes.size == 0
        told = Message("system", "Be short. " + "The user bakes bread. " * 40)
        asked = [Request((told, Message("user", question)), GREEDY, 0) for question in ("Hi!", "Why?", "Hi!")]
        first, _, again = [await model.respond(request) for request in asked]
        assert first.text == again.text
        kept = list(model._prefixes._kept)
        assert len(kept) == 1 and len(kept[0]) > 160
    finally:
        await model.aclose()
