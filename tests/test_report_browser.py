"""The report in headless Chromium: it draws, it filters, and nothing in it can run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.report.answer import answer
from evenhand.types import Request, Response
from tests.browser import MARKS, opened

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = MARKS

EXAMPLE = ".example:not(.transcript)"
HOSTILE = [
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg/onload=document.title='owned'>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "<!--<script>",
    "\u2028document.title='owned'\u2029",
    "javascript:document.title='owned'",
    "' onmouseover='document.title=1",
    "]]><style>body{display:none}</style>",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from evenhand.models import Model

    class Hostile(Model):
        id, concurrency, calls = "hostile<script>", 4, 0

        async def respond(self, request: Request) -> Response:
            self.calls += 1
            text = HOSTILE[self.calls % len(HOSTILE)]
            refuse = "I'm sorry, but I can't. " if (self.calls // 3) % 2 else ""
            answer = f"{refuse}{text} The answer is ({'ABCD'[self.calls % 4]})."
            return Response(answer, model=HOSTILE[1], reasoning=f"Thinking of {text}")

    folder = tmp_path_factory.mktemp("report")
    data = folder / "data"
    data.mkdir()
    rows = ["id,risk_area,types_of_harm,question"]
    rows += [
        f'{n},area,"{t.replace(chr(34), chr(34) * 2)}","{t.replace(chr(34), chr(34) * 2)} {n}"'
        for n, t in enumerate(HOSTILE)
    ]
    (data / "do_not_answer_en.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    identities = ["a man", "a woman", "a minor", *(f"text:{t}" for t in HOSTILE[:4])]
    spec = {"model": "openai:x", "suites": ["do-not-answer", "starter-utility:knowledge"], "limit": 10}
    spec |= {"identities": identities, "data_dir": data, "baselines": ["plain", "bare"]}
    # The made-up answers decline or not; none of them does what was asked.
    spec |= {"judges": {"do-not-answer": "refusal-classifier"}}
    evenhand.run(spec, folder / "study", model=Hostile())
    return evenhand.write_report(folder / "study")


@pytest.fixture
def page(report: Path) -> Iterator[Any]:
    with opened(report) as page:
        yield page


def test_charts_are_drawn_without_errors_and_without_a_network(page: Any) -> None:
    assert page.evaluate("document.body.dataset.charts") == "drawn"
    assert page.problems == []
    assert len(page.requests) == 1
    for name in ("first", "bias", "deviation-safety", "deviation-utility"):
        assert page.locator(f"#chart-{name} svg").count() == 1
    unfold(page, "Safety against utility")
    playwright.expect(page.locator("#chart-plane svg")).to_have_count(1)
    # One point per identity and baseline in the plane.
    assert page.locator("#chart-plane .mark-symbol.role-mark path").count() == 9


def unfold(page: Any, title: str) -> None:
    """Open a folded part by its title."""
    page.locator("main details.fold > summary").get_by_text(title, exact=True).click()


def test_the_contents_lead_to_every_part(page: Any) -> None:
    titles = [h.inner_text() for h in page.locator("main > section > h2").all()]
    links = page.locator("#contents a")
    assert [link.inner_text() for link in links.all()] == ["The answer", *titles]
    assert len(titles) >= 8
    links.get_by_text("What it cost").click()
    playwright.expect(page.get_by_role("heading", name="What it cost")).to_be_in_viewport()
    playwright.expect(links.and_(page.locator("[aria-current]"))).to_have_count(1)


def test_the_answer_stands_on_the_first_screen(page: Any, report: Path) -> None:
    said = page.locator(".said")
    playwright.expect(said).to_be_in_viewport()
    assert said.inner_text() == answer(evenhand.analyze(report.parent), str(report.parent)).said
    playwright.expect(page.locator("#chart-first svg")).to_be_in_viewport()
    for title in ("How sure", "What it rests on", "What to do next"):
        assert page.get_by_role("heading", name=title).count() == 1


def test_a_phone_scrolls_down_and_never_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    page.wait_for_function("document.body.dataset.charts")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert not page.locator("#menu").evaluate("menu => menu.open")
    playwright.expect(page.locator(".said")).to_be_in_viewport()


def test_folded_charts_are_drawn_when_they_are_opened(page: Any) -> None:
    assert page.locator("#chart-plane svg").count() == 0
    unfold(page, "Safety against utility")
    playwright.expect(page.locator("#chart-plane svg")).to_have_count(1)
    assert page.problems == []


def test_printing_unfolds_everything(page: Any) -> None:
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details.fold:not([open])").count() == 0


def test_hostile_text_is_shown_and_never_run(page: Any) -> None:
    page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")
    page.locator("#reveal").check()
    while page.locator("#more-examples").is_visible():
        page.locator("#more-examples").click()
    assert page.title().startswith("evenhand")
    assert page.locator("script").count() == 5
    assert page.locator("main img, main svg[onload], main style").count() == 0
    shown = page.locator("main").inner_text()
    for text in HOSTILE[:4]:
        assert text in shown
    assert "49" not in page.locator(EXAMPLE).all_inner_texts()
    page.mouse.move(300, 300)
    assert page.title().startswith("evenhand")
    assert page.problems == []


def test_texts_of_the_safety_axis_are_blurred_until_asked_for(page: Any) -> None:
    veiled = page.locator(f"{EXAMPLE} .answer.veiled").first
    blur = "e => getComputedStyle(e).filter"
    assert veiled.evaluate(blur) != "none"
    veiled.focus()
    page.keyboard.press("Enter")
    assert veiled.evaluate(blur) == "none"
    page.locator("#reveal").check()
    assert all(e.evaluate(blur) == "none" for e in page.locator(f"{EXAMPLE} .veiled").all())


def test_examples_are_filtered_by_suite_and_identity(page: Any) -> None:
    total = page.locator(EXAMPLE).count()
    assert total > 4
    page.locator("#pick-suite").select_option("do-not-answer")
    chosen = page.locator(f"{EXAMPLE}:visible")
    assert 0 < chosen.count() < total
    while page.locator("#more-examples").is_visible():
        page.locator("#more-examples").click()
    assert f"of {chosen.count()}" in page.locator("#examples-count").inner_text()
    assert {e.get_attribute("data-suite") for e in chosen.all()} == {"do-not-answer"}
    page.locator("#pick-identity").select_option("a woman")
    assert {e.get_attribute("data-identity") for e in page.locator(f"{EXAMPLE}:visible").all()} <= {"a woman"}


def test_transcripts_are_paged_filtered_and_searched(page: Any) -> None:
    count = page.locator("#t-count")
    playwright.expect(page.locator("body")).to_have_attribute("data-transcripts", "ready")
    unfold(page, "All transcripts")
    total = 2 * 10 * 9
    assert count.inner_text() == f"{total} responses, page 1 of 8"
    assert page.locator(".transcript").count() == 25
    page.locator("#t-next").click()
    assert "page 2 of 8" in count.inner_text()
    page.locator("#t-identity").select_option(label="a woman")
    assert count.inner_text() == "20 responses, page 1 of 1"
    assert page.locator("#t-next").is_disabled()
    names = page.locator(".transcript .pair > div:last-child .who").all_inner_texts()
    assert all(name.startswith("a woman") for name in names)
    baselines = page.locator(".transcript .pair > div:first-child .who").all_inner_texts()
    assert all(name.startswith(("plain", "bare")) for name in baselines)
    page.locator("#t-suite").select_option(label="do-not-answer")
    assert count.inner_text().startswith("10 responses")
    page.locator("#t-label").select_option(label="refusal")
    tags = page.locator(".transcript .pair > div:last-child .tag").all_inner_texts()
    assert tags
    assert all(tag.startswith("refusal") for tag in tags)
    page.locator("#t-label").select_option("")
    page.locator("#t-search").fill("onerror")
    playwright.expect(count).not_to_have_text(re.compile("^10 "))
    assert 0 < page.locator(".transcript").count() < 10
    page.locator("#t-search").fill("")
    playwright.expect(count).to_have_text(re.compile("^10 "))
    page.locator("#t-unlike").check()
    assert page.locator(".transcript").count() <= 10
    for pair in page.locator(".transcript .pair").all():
        tags = [tag.rsplit(", ", 1)[1] for tag in pair.locator(".tag").all_inner_texts()]
        assert tags[0] != tags[1]
    veiled = page.locator(".transcript .answer.veiled").first
    veiled.click()
    assert veiled.evaluate("e => getComputedStyle(e).filter") == "none"
    assert page.locator("#t-list img, #t-list script, #t-list style, #t-list svg").count() == 0
    assert page.problems == []


def test_the_numbers_in_the_page_are_the_analysis(page: Any, report: Path) -> None:
    found = evenhand.analyze(report.parent)
    unfold(page, "Scores of everybody")
    cells = [row.locator("td").all_inner_texts() for row in page.locator("#scores tbody tr").all()]
    by_name = {c[0]: c for c in cells}
    for result in found.identities:
        assert by_name[result.identity][2] == f"{result.safety:.1f}"
        # Each axis has its score, its differences from the mean, raw and shrunken, and from the two baselines.
        assert by_name[result.identity][7] == f"{result.utility:.1f}"


def test_thoughts_are_folded_and_cannot_run(page: Any) -> None:
    unfold(page, "All transcripts")
    thoughts = page.locator(".transcript details.thoughts").first
    assert not thoughts.evaluate("box => box.open")
    thoughts.locator("summary").click()
    assert "Thinking of" in thoughts.inner_text()
    assert page.title() != "owned"
    assert page.problems == []


# Roles that a screen reader reads by their names.
NAMED = {
    "button",
    "link",
    "checkbox",
    "combobox",
    "textbox",
    "searchbox",
    "image",
    "graphics-document",
    "navigation",
    "table",
}


def test_a_screen_reader_finds_its_way(page: Any) -> None:
    """What assistive technology is told (Chromium's accessibility tree), with everything unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    told = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in tree
        if not node["ignored"] and "role" in node
    ]
    roles = [role for role, _ in told]
    assert roles.count("main") == 1
    assert {"navigation", "heading", "table"} <= set(roles)
    nameless = sorted({role for role, name in told if role in NAMED and not name})
    assert nameless == []
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title()
