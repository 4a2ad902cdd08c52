"""Expressions that are tried at words alone find what a search finds."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evenhand.judges import action_features, action_roles, asides, at_words, courtesies, refusal_moves
from evenhand.judges.at_words import AtWords
from evenhand.judges.beginnings import Beginning, beginnings

SOUGHT = {
    "answers": action_features._ANSWERS,
    "sentences": action_roles._SOUGHT,
    "courtesies": courtesies._SOUGHT,
    "moves": refusal_moves._SAID,
    "names": asides._NAMES,
}
PATTERNS = [pytest.param(p, id=f"{name}-{n}") for name, sought in SOUGHT.items() for n, p in enumerate(sought.patterns)]
SPLIT = re.compile(r"\w+|\W")
# Words of the expressions, and what stands between and in words.
PIECES = sorted({piece for sought in SOUGHT.values() for p in sought.patterns for piece in SPLIT.findall(p.pattern)})


def spans(found: list[re.Match[str] | None]) -> list[tuple[int, int] | None]:
    return [match and match.span() for match in found]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_expression_is_found_wherever_a_search_finds_it(pattern: re.Pattern[str]) -> None:
    alone = AtWords([pattern])

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.from_regex(pattern), st.sampled_from((str, str.upper, str.title)), st.sampled_from(("", "x", " a ", "\n"))
    )
    def check(text: str, written: type[str], before: str) -> None:
        read = before + written(text)
        assert spans(alone.matches(read)) == spans([pattern.search(read)])
        assert alone.any(read) == bool(pattern.search(read))

    check()


@pytest.mark.parametrize("name", SOUGHT)
def test_all_of_them_are_found_at_once(name: str) -> None:
    sought = SOUGHT[name]

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.sampled_from([*PIECES, *"'’-.,\n", *"    ", *"İſıé_"])).map("".join))
    @example("I'm \u017forry, but I CANNOT assist: it is not r\u0130ght.")
    def check(text: str) -> None:
        assert spans(sought.matches(text)) == spans([pattern.search(text) for pattern in sought.patterns])
        assert sought.any(text) == any(pattern.search(text) for pattern in sought.patterns)

    check()


def test_of_several_places_the_first_counts_also_within_a_word() -> None:
    sought = AtWords([re.compile("views? differ|n't"), re.compile(r"\ba+\b"), re.compile(r"^\W*no|\bnow\b")])
    assert spans(sought.matches("reviewviews differ, don't, aa a")) == [(6, 18), (27, 29), None]
    assert spans(sought.matches("... no: now n't")) == [(12, 15), None, (0, 6)]
    assert spans(sought.matches("")) == [None, None, None]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (r"\b(?:may|regret\w*)\b", {("may", True, True), ("regret", True, True), ("regret", False, True)}),
        (r"\bpossibl[ey]\b", {("possible", True, True), ("possibly", True, True)}),
        (r"\bdoctors? who", {("doctor", True, True), ("doctors", True, True)}),
        (r"n't\b", {("n", True, False)}),
        (r"\bi(?:'m| am)? not", {("i", True, True)}),
        (r"\b(?:an? )?(?:so ){0,2}old\b", {(word, True, True) for word in ("a", "an", "so", "old")}),
        (r"\b(?:so )+it", {("so", True, True)}),
        (r"\bab{2}", {("ab", False, True)}),
        (r"\b\w+ing\b", {("", False, True)}),
        (r"\bno(?! one)\b", {("no", True, True)}),
        (r"(?i)\bI[’']M", {("i", True, True)}),
        (r"a.b", {("a", False, False)}),
    ],
)  # fmt: skip
def test_how_a_match_begins(expression: str, told: set[tuple[str, bool, bool]]) -> None:
    assert beginnings(re.compile(expression)) == {Beginning(*way) for way in told}


@pytest.mark.parametrize(
    "expression",
    [
        r" a",
        r"\W*a",
        r"[^a]b",
        r".a",
        r"a*",
        r"",
        r"a|",
        r"(a)b",
        r"\Aa",
        r"(?m)^a",
        r"(?:a",
        r"[a-z]b",
        r"(?i)é",
        r"\.a",
    ],
)
def test_what_cannot_be_told_is_refused(expression: str) -> None:
    with pytest.raises((ValueError, re.error)):
        beginnings(re.compile(expression))


def test_expressions_of_both_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="some of the expressions ignore case"):
        AtWords([re.compile("a"), re.compile("b", re.IGNORECASE)])


def test_all_that_passes_for_a_letter_is_read_as_one() -> None:
    letters = [re.compile(chr(n), re.IGNORECASE) for n in range(ord("a"), ord("z") + 1)]
    sought = AtWords([re.compile(rf"\b{letter.pattern}", re.IGNORECASE) for letter in letters])
    for code in [*range(ord("A"), 0x2200), 0xFB05, 0xFF21, 0x1D400]:
        if chr(code).isalnum() and code < sys.maxunicode:
            assert [bool(m) for m in sought.matches(chr(code))] == [bool(p.match(chr(code))) for p in letters], hex(
                code
            )


def test_words_are_told_anew_when_too_many_were_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_words, "_KEPT_WORDS", 3)
    sought = AtWords([re.compile(r"\bw1\b")])
    for _ in range(2):
        assert [n for n in range(10) if sought.any(f"w{n}")] == [1]
        assert sought.any("x" * 100) is False
    assert len(sought._places) <= 3
