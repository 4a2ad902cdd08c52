"""The judge over a sequence classifier, with stand-ins for transformers and torch that remember what they were asked.

``test_model_judges.py`` runs it on real ones.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evenhand.errors import ModelError, SpecError
from evenhand.judges.actions import ACTIONS, GOLDEN
from evenhand.judges.sequence import PAPER_CLASSIFIER, SequenceJudge
from evenhand.judging import judge_worth
from evenhand.models import ModelOptions
from evenhand.types import Item, Response

ITEM = Item("i", "How?", "g", "How?")


class Tensor:
    """As much of a tensor as the judge uses."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, float)

    def float(self) -> Tensor:
        return self

    def softmax(self, axis: int) -> Tensor:
        assert axis == -1
        powers = np.exp(self.values)
        return Tensor(powers / powers.sum(axis=-1, keepdims=True))

    def max(self, axis: int) -> SimpleNamespace:
        assert axis == -1
        best = self.values.argmax(axis=-1)
        return SimpleNamespace(indices=best, values=self.values.max(axis=-1))


class Classifier:
    """A stand-in for a model and its tokenizer: knows the golden answers, and a few words for each class."""

    device = "cpu"

    def __init__(self, labels: Sequence[str], order: Sequence[int] = range(6), **config: object) -> None:
        named = {"id2label": dict(enumerate(labels)), "num_labels": len(labels)}
        self.config = SimpleNamespace(**{**named, **config})
        self.order = order
        self.calls: list[tuple[str, object]] = []

    def tokenize(self, texts: list[str], **options: object) -> Any:
        self.calls.append(("tokenize", options))
        inputs: Any = Inputs(texts=texts)
        inputs.to = lambda device: self.calls.append(("inputs to", device)) or inputs
        return inputs

    def __call__(self, texts: list[str]) -> SimpleNamespace:
        self.calls.append(("classify", len(texts)))
        if "break" in texts:
            raise RuntimeError("out of memory")
        logits = np.zeros((len(texts), self.config.num_labels))
        for row, text in zip(logits, texts, strict=True):
            action = dict(GOLDEN).get(text, 5 if text.startswith("Sure") else 0)
            row[self.order[action] if len(row) == 6 else int(action == 5)] = 2.0
        return SimpleNamespace(logits=Tensor(logits))

    def to(self, device: str) -> None:
        self.calls.append(("to", device))

    def eval(self) -> None:
        self.calls.append(("eval", None))


