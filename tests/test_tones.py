"""The tone of answers by a classifier: identity words are masked, contrasts are paired, mistakes end in a line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.errors import ModelError, SpecError
from evenhand.identities import select, without_article
from evenhand.masking import masker
from evenhand.report.wording import open_tables
from evenhand.tones import Tone
from tests.server import Server
from tests.tiny import word_tokenizer

ADVICE = "As {}, you should ask twice. Every good {} knows that it works, and many are pleased with what they got."
QUICK = {"draws": 200, "permutations": 200}


def test_the_same_answer_to_two_identities_is_the_same_text() -> None:
    mask = masker([])
    told = {mask(ADVICE.format(i.name, without_article(i.name))) for i in select(["paper"])}
    assert told == {mask(ADVICE.format("a man", "man"))}
    assert "someone" in told.pop()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "Talk to him or her: she’s a gay Asian man and he's kind.",
            "Talk to them or their: they're someone and they're kind.",
        ),
        ("Older women and Black people pay more.", "someone and someone pay more."),
        ("The black line, the humane way, womanly, mankind.", "The black line, the humane way, womanly, mankind."),
        ("A night nurse, or night nurses, sleep late.", "someone, or someone, sleep late."),
        ("African-American voters and a transgender woman's rights", "someone and someone's rights"),
        ("", ""),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert masker(["a night nurse", ""])(text) == masked


def test_masking_is_quick_on_hostile_texts() -> None:
    mask = masker(["a night nurse"])
    for text in ("gay " * 4_000, "a " * 8_000, "non-" * 4_000, "old native american " * 1_000, "x" * 16_000):
        assert len(mask(text)) <= len(text) * 2


def classifier(folder: Path, labels: Sequence[str], card: str = "", **config: Any) -> str:
    """A tiny random transformer, over words."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    words = "someone man woman as a an you should it works ask twice not good great bad is"
    fast = word_tokenizer(words.split(" "))
    torch.manual_seed(0)
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=len(fast),
            dim=8,
            n_layers=1,
            n_heads=2,
            hidden_dim=8,
            max_position_embeddings=64,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={x: n for n, x in enumerate(labels)},
            initializer_range=0.5,
            pad_token_id=0,
            **config,
        )
    )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    if card:
        (folder / "README.md").write_text(card)
    return f"hf:{folder}"


@pytest.mark.model
def test_the_value_is_what_the_classifier_says(tmp_path: Path) -> None:
    import torch

    named = classifier(tmp_path / "three", ["Negative", "neutral", "POSITIVE"])
    tone = Tone("sentiment", named)
    text = "you should ask twice"
    found = tone.of([text, text, " ", "No creo que sea una buena idea hacerlo sin preguntar antes a los vecinos."])
    negative, _, positive = tone._classifier.probabilities([text])[0]
    assert found[text] == pytest.approx(100 * (positive - negative), abs=1e-3)
    assert [math.isnan(value) for value in found.values()] == [False, True, True]
    assert tone.unit == "points of probability, -100 to 100"
    assert "2 answers that are not in en are left out" in tone.how(2)
    anyone = Tone("sentiment", f"{named}?high=neutral&languages=any")
    assert not any(map(math.isnan, anyone.of([text, "No creo que sea una buena idea."]).values()))
    assert anyone.of([text])[text] == pytest.approx(100 * tone._classifier.probabilities([text])[0][1], abs=1e-3)
    several = {"problem_type": "multi_label_classification"}
    toxic = Tone("toxicity", classifier(tmp_path / "two", ["toxic", "insult"], "---\nlanguage: es\n---\n", **several))
    assert math.isnan(toxic.of(["you should ask twice, and it works as you should know, if it is good"]).popitem()[1])
    assert toxic.languages == {"es"}
    logits = toxic._classifier._logits([text])[0]
    assert toxic._classifier.probabilities([text])[0] == pytest.approx(torch.sigmoid(logits).tolist())


@pytest.mark.model
def test_masked_words_make_no_difference_and_the_rest_does(tmp_path: Path, server: Server) -> None:
    named = classifier(tmp_path / "c", ["low", "high"])

    def answer(payload: dict[str, Any]) -> str:
        told = json.dumps(payload["messages"])
        who = next((name for name in ("a man", "a woman", "a minor") if name in told), "a man")
        end = "it is bad" if who == "a minor" else "it is good"
        words = ("twice", "not", "great", "works", "as", "it")
        return f"As {who}, you should ask {words[int(re.findall('[0-9]+', told)[-1])]}, {end}."

    (tmp_path / "advice.csv").write_text("question\n" + "".join(f"How do I do {n}?\n" for n in range(6)))
    (tmp_path / "advice.toml").write_text('axis = "safety"\nitems = "advice.csv"\njudge = "refusal-rules"\n')
    server.answer = answer
    evenhand.run(
        {
            "model": "openai:m", "suites": [f"file:{tmp_path / 'advice.toml'}"],
            "identities": ["a man", "a woman", "a minor"], "options": {"base_url": server.url},
        },
        tmp_path / "s",
    )  # fmt: skip
    analysis = evenhand.analyze(tmp_path / "s", QUICK, classifiers={"kindness": f"{named}?high=high"})
    measure = next(found for found in analysis.open_answers if found.measure == "kindness")
    against = {who.identity: who.against for who in measure.identities}
    assert against["a man"] and against["a woman"] and against["a minor"]
    assert against["a man"].value == against["a woman"].value == 0
    assert abs(against["a minor"].value) > 0.5
    assert against["a minor"].q_value < 0.05
    assert measure.how == f"By {named}?high=high, the words of identities masked."
    # Unmasked, the same classifier finds a difference where the identity's name is all that differs.
    bare = Tone("kindness", f"{named}?high=high").of(["As a man, you should ask", "As a woman, you should ask"])
    assert abs(bare["As a man, you should ask"] - bare["As a woman, you should ask"]) > 0.5
    titles = [str(table.title) for table in open_tables(analysis) if hasattr(table, "title")]
    assert "Kindness of answers: advice (points of probability, 0 to 100)" in titles


@pytest.mark.parametrize(
    ("name", "reference", "said"),
    [
        ("sentiment", "vader", "needs a classifier, not 'vader'"),
        ("sentiment", "hf:", "needs a classifier"),
        ("sentiment", "hf:x?top=y", "has no option 'top'"),
        ("sentiment", "hf:x?languages=xx", "names no language by 'xx'"),
        ("warmth", "hf:x", "does not say which classes are high"),
        ("Not A Name", "hf:x", "is no name of a measure"),
        ("words", "hf:x?high=y", "is a measure of its own"),
    ],
)
def test_mistakes_are_said_before_anything_is_loaded(name: str, reference: str, said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)):
        Tone(name, reference)


@pytest.mark.model
def test_classes_that_are_not_there_are_named(tmp_path: Path) -> None:
    plain = classifier(tmp_path / "c", ["LABEL_0", "LABEL_1"])
    for name, query, said in (
        ("sentiment", "", "has no class neg or negative|has no class pos or positive"),
        ("sentiment", "?high=LABEL_1&low=LABEL_9", "has no class LABEL_9"),
        ("sentiment", "?low=LABEL_1", "do not tell high from low"),
        ("warmth", "?high=LABEL_1&low=LABEL_1", "do not tell high from low"),
    ):
        with pytest.raises(ModelError, match=said) as raised:
            Tone(name, f"{plain}{query}").start()
        assert "LABEL_0, LABEL_1" in raised.value.fix
    with pytest.raises(ModelError, match="cannot be loaded"):
        Tone("sentiment", f"hf:{tmp_path}/nowhere").start()
