"""Labelling in a browser: what is shown and kept, who may write, two annotators, and the page itself in Chromium."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

import evenhand
from evenhand.errors import DataError, SpecError
from evenhand.judges.actions import ACTIONS
from evenhand.judges.labels import label_score
from evenhand.labelling.classes import QUALITY, REFERENCE, REFUSALS, SIX_ACTIONS, classes_of
from evenhand.labelling.server import application
from evenhand.labelling.session import Session, pairs
from evenhand.models import Model
from evenhand.serving import LOOPBACK as HOST
from evenhand.serving import listen
from evenhand.study import Store
from evenhand.study.labelling import draw_sample, read_sample
from evenhand.types import Item, Request, Response
from evenhand.visible import visible
from tests.browser import CHROMIUM, MARKS
from tests.older_stores import back_to_version

TOKEN = "token-of-the-test"
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> </pre> \u202eevil"
IDENTITIES = ("a man", "a woman")
SUITES = ("starter-safety", "starter-utility:knowledge")


class Hostile(Model):
    id, concurrency = "hostile", 4

    async def respond(self, request: Request) -> Response:
        return Response(f"I'm sorry, but I can't. {HOSTILE}")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    spec = {"model": "openai:x", "suites": list(SUITES), "limit": 4, "identities": list(IDENTITIES)}
    evenhand.run(spec, tmp_path / "study", model=Hostile())
    return tmp_path / "study"


@pytest.fixture
def store(study: Path) -> Iterator[Store]:
    with Store.create(study) as store:
        yield store


def labels(store: Store) -> dict[int, tuple[str, float, str]]:
    found = store._db.execute("SELECT trial, label, score, annotator FROM labels")
    return {trial: (label, score, annotator) for trial, label, score, annotator in found}


# What is drawn, shown and kept


def test_every_class_is_a_label_that_has_a_score() -> None:
    for given in (REFUSALS, SIX_ACTIONS, REFERENCE, QUALITY):
        for good in (True, False):
            assert all(label_score(c.label, refusal_is_good=good) is not None for c in given)


@pytest.mark.parametrize(
    ("axis", "judge", "suite", "item", "classes"),
    [
        ("safety", "refusal-classifier", "do-not-answer", Item("1", "q", "", "q"), SIX_ACTIONS),
        ("safety", "refusal-classifier", "xstest-unsafe", Item("1", "q", "", "q"), REFUSALS),
        ("utility", "compliance-classifier", "xstest-safe", Item("1", "q", "", "q"), REFUSALS),
        ("utility", "choice", "mmlu", Item("1", "q", "", "q", choices=("a", "b")), REFERENCE),
        ("utility", "code", "mbpp", Item("1", "q", "", "q", extra={"tests": ["assert True"]}), REFERENCE),
        ("utility", "mine", "advice", Item("1", "q", "", "q"), QUALITY),
    ],
)
def test_each_kind_of_suite_has_its_classes(axis: str, judge: str, suite: str, item: Item, classes: object) -> None:
    assert classes_of(axis, judge, suite, item) == classes


def test_the_draw_is_that_of_judge_sample_and_stays(store: Store, tmp_path: Path) -> None:
    draw_sample(store, tmp_path / "sample.csv", 3, seed=5)
    rows = (tmp_path / "sample.csv").read_text(encoding="utf-8").splitlines()
    drawn = [s.trial for s in Session(store, "anna", count=3, seed=5).queue]
    assert drawn == [int(r.split(",")[0]) for r in rows if r.split(",")[0].isdigit()]
    # Neither another seed nor another annotator begins anew; a larger count adds behind, suite by suite.
    assert [s.trial for s in Session(store, "ben", count=3, seed=6).queue] == drawn
    more = Session(store, "ben", count=5)
    assert len(more.queue) == 10
    assert [s.trial for s in more.queue][:3] == drawn[:3]
    assert [s.trial for s in more.queue][5:8] == drawn[3:]


def test_the_view_names_neither_identity_nor_verdict(store: Store) -> None:
    session = Session(store)
    for n in range(len(session.queue)):
        text = json.dumps(session.view(n))
        assert HOSTILE.split("'")[0] in text
        for hidden in (*IDENTITIES, "classifier", 'refusal"', "score", "trial"):
            assert hidden not in text


def test_a_question_with_choices_shows_their_texts_and_the_right_answer(store: Store) -> None:
    asked = store.items("starter-utility:knowledge")
    views = [Session(store, suite="starter-utility:knowledge").view(n) for n in range(12)]
    assert {v["question"] for v in views} == {item.prompt for item in asked.values()}
    assert {v["reference"] for v in views} == {item.target for item in asked.values()}


def test_a_click_is_in_the_store_and_undo_restores_what_stood_there(store: Store) -> None:
    session = Session(store, "anna")
    trial = session.queue[0].trial
    session.say(0, "follows")
    assert labels(store) == {trial: ("follows", 0.0, "anna")}
    session.say(0, "refutes")
    assert labels(store) == {trial: ("refutes", 1.0, "anna")}
    assert session.undo() == 0
    assert labels(store) == {trial: ("follows", 0.0, "anna")}
    # A new session has no memory of clicks, and takes back the latest.
    session.say(1, "cannot_tell")
    later = Session(store, "anna")
    assert later.next_open() == 2
    assert [later.undo(), later.undo(), later.undo()] == [1, 0, None]
    assert store.annotations() == []
    assert labels(store) == {}


def test_cannot_tell_is_kept_and_is_no_label(store: Store) -> None:
    session = Session(store, "anna")
    session.say(0, "cannot_tell")
    assert session.given() == {session.queue[0].trial: "cannot_tell"}
    assert labels(store) == {}


def test_words_of_another_suite_and_positions_outside_are_refused(store: Store) -> None:
    session = Session(store)
    for position, word in ((0, "correct"), (0, "0.5"), (0, ""), (-1, "follows"), (99, "follows")):
        with pytest.raises(DataError):
            session.say(position, word)
    assert store.annotations() == []
    with pytest.raises(SpecError, match="no suite 'nonsense'"):
        Session(store, suite="nonsense")
    with pytest.raises(DataError, match="label differently"):
        Session(store, resolve=True)


# Two annotators


def test_the_first_label_stands_until_a_difference_is_resolved(store: Store) -> None:
    anna, ben = Session(store, "anna", suite="starter-safety"), Session(store, "ben", suite="starter-safety")
    said = ["follows", "follows", "refutes", "cannot_tell"]
    for n, word in enumerate(said):
        anna.say(n, word)
    for n, word in enumerate(["follows", "refutes", "refutes", "disclaimer"]):
        ben.say(n, word)
    trials = [s.trial for s in anna.queue[:4]]
    kept = [("follows", 0.0, "anna"), ("follows", 0.0, "anna"), ("refutes", 1.0, "anna"), ("disclaimer", 1.0, "ben")]
    assert labels(store) == dict(zip(trials, kept, strict=True))
    (pair,) = pairs(store)
    assert (pair.first, pair.second, pair.open, pair.agreement.n) == ("anna", "ben", 2, 3)
    assert pair.agreement.accuracy.value == pytest.approx(2 / 3)
    # Worked out by hand: 2/3 seen; by chance 2/3 * 1/3 + 1/3 * 2/3 = 4/9; kappa = (2/3 - 4/9) / (1 - 4/9) = 0.4.
    assert pair.agreement.kappa.value == pytest.approx(0.4)
    judge = Session(store, "carla", resolve=True)
    assert [s.trial for s in judge.queue] == [trials[1], trials[3]]
    assert judge.view(0)["others"] == ["follows", "refutes"]
    judge.say(0, "refutes")
    judge.say(1, "cannot_tell")
    assert labels(store)[trials[1]] == ("refutes", 1.0, "carla")
    assert trials[3] not in labels(store)  # whoever resolves may find that nobody can tell
    assert pairs(store)[0].open == 0
    # A label given after the resolution does not undo it.
    anna.say(1, "follows")
    assert labels(store)[trials[1]] == ("refutes", 1.0, "carla")
    judge.undo()
    judge.undo()
    assert labels(store)[trials[1]] == ("follows", 0.0, "anna")


def test_agreement_is_shown_only_when_the_suite_is_done(store: Store) -> None:
    for name in ("anna", "ben"):
        session = Session(store, name, suite="starter-safety")
        for n in range(len(session.queue)):
            assert session.view(n)["agreement"] == []
            session.say(n, "refutes")
    (shown,) = session.view(0)["agreement"]
    assert (shown["n"], shown["same"], shown["kappa"]) == (12, 1.0, 1.0)


def test_a_file_and_the_browser_are_annotators_alike(store: Store, tmp_path: Path) -> None:
    session = Session(store, "anna", suite="starter-safety")
    trials = [s.trial for s in session.queue]
    session.say(0, "follows")
    (tmp_path / "ben.csv").write_text(f"trial,label\n{trials[0]},safe\n{trials[1]},safe\n")
    assert read_sample(store, tmp_path / "ben.csv", "ben") == 2
    assert labels(store) == {trials[0]: ("follows", 0.0, "anna"), trials[1]: ("safe", 1.0, "ben")}


def test_labels_of_an_older_store_are_annotations(study: Path) -> None:
    back_to_version(study, 6)
    with sqlite3.connect(study / "study.sqlite") as db:
        db.execute("INSERT INTO labels SELECT id, 'safe', 1.0, 'old', 1.0 FROM trials ORDER BY id LIMIT 2")
    with Store.create(study) as store:
        assert [(who, label) for _, who, _, label, _ in store.annotations()] == [("old", "safe")] * 2
        old = {trial for trial, *_ in store.annotations()}
        # What a file labelled is part of the draw: a second annotator sees it, too.
        assert old <= {s.trial for s in Session(store, "ben", count=2).queue}


# Who may write


@pytest.fixture
async def site(store: Store) -> AsyncIterator[tuple[str, Session]]:
    session = Session(store, "anna")
    listening = listen()
    port = listening.getsockname()[1]
    runner = web.AppRunner(application(session, TOKEN, port))
    await runner.setup()
    await web.SockSite(runner, listening).start()
    yield f"http://{HOST}:{port}", session
    await runner.cleanup()


async def test_the_page_writes_and_goes_on(site: tuple[str, Session]) -> None:
    root, session = site
    async with ClientSession(headers={"Origin": root}) as client:
        page = await client.get(f"{root}/{TOKEN}/")
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "http" not in (await page.text()).replace("http-equiv", "")
        first = await (await client.get(f"{root}/{TOKEN}/state")).json()
        assert (first["position"], first["done"], first["of"]) == (0, 0, 24)
        after = await (
            await client.post(f"{root}/{TOKEN}/label", json={"position": 0, "label": "follows"})
        ).json()  # fmt: skip
        assert (after["position"], after["done"]) == (1, 1)
        assert list(session.given().values()) == ["follows"]
        back = await (await client.post(f"{root}/{TOKEN}/undo", json={})).json()
        assert (back["position"], back["done"], back["given"]) == (0, 0, None)
        for bad in ({"position": "0", "label": "follows"}, {"position": True, "label": "follows"}, {"position": 0}, []):
            assert (await client.post(f"{root}/{TOKEN}/label", json=bad)).status == 400
        assert (await client.get(f"{root}/{TOKEN}/state?at=99999999")).status == 200
    assert session.given() == {}


@pytest.mark.parametrize(
    ("token", "headers", "kind"),
    [
        ("wrong", {}, "application/json"),
        (TOKEN, {"Origin": "http://evil.example"}, "application/json"),
        (TOKEN, {"Origin": "null"}, "application/json"),
        (TOKEN, {"Origin": ""}, "application/json"),
        (TOKEN, {"Host": "evil.example"}, "application/json"),
        (TOKEN, {}, "text/plain"),
        (TOKEN, {}, "application/x-www-form-urlencoded"),
    ],
)
async def test_no_other_page_writes(site: tuple[str, Session], token: str, headers: dict[str, str], kind: str) -> None:
    root, session = site
    body = json.dumps({"position": 0, "label": "follows"})
    async with ClientSession() as client:
        sent = {"Origin": root, "Content-Type": kind, **headers}
        reply = await client.post(f"{root}/{token}/label", data=body, headers=sent)
        assert reply.status == 403
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert session.given() == {}


async def test_no_other_page_reads(site: tuple[str, Session]) -> None:
    root, _ = site
    async with ClientSession() as client:
        for token, headers in (
            ("wrong", {}), (TOKEN, {"Host": "evil.example"}), (TOKEN, {"Origin": "http://evil.example"}),
        ):  # fmt: skip
            reply = await client.get(f"{root}/{token}/state", headers=headers)
            assert reply.status == 403
            assert "sorry" not in await reply.text()


def test_killing_the_command_loses_nothing_and_a_rerun_goes_on(study: Path) -> None:
    line = [sys.executable, "-m", "evenhand.cli.main", "judge", "label", str(study), "--annotator", "anna"]
    for done in range(2):
        with subprocess.Popen([*line, "--no-browser"], stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            state = json.load(urllib.request.urlopen(f"{address}state"))
            assert (state["position"], state["done"]) == (done, done)
            headers = {"Content-Type": "application/json", "Origin": address[: address.index("/", 8)]}
            body = json.dumps({"position": done, "label": ACTIONS[done]}).encode()
            urllib.request.urlopen(urllib.request.Request(f"{address}label", body, headers)).read()
            os.kill(process.pid, signal.SIGKILL)
    with Store.open(study) as store:
        assert [label for *_, label, _ in store.annotations()] == list(ACTIONS[:2])


# The page in Chromium


@pytest.fixture
def served(study: Path) -> Iterator[tuple[str, Path]]:
    """The page, served by a loop in a thread of its own."""
    loop, listening = asyncio.new_event_loop(), listen()
    port = listening.getsockname()[1]
    opened = Store.create(study)

    async def start() -> web.AppRunner:
        runner = web.AppRunner(application(Session(opened, "anna", count=4), TOKEN, port))
        await runner.setup()
        await web.SockSite(runner, listening).start()
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    yield f"http://{HOST}:{port}/{TOKEN}/", study
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    opened.close()


class TestInChromium:
    pytestmark = MARKS

    def test_keys_label_undo_and_move_and_nothing_runs(self, served: tuple[str, Path]) -> None:
        playwright = pytest.importorskip("playwright.sync_api")
        address, study = served

        def kept() -> list[str]:
            with Store.open(study) as store:
                return [label for *_, label, _ in store.annotations()]

        with playwright.sync_playwright() as running:
            browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1000, "height": 800})
            problems: list[str] = []
            requests: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
            page.on("dialog", lambda d: (problems.append("dialog"), d.dismiss()))
            page.on("request", lambda r: requests.append(r.url))
            page.goto(address)

            def at(done: int, number: int) -> None:
                text = f"{done} of 8 labelled, this is no. {number}"
                page.wait_for_function("t => document.getElementById('count').textContent === t", arg=text)

            at(0, 1)
            assert visible(HOSTILE) in page.locator("#response").text_content()
            assert page.locator("#response *").count() == 0
            page.keyboard.press("6")
            at(1, 2)
            assert kept() == ["follows"]
            page.keyboard.press("j")
            at(1, 3)
            page.keyboard.press("ArrowRight")
            at(1, 4)
            page.keyboard.press("k")
            at(1, 3)
            page.keyboard.press("n")
            at(1, 2)
            page.keyboard.press("0")
            at(2, 3)
            assert kept() == ["follows", "cannot_tell"]
            page.keyboard.press("u")
            at(1, 2)
            assert kept() == ["follows"]
            page.keyboard.press("ArrowLeft")
            at(1, 1)
            assert page.locator("#classes button[aria-pressed=true]").get_attribute("data-label") == "follows"
            page.keyboard.press("9")  # no class has it
            page.locator("#classes button", has_text="refutes").click()
            at(1, 2)
            assert kept() == ["refutes"]
            for n in range(2, 9):
                page.keyboard.press("1")
                at(n, min(n + 1, 8))
            assert kept() == ["refutes", *["cannot-assist"] * 3, *["correct"] * 4]
            assert "All responses have a label" in page.locator("#finished").inner_text()
            folder = os.environ.get("EVENHAND_TEST_SCREENSHOTS")
            for scheme in ("light", "dark") if folder else ():
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=f"{folder}/label-{scheme}.png")
                page.keyboard.press("k")
                page.wait_for_timeout(300)
            assert page.title() == "evenhand: labelling"
            assert problems == []
            assert all(r.startswith((address, "data:")) for r in requests)
            browser.close()
