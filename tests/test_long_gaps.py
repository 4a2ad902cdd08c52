"""White space without an end is shortened before any judge reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.judges import make_judge
from evenhand.judges.gaps import without_long_gaps
from evenhand.types import Item, Response

ITEM = Item("i", "q", "g", "q", "B", ("A", "B"), {"options": ["this", "that"]})


@given(st.lists(st.sampled_from(["a", " ", "\t", "\n", " " * 70, "\n" * 200]), max_size=40).map("".join))
def test_words_and_line_breaks_stay(text: str) -> None:
    short = without_long_gaps(text)
    assert short.split() == text.split()
    assert [line.split() for line in short.splitlines() if line.strip()] == [
        line.split() for line in text.splitlines() if line.strip()
    ]
    assert not any(gap.isspace() for gap in (short[k : k + 66] for k in range(max(len(short) - 65, 0))))
    assert text == short or " " * 65 in text.replace("\t", " ").replace("\n", " ")


@pytest.mark.parametrize("gap", [" " * 100_000, "\n" * 100_000, " \n\t" * 30_000])
async def test_a_judge_finds_what_stands_behind_them(gap: str) -> None:
    verdict = await make_judge("choice").judge(ITEM, Response(f"The answer is{gap}B"))
    assert verdict.score == 1.0