class Inputs(dict[str, Any]):
    to: Any


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes ``from_pretrained`` give a stand-in; returns what it was asked for."""

    def given(model: Classifier, error: Exception | None = None) -> list[tuple[str, str, dict[str, object]]]:
        asked: list[tuple[str, str, dict[str, object]]] = []

        def loader(kind: str, found: object) -> SimpleNamespace:
            def from_pretrained(path: str, **options: object) -> object:
                asked.append((kind, path, options))
                if error:
                    raise error
                return found

            return SimpleNamespace(from_pretrained=from_pretrained)

        fake = SimpleNamespace(
            AutoTokenizer=loader("tokenizer", model.tokenize), AutoModelForSequenceClassification=loader("model", model)
        )
        monkeypatch.setitem(sys.modules, "transformers", fake)
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(inference_mode=nullcontext))
        return asked

    return given


async def test_the_six_actions(load: Any) -> None:
    model = Classifier(ACTIONS, max_position_embeddings=100, _commit_hash="0123456789abcdef")
    asked = load(model)
    judge = SequenceJudge("some/model", ModelOptions())
    await judge.start()
    assert asked == [
        ("tokenizer", "some/model", {"trust_remote_code": False}),
        ("model", "some/model", {"trust_remote_code": False, "use_safetensors": True}),
    ]
    assert (judge.name, judge.version) == ("hf:some/model", "1@0123456789ab (languages unknown)")
    kept = await judge.judge(ITEM, Response("I will not."))
    assert (kept.score, kept.label, kept.reason) == (1.0, "cannot-assist", "P 0.60")
    told = await judge.judge(ITEM, Response("Sure, push."))
    assert (told.score, told.label) == (0.0, "follows")
    assert model.calls[0] == ("eval", None)
    wanted = {"return_tensors": "pt", "padding": True, "truncation": True, "max_length": 98}
    assert [options for name, options in model.calls if name == "tokenize"] == [wanted] * 3
    assert ("inputs to", "cpu") in model.calls
    assert not [name for name, _ in model.calls if name == "to"]
    await judge.aclose()
    await judge.aclose()
    before = len(asked)
    await judge.start()
    assert len(asked) == before
    assert (await judge.judge(ITEM, Response("Sure"))).score == 0.0
    await judge.aclose()


async def test_answers_of_one_moment_are_classified_together(load: Any) -> None:
    model = Classifier(ACTIONS)
    load(model)
    judge = SequenceJudge("m", ModelOptions(device="cuda:1"))
    await judge.start()
    assert judge.version == "1 (languages unknown)"
    assert ("to", "cuda:1") in model.calls
    model.calls.clear()
    texts = ["Sure", "No"] * 20
    found = await asyncio.gather(*(judge.judge(ITEM, Response(text)) for text in texts))
    assert [verdict.score for verdict in found] == [0.0, 1.0] * 20
    assert [count for name, count in model.calls if name == "classify"] == [16, 16, 8]
    assert {o["max_length"] for name, o in model.calls if name == "tokenize" and isinstance(o, dict)} == {2046}
    await judge.aclose()


async def test_what_needs_no_classifier(load: Any) -> None:
    model = Classifier(ACTIONS)
    load(model)
    judge = SequenceJudge("m", ModelOptions())
    await judge.start()
    model.calls.clear()
    filtered = await judge.judge(ITEM, Response("Sure", "content_filter"))
    assert (filtered.score, filtered.label) == (1.0, "filtered")
    assert filtered.reason == "the provider declined"
    empty = await judge.judge(ITEM, Response(" \n"))
    assert (empty.score, empty.label) == (None, "empty")
    assert model.calls == []
    await judge.aclose()


async def test_a_failure_reaches_everybody_who_waits_and_the_next_is_judged(load: Any) -> None:
    load(Classifier(ACTIONS))
    judge = SequenceJudge("m", ModelOptions())
    await judge.start()
    asked = [judge.judge(ITEM, Response(text)) for text in ("break", "Sure")]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(error) for error in found] == ["The judge hf:m failed: out of memory."] * 2
    assert all(isinstance(error, ModelError) for error in found)
    assert (await judge.judge(ITEM, Response("Sure"))).score == 0.0
    await judge.aclose()


async def test_any_classes_once_the_good_ones_are_named(load: Any) -> None:
    model = Classifier(["fine", "bad"], max_position_embeddings=None)
    load(model)
    judge = SequenceJudge("m?good=fine| great ", ModelOptions())
    with pytest.raises(ModelError) as unknown:
        await judge.start()
    assert unknown.value.problem == "The judge hf:m?good=fine| great has no class great."
    assert unknown.value.fix == "Its classes: fine, bad."
    judge = SequenceJudge("m?good= fine |", ModelOptions())
    await judge.start()
    good, bad = [await judge.judge(ITEM, Response(text)) for text in ("No", "Sure")]
    assert (good.score, good.label, good.reason) == (1.0, "fine", "P 0.88")
    assert (bad.score, bad.label) == (0.0, "bad")
    await judge.aclose()
    judge = SequenceJudge("m", ModelOptions())
    with pytest.raises(ModelError) as other:
        await judge.start()
    assert other.value.problem == "The judge hf:m has the classes fine, bad, not the six actions."
    assert other.value.fix == "Say which are good: hf:m?good=fine."
    await judge.aclose()


async def test_another_order_of_classes_is_found_out(load: Any) -> None:
    load(Classifier([f"LABEL_{n}" for n in range(6)], order=[5, 1, 2, 3, 4, 0]))
    judge = SequenceJudge("m", ModelOptions())
    with pytest.raises(ModelError) as mixed:
        await judge.start()
    assert mixed.value.problem == (
        f"The judge hf:m calls '{GOLDEN[0][0][:60]}...' class 5 (LABEL_5), which is not what it means in the six "
        "actions (expected cannot-assist)."
    )
    assert mixed.value.fix == "Its classes are in another order, or it is no classifier of actions."
    await judge.aclose()


async def test_what_cannot_be_loaded_is_one_line(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, said in ((OSError("no such model\nand more"), "no such model"), (ValueError(" "), "ValueError")):
        load(Classifier(ACTIONS), error)
        judge = SequenceJudge("m", ModelOptions())
        with pytest.raises(ModelError) as found:
            await judge.start()
        assert found.value.problem == f"The judge hf:m cannot be loaded: {said}"
        assert found.value.fix == "Check its name or path."
        await judge.aclose()
    asked = load(Classifier(ACTIONS))
    judge = SequenceJudge("m", ModelOptions(trust_remote_code=True))
    await judge.start()
    assert [options for _, _, options in asked] == [
        {"trust_remote_code": True},
        {"trust_remote_code": True, "use_safetensors": None},
    ]
    await judge.aclose()
    monkeypatch.setitem(sys.modules, "transformers", None)
    judge = SequenceJudge("m", ModelOptions())
    with pytest.raises(ModelError, match="needs transformers"):
        await judge.start()
    await judge.aclose()


def test_a_name_is_needed() -> None:
    with pytest.raises(SpecError) as missing:
        SequenceJudge("?good=x", ModelOptions())
    assert missing.value.problem == "The judge 'hf' needs a classifier."
    assert missing.value.fix == "Write hf:LibrAI/longformer-action-ro."


SPANISH = "Lo siento, pero no puedo ayudarte con eso, porque es ilegal y muy peligroso para todos los vecinos."


def card(folder: Path, text: str) -> str:
    (folder / "README.md").write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("text", "languages", "version", "judged"),
    [
        ("---\nlanguage:\n- es\n- en\n---\n# A card", {"en", "es"}, "1 (languages en|es)", True),
        ("---\nlanguage: pt-BR\n---\n", {"pt"}, "1 (languages pt)", False),
        ("---\nlanguage: multilingual\n---\n", {"en"}, "1 (languages unknown)", False),
        ("---\nlanguage: [\n---\n", {"en"}, "1 (languages unknown)", False),
        ("No metadata.", {"en"}, "1 (languages unknown)", False),
    ],
)
async def test_the_card_says_which_languages_it_knows(
    load: Any, tmp_path: Path, text: str, languages: set[str], version: str, judged: bool
) -> None:
    load(Classifier(ACTIONS))
    judge = SequenceJudge(card(tmp_path, text), ModelOptions())
    await judge.start()
    assert (judge.languages, judge.version) == (languages, version)
    verdict = await judge.judge(ITEM, Response(SPANISH))
    assert (verdict.score is not None) == judged
    assert ("not known" in (verdict.reason or "")) == ("unknown" in version)
    await judge.aclose()


async def test_what_the_user_says_of_languages_comes_before_the_card(load: Any, tmp_path: Path) -> None:
    load(Classifier(["no", "yes"]))
    path = card(tmp_path, "---\nlanguage: en\n---\n")
    judge = SequenceJudge(f"{path}?good=no|yes&languages=es|en", ModelOptions())
    await judge.start()
    assert (judge.languages, judge.version) == ({"en", "es"}, "1 (languages en|es)")
    assert (await judge.judge(ITEM, Response(SPANISH))).score == 1.0
    await judge.aclose()
    assert SequenceJudge("some/model?languages=any", ModelOptions()).languages is None
    assert SequenceJudge(PAPER_CLASSIFIER, ModelOptions()).languages == {"en"}


@pytest.mark.parametrize(
    ("query", "said"), [("languages=en|xx", "no language by 'xx'"), ("langs=en", "no option 'langs'"), ("x", "'x'")]
)
def test_options_that_are_not_known_are_refused(query: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        SequenceJudge(f"some/model?{query}", ModelOptions())
    assert said in refused.value.problem


def test_unknown_languages_are_said_in_the_report() -> None:
    worth = judge_worth(("s", "safety", "hf:m"), ["1 (languages unknown), languages 2"], 0, {})
    assert "Which languages hf:m knows is not known" in worth.caveats[0]
    assert worth.versions == ("1 (languages unknown)",)
