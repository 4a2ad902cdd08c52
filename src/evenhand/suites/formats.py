"""Prompt formats that several suites share. Zero-shot, reasoning first, then "the answer is" (arXiv 2406.11107)."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_PREFILL = "The answer is ("
WORD_PREFILL = "The answer is "


def multiple_choice(question: str, options: Sequence[str], *, logprobs: bool) -> str:
    """A question with lettered options; asks for reasoning, or for the letter alone when scored by log-probability."""
    lettered = "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"{question.strip()}\n\n{lettered}\n\n{choice_instruction('the letter', logprobs=logprobs)}"


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
