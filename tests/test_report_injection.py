"""Hostile texts as items, groups, identities, responses and names of models: a page shows them and obeys none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import evenhand
from evenhand.models import Model
from evenhand.types import Request, Response, whole_characters
from evenhand.visible import visible
from tests.browser import MARKS, opened
from tests.hostile_texts import TO_PAGES

pytestmark = MARKS

TEXTS = [whole_characters(text) for text in TO_PAGES]
SUITE = 'axis = "{axis}"\nitems = "items.jsonl"\nname = "{axis}-of-texts"\njudge = "{judge}"\n'


class Hostile(Model):
    """Answers with every text in turn, and calls itself by another each time."""

    id, concurrency, calls = TO_PAGES[0], 1, 0

    async def respond(self, request: Request) -> Response:
        self.calls += 1
        text = TO_PAGES[self.calls % len(TO_PAGES)]
        refusal = "I'm sorry, but I can't help with that. " if self.calls % 3 else ""
        return Response(refusal + text, model=TEXTS[self.calls * 7 % len(TEXTS)], finish_reason=TEXTS[self.calls % 9])


def written(folder: Path, identities: list[str], **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [{"id": f"i{n}", "question": text, "group": text} for n, text in enumerate(TEXTS)]
    (folder / "items.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    suites = []
    for axis, judge in (("safety", "refusal-classifier"), ("utility", "compliance-classifier")):
        (folder / f"{axis}.toml").write_text(SUITE.format(axis=axis, judge=judge))
        suites.append(f"file:{folder / axis}.toml")
    spec = {"model": "openai:x", "suites": suites, "identities": identities, "baselines": ["plain"], **more}
    evenhand.run(spec, folder / "study", model=Hostile())
    return evenhand.write_report(folder / "study")


@pytest.fixture
def items(tmp_path: Path) -> Iterator[Any]:
    with opened(written(tmp_path / "items", ["a man", "a woman"])) as page:
        yield page


@pytest.fixture
def identities(tmp_path: Path) -> Iterator[Any]:
    names = [f"text:{text}" for text in TEXTS if len(text) < 200]
    with opened(written(tmp_path / "identities", names, limit=3)) as page:
        yield page


def obeyed(page: Any) -> dict[str, object]:
    """What the page has done that only a text could have asked for."""
    page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")
    page.locator("#reveal").check()
    page.mouse.move(300, 300)
    page.mouse.wheel(0, 4000)
    page.mouse.move(500, 500)
    page.keyboard.press("Tab")
    signs: dict[str, object] = page.evaluate(
        """() => ({
            title: document.title.startsWith("evenhand") ? 0 : document.title,
            polluted: {}.owned ? 1 : 0,
            scripts: document.querySelectorAll("script").length - 5,
            elements: [...document.querySelectorAll(
                `main :is(script, style, img, iframe, object, embed, video, audio, form:not(.vega-bindings), math, base,
                meta, link, template, dialog, marquee, xmp, plaintext, frameset, [srcdoc], [srcset], [ping])`)]
                .map(e => e.outerHTML.slice(0, 80)),
            handlers: [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => /^on/i.test(a.name)))
                .map(e => e.outerHTML.slice(0, 80)),
            links: [...document.querySelectorAll("[href], [src], [action], [formaction]")]
                .map(e => e.getAttribute("href") || e.getAttribute("src") || e.getAttribute("action") || "")
                .filter(to => !/^(#|$)/.test(to)),
            hidden: getComputedStyle(document.body).display === "none" ? 1 : 0,
            bodies: document.querySelectorAll("body").length - 1,
        })"""
    )
    signs |= {"problems": page.problems, "requests": page.requests[1:], "pages": page.context.pages[1:]}
    return {sign: found for sign, found in signs.items() if found}


def test_the_corpus_is_large_and_without_doubles() -> None:
    assert len(set(TO_PAGES)) == len(TO_PAGES) >= 100


def test_every_item_group_and_response_is_shown_as_it_is_and_none_is_obeyed(items: Any) -> None:
    assert obeyed(items) == {}
    items.wait_for_function("document.body.dataset.transcripts", timeout=60_000)
    shown: dict[str, set[str]] = {".question": set(), ".answer": set(), ".soft": set()}
    while True:
        for kind, texts in shown.items():
            texts.update(items.locator(f".transcript {kind}").all_text_contents())
        if items.locator("#t-next").is_disabled():
            break
        items.locator("#t-next").click()
    for kind, texts in shown.items():
        assert [t for t in TEXTS if not any(visible(t.strip()) in text for text in texts)] == [], kind
    assert obeyed(items) == {}


def test_no_identity_is_obeyed(identities: Any) -> None:
    assert obeyed(identities) == {}
    names = " ".join(identities.locator("main").all_text_contents())
    assert [t for t in TEXTS if len(t) < 200 and visible(t.strip()) not in names] == []
