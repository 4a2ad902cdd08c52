"""The phrases of declining: what they are said to need must be in whatever they match."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evenhand.judges.phrases import Phrases, declining, excusing

KINDS = [pytest.param(group, n, id=f"{group.__name__}-{n}") for group in (declining, excusing)
         for n in range(len(group().patterns))]  # fmt: skip


@pytest.mark.parametrize(("group", "number"), KINDS)
def test_a_phrase_is_found_wherever_its_expression_matches(group: object, number: int) -> None:
    phrases: Phrases = group()  # type: ignore[operator]
    pattern = phrases.patterns[number]

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(pattern), st.sampled_from((str, str.upper, str.title)))
    def check(text: str, written: type[str]) -> None:
        found = phrases.matches(written(text))[number]
        expected = pattern.search(written(text))
        assert (found and found.span()) == (expected and expected.span())

    check()


@given(st.text())
@example("\u0131 can't assist with that")  # a dotless i, which is an i to an expression that ignores case
@example("\u0130 can't assist with that")  # a dotted capital
@example("I'm \u017forry, but no")  # a long s
def test_any_text_is_read_as_the_expressions_alone_would(text: str) -> None:
    phrases = declining()
    expected = [pattern.search(text) for pattern in phrases.patterns]
    assert [m and m.span() for m in phrases.matches(text)] == [m and m.span() for m in expected]


def test_the_leftmost_match_counts_and_the_first_of_two_that_start_together() -> None:
    phrases = Phrases([("b", "b+"), ("a", "a."), ("a", "ab+")])
    match = phrases.first("xabb")
    assert match is not None
    assert match[0] == "ab"
    assert phrases.first("xyz") is None
