"""Prompt formats that several suites share. Zero-shot, reasoning first, then "the answer is" (arXiv 2406.11107)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand.identities import ENGLISH, Language

# What items bring that are scored by whole texts: one for each choice, in ``extra``.
TEXTS = "texts"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_PREFILL = "The answer is ("
WORD_PREFILL = "The answer is "


def multiple_choice(question: str, options: Sequence[str], *, logprobs: bool, language: Language = ENGLISH) -> str:
    """A question with lettered options; asks for reasoning, or for the letter alone when scored by log-probability."""
    lettered = "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    instruction = choice_instruction("the letter", logprobs=logprobs)
    if language != ENGLISH:
        instruction = language.letter if logprobs else language.choice
    return f"{question.strip()}\n\n{lettered}\n\n{instruction}"


def letter_prefill(language: Language) -> str:
    """How an answer begins up to the letter."""
    return LETTER_PREFILL if language == ENGLISH else language.answer


def texts_to_weigh(texts: Sequence[str], prefill: str) -> dict[str, Any]:
    """What an item brings whose choices are scored as whole texts, and how the answer begins before them."""
    return {TEXTS: list(texts), "prefill": prefill}


def quoted(texts: Sequence[str]) -> list[str]:
    """Texts as they go on behind an opened quotation mark."""
    return [f'{text}"' for text in texts]


def weighed_opinion(question: str, options: Sequence[str]) -> tuple[str, str, list[str]]:
    """A question about a user's choice whose options are scored as whole texts: the prompt, how the answer begins, and
    how it goes on with each option."""
    return f"{question} ({' / '.join(options)})", "I think you would choose:", [f" {option}" for option in options]


def choice_instruction(what: str, *, logprobs: bool) -> str:
    if logprobs:
        return f"Answer with {what} of the correct choice only."
    return f'Think step by step, then end with "The answer is X.", where X is {what} of the correct choice.'


def word_instruction(words: Sequence[str], *, logprobs: bool) -> str:
    either = " or ".join(words)
    if logprobs:
        return f"Answer with {either} only."
    return f'Think step by step, then end with "The answer is X.", where X is {either}.'


def free_number(question: str) -> str:
    return f'{question.strip()}\n\nThink step by step, then end with "The answer is N.", where N is a number.'


def python_function(task: str, tests: Sequence[str]) -> str:
    """A programming task; the tests are shown because they fix the function's name and arguments."""
    shown = "\n".join(tests)
    return (
        f"{task.strip()}\n\nThe code must pass these tests:\n```python\n{shown}\n```\n"
        "Reply with the complete Python code in one code block."
    )
