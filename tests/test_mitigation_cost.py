"""What mitigations that ask more than once save, and that it changes no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.errors import SpecError
from evenhand.mitigations import make_mitigation
from evenhand.mitigations.ensemble import fewest_more, medoid, settled
from evenhand.models import sampling
from evenhand.types import Decoding
from tests.test_mitigations import ASK, Scripted

FEW_WORDS = st.lists(st.sampled_from(["a", "b", "c", ",", "B"]), max_size=3).map(" ".join)


@given(st.lists(FEW_WORDS, min_size=1, max_size=7))
def test_a_vote_that_ends_early_has_the_outcome_of_all(texts: list[str]) -> None:
    early = [settled(texts[:n], len(texts)) for n in range(len(texts) + 1)]
    decided = [found for found in early if found is not None]
    assert set(decided) == {medoid(texts)}
    first = early.index(decided[0])
    # It is asked for no more than it takes at least.
    asked = 0
    while asked < first:
        asked = min(len(texts), asked + fewest_more(texts[:asked], len(texts)))
    assert asked == first


@pytest.mark.parametrize(
    ("size", "texts", "calls", "text"),
    [
        (3, ["yes", "Yes!", "no"], 2, "yes"),
        (3, ["yes", "no", "no way"], 3, "no"),
        (4, ["yes", "yes", "no", "no"], 2, "yes"),
        (5, ["no", "yes", "yes", "yes", "no"], 4, "yes"),
        (2, ["yes", "no"], 1, "yes"),
    ],
)
async def test_nobody_is_asked_once_the_outcome_is_settled(size: int, texts: list[str], calls: int, text: str) -> None:
    model = Scripted(lambda _: texts[len(model.asked) - 1])
    found = await make_mitigation(f"ensemble:{size}").respond(model, ASK)
    assert (found.text, found.calls, len(model.asked)) == (text, calls, calls)


async def test_choices_are_still_scored_by_all() -> None:
    model = Scripted(lambda _: "", logprobs=(-1.0, -2.0))
    assert (await make_mitigation("ensemble:4").respond(model, replace(ASK, choices=("A", "B")))).calls == 4


@pytest.mark.parametrize("reference", ["contrast:0.5@", "contrast:0.5@0", "contrast:@-1", "contrast:0.5@many"])
def test_how_many_tokens_are_mixed_is_a_number_from_1(reference: str) -> None:
    with pytest.raises(SpecError, match=r"number of tokens from 1"):
        make_mitigation(reference)


@pytest.fixture(scope="module")
def model() -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        initializer_range=0.5,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


OWN = [[5, 9, 33, 2], [7, 7, 8, 41, 12, 60], [5, 9, 33, 2], [90, 1], [11, 12, 13], [5, 9, 33, 2]]
PLAIN = [[5, 2], [7, 8, 60], [5, 2], [90, 1], [11, 12], [5, 2]]
SAMPLED = Decoding(temperature=1.0, top_k=10, max_tokens=12)
GREEDY = Decoding(temperature=0.0, max_tokens=12)
ENDS = frozenset(range(85, 96))


def written(
    model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, blend: sampling.Blend | None = None
) -> list[list[int]]:
    made = sampling.generate(model, prompts, range(len(prompts)), decoding, ENDS, blend=blend)
    return [completion.tokens for completion in made]


@pytest.mark.parametrize("decoding", [SAMPLED, GREEDY])
@pytest.mark.parametrize("against", [False, True])
def test_prompts_that_are_alike_are_read_once_and_answered_the_same(
    model: Any, monkeypatch: pytest.MonkeyPatch, decoding: Decoding, against: bool
) -> None:
    read: list[int] = []
    forward = sampling._forward

    def counting(model: Any, ids: Any, *rest: Any, **more: Any) -> Any:
        read.append(len(ids))
        return forward(model, ids, *rest, **more)

    monkeypatch.setattr(sampling, "_forward", counting)
    blend = sampling.Blend(PLAIN, 0.7) if against else None
    once = written(model, OWN, decoding, blend)
    assert read[0] == (4 + 3 if against else 4)  # [90, 1] is its own baseline
    assert read[1] == (12 if against else 6)
    monkeypatch.setattr(sampling, "_distinct", lambda prompts, _: (list(range(len(prompts))), list(prompts)))
    assert written(model, OWN, decoding, blend) == once
    assert read.count(12 if against else 6) > 1


@pytest.mark.parametrize("decoding", [SAMPLED, GREEDY])
def test_contrast_of_the_first_tokens_is_contrast_and_then_the_model(model: Any, decoding: Decoding) -> None:
    whole = written(model, OWN, decoding, sampling.Blend(PLAIN, 0.7))
    assert len(set(map(len, whole))) > 1, "rows that end before the others are dropped on the way"
    for tokens in (1, 3, 11, 12, 50):
        mixed = written(model, OWN, decoding, sampling.Blend(PLAIN, 0.7, tokens))
        assert [row[:tokens] for row in mixed] == [row[:tokens] for row in whole]
        if tokens >= decoding.max_tokens:
            assert mixed == whole
    for prompt, row in zip(OWN, written(model, OWN, GREEDY, sampling.Blend(PLAIN, 0.7, 3)), strict=True):
        if len(row) >= 3:
            rest = written(model, [[*prompt, *row[:3]]], replace(GREEDY, max_tokens=9))[0]
            assert row[3:] == rest
