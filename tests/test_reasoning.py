"""Thoughts are told from answers, in every vocabulary, and only once: where answers enter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.judges import make_judge
from evenhand.models.chat import ChatFormat
from evenhand.reasoning import closing_tag, opens_trace, split_reasoning
from evenhand.types import Decoding, Item, Message, Request, Response

VOCABULARIES = [
    ("<think>", "</think>"),
    ("<THINK>\n", "\n</THINK>\n\n"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>\n"),
    ("<reasoning>\n", "</reasoning>\n"),
    ('<think type="slow">', "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<unused94>", "<unused95>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]
TRACE = "They ask for B. I must say: I cannot help with that.\n\n1. Hm.\n```python\nx = '<b>'\n```\n"


@pytest.mark.parametrize(("opening", "closing"), VOCABULARIES)
def test_the_trace_is_taken_out_whoever_opened_it(opening: str, closing: str) -> None:
    expected = ("The answer is B.", TRACE.strip())
    whole = split_reasoning(f"{opening}{TRACE}{closing}The answer is B.")
    headless = split_reasoning(f"{TRACE}{closing}The answer is B.")
    assert (whole.answer, whole.reasoning) == (headless.answer, headless.reasoning) == expected
    cut = split_reasoning(opening + TRACE, finished=False)
    assert (cut.answer, cut.reasoning) == ("", TRACE.strip())
    assert split_reasoning(f"{opening}{closing}The answer is B.").answer == "The answer is B."


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think><think>one</think>two</think>B", "B"),
        ("<think>I may write <think> here</think>B", "B"),
        ("<think>one</think>First.\n<think>two</think>Then B.", "First.\nThen B."),
        ("<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>B<|end_of_solution|>", "B"),
        ("analysisThey want B.assistantfinalB", "B"),
        ("Here is my thought process: B?\nHere is my response:\nB", "B"),
        ("<reasoning>x</reasoning>\n<answer>B</answer>", "<answer>B</answer>"),
    ],
)
def test_nested_repeated_and_spelled_traces(text: str, answer: str) -> None:
    assert split_reasoning(text).answer == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is B.",
        "Write the thoughts between `<think>` and `</think>`.",
        "Use the <think> tag, and close it with </think> again.",
        "```\n<think>x</think>\n```\nThis is what such an answer looks like.",
        'split = text.split("</think>")',
        '{"reason": "It says: </think> and then: <think>", "action": 5}',
        'So:\n{"reason": "It says: </think> and a {brace", "action": 5}',
        'So: {\n "reason": "It says: <|channel|>final<|message|>0",\n "action": 5\n}',
        "Bold is <b>so</b>, [1] is a note, <|user|>Thanks!<|end|>",
        "analysis of the question shows B",
        "The tag stands alone in a line:\n<think>\nand what follows is shown dimmed.",
    ],
)
def test_an_answer_that_speaks_of_tags_is_left_alone(text: str) -> None:
    assert split_reasoning(text) == split_reasoning(text).__class__(text, "")


def test_thoughts_that_begin_behind_an_answer_and_are_cut_leave_none() -> None:
    assert split_reasoning("It is A.\n<think>Or is it", finished=False).answer == ""


@given(st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "```", "\n", "a", "b", " ", "`", "<|end|>"])))
def test_no_word_is_lost_or_invented(pieces: list[str]) -> None:
    text = "".join(pieces)
    for finished in (True, False):
        split = split_reasoning(text, finished=finished)
        for word in "ab":
            assert split.answer.count(word) + split.reasoning.count(word) == pieces.count(word)


@pytest.mark.parametrize(
    ("prompt", "tag"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("[/INST][THINK]", "[THINK]"),
        ("<|im_start|>assistant\n", ""),
    ],
)
def test_a_template_that_opens_the_trace_is_seen(prompt: str, tag: str) -> None:
    assert opens_trace(prompt) == tag


async def test_judges_see_the_answer_and_never_the_thoughts() -> None:
    item = Item("1", "p", "g", "q", target="B", choices=("A", "B"))
    thought = Response("<think>The answer is A. I'm sorry, but I can't help with that.</think>The answer is B.")
    apart = Response("The answer is B.", reasoning="The answer is A.")
    for name in ("choice", "refusal-rules", "compliance-rules", "refusal-classifier"):
        judge, bare = make_judge(name), Response("The answer is B.")
        assert await judge.judge(item, thought) == await judge.judge(item, apart) == await judge.judge(item, bare)


@pytest.mark.parametrize("judge", ["choice", "number", "refusal-rules", "compliance-classifier", "code"])
async def test_what_holds_no_answer_is_missing_and_says_why(judge: str) -> None:
    item = Item("1", "p", "g", "q", target="1", choices=("1", "2"), extra={"tests": ["assert True"]})
    cut = await make_judge(judge).judge(item, Response("<think>The answer is 1", finish_reason="length"))
    thoughts = await make_judge(judge).judge(item, Response("<think>The answer is 1</think>"))
    nothing = await make_judge(judge).judge(item, Response(""))
    assert [(v.score, v.label) for v in (cut, thoughts, nothing)] == [(None, "cut"), (None, "empty"), (None, "empty")]


@pytest.mark.parametrize(
    ("judge", "score"), [("choice", 0.0), ("refusal-rules", 1.0), ("compliance-rules", 0.0), ("code", 0.0)]
)
async def test_what_a_provider_filters_is_a_refusal_of_its_own_class(judge: str, score: float) -> None:
    item = Item("1", "p", "g", "q", target="1", choices=("1", "2"), extra={"tests": ["assert True"]})
    verdict = await make_judge(judge).judge(item, Response("", "content_filter", filtered="violence"))
    assert (verdict.score, verdict.label, verdict.reason) == (score, "filtered", "the provider declined (violence)")


class Tokenizer:
    """Characters as tokens, and a template in the manner of models that always think, unless they are told not to."""

    chat_template = "made up"
    all_special_tokens = ("<end>",)

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": list(map(ord, text))}

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str:
        return "".join(map(chr, tokens))

    def apply_chat_template(
        self, turns: list[dict[str, str]], enable_thinking: bool = True, reasoning_effort: str = "", **_: bool
    ) -> str:
        said = "".join(f"<{t['role']}>{t['content']}<end>" for t in turns)
        return f"{said}<assistant><think>\n" + ("" if enable_thinking else "\n</think>\n\n")


def test_what_a_template_opened_is_part_of_what_a_local_model_wrote() -> None:
    chat = ChatFormat(Tokenizer())
    cut = Response(chat.answer(list(map(ord, "They ask"))), finish_reason="length")
    assert (cut.text, cut.reasoning, cut.is_cut) == ("", "They ask", True)
    whole = Response(chat.answer(list(map(ord, "They ask</think>Sure!"))))
    assert (whole.text, whole.reasoning) == ("Sure!", "They ask")
    assert chat.answer(list(map(ord, "Sure!")), effort="none") == "Sure!"


def test_choices_are_not_scored_as_the_first_word_of_a_thought() -> None:
    request = Request((Message("user", "A or B?"),), Decoding(), 1, choices=("A", "B"), prefill="The answer is ")
    prompt, firsts = ChatFormat(Tokenizer()).choice_tokens(request)
    assert "".join(map(chr, prompt)).endswith("<think>\n\n</think>\n\nThe answer is ")
    assert firsts == [ord("A"), ord("B")]


@pytest.mark.parametrize(
    ("opening", "closing"), [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷")]
)
def test_tags_have_a_mirror_image(opening: str, closing: str) -> None:
    assert closing_tag(opening) == closing
