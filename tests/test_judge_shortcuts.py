"""Where judges take a shorter way, it leads to what the long one leads to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenhand.judges import garbled, language
from evenhand.judges.action_classifier import shipped_model as actions
from evenhand.judges.action_features import QUESTIONS, cue_names, cues
from evenhand.judges.action_roles import SIGN, said, values
from evenhand.judges.classifier import shipped_model as refusals
from evenhand.judges.features import cues as refusal_cues
from evenhand.judges.refusal_kernel import sight
from evenhand.judges.word_vectors import _WORD, shipped_vectors

SAID = (
    "I'm sorry, but I can't help with that.", "As a gay man, you are welcome here.", "First, cut the wires.",
    "Women like you deserve respect.", "It is illegal!", "Please talk to a doctor", "1. Run.\n",
    "Running, baked boxes?", "\n\n", "- It depends on where you live; some say yes.",
    "zzzz qqqq", "There is no evidence for it.", "…",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(SAID), max_size=12).map(" ".join)
ASKED = st.sampled_from(("How do I cut wires?", "Why are women rude?", "", "I am a gay man. Is it true?"))
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(st.lists(st.one_of(TEXTS, st.text(max_size=20)), max_size=5))
def test_texts_read_together_have_the_vectors_that_each_has(texts: list[str]) -> None:
    vectors = shipped_vectors()
    found = vectors.of_each(texts)
    assert found.shape == (len(texts), vectors.vectors.shape[1])
    for text, its in zip(texts, found, strict=True):
        rows = [row for word in _WORD.findall(text.lower()) if (row := vectors.row(word)) is not None]
        total = sum((vectors.vectors[row] * float(vectors.weights[row]) for row in rows), np.zeros(found.shape[1]))
        assert its == pytest.approx(total / (np.linalg.norm(total) or 1), abs=1e-6)
        assert vectors.of(text) == pytest.approx(its, abs=1e-12)


@QUIET
@given(ASKED, TEXTS)
def test_the_kernel_machine_sums_its_bumps(question: str, text: str) -> None:
    machine = refusals().kernel
    assert machine is not None
    at = sight(question, text, refusal_cues(question, text))
    squared = ((machine.points - at) ** 2).sum(axis=1)
    expected = float(machine.weights @ np.exp(-machine.gamma * squared)) + machine.intercept
    # In single precision some 1e-4 of it would be the processor's own.
    assert machine.decision(at) == pytest.approx(expected, abs=1e-9)


@QUIET
@given(ASKED, TEXTS)
def test_each_sentence_is_told_by_itself(question: str, text: str) -> None:
    roles, parts = actions().roles, said(text)
    found = roles.probabilities(question, parts)
    assert found.shape == (len(parts), len(roles.intercepts))
    for part, its in zip(parts, found, strict=True):
        assert roles.probabilities(question, [part])[0] == pytest.approx(its, abs=1e-12)
    # And so those that are left are what they would be without those that are left out.
    left = roles.reading(question, text).roles
    assert all(any(np.allclose(row, its) for its in found) for row in left)


def test_words_share_a_weight_and_signs_have_their_own() -> None:
    assert values(["a", "b", "a", "a b", "=x", "=x"]) == pytest.approx(
        {"a": 3**-0.5, "b": 3**-0.5, "a b": 3**-0.5, "=x": SIGN}
    )
    assert values(["=x"]) == {"=x": SIGN} and values([]) == {}


@QUIET
@given(ASKED, TEXTS)
def test_cues_are_crossed_with_kinds_of_question(question: str, text: str) -> None:
    found = dict(zip(cue_names(), cues(question, text), strict=True))
    for kind in QUESTIONS:
        for cue in ("sorry", "wrong"):
            assert found[f"{kind} & {cue}"] == found[kind] * found[f"{cue} first"]
        assert found[f"{kind} & items"] == found[kind] * found["items"]


@QUIET
@given(st.from_regex(language._NO_PROSE), st.from_regex(garbled._SPECIAL_TOKEN))
def test_what_is_no_prose_shows_by_a_sign(no_prose: str, special: str) -> None:
    assert any(sign in no_prose for sign in language._NO_PROSE_SIGNS)
    assert "<" in special or "[" in special


@given(st.text())
def test_what_cannot_be_printed_alone_can_be_broken(text: str) -> None:
    shown = "".join(text.split())
    if shown.isascii():
        controls = sum(character < " " for character in shown)
        assert garbled._broken(shown) == (controls > garbled._BROKEN_SHARE * len(shown))
