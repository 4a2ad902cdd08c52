"""A page over a folder of studies: what it shows while one runs, what it serves, and to whom."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

import evenhand
from evenhand.errors import DataError
from evenhand.models import Model
from evenhand.report.answer import answer
from evenhand.serving import LOOPBACK, listen
from evenhand.stages import stage
from evenhand.study import Store
from evenhand.types import Request, Response
from evenhand.viewing import waiting, watching
from evenhand.viewing.server import Viewer, serve
from evenhand.viewing.watching import Folder
from tests.browser import CHROMIUM, MARKS

TOKEN = "token-of-the-test"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
WHO = ("a woman", "a man", "a minor")


def made(folder: Path, name: str, worse: int = 5) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "identity": who, "item": f"q{n}", "axis": "safety", "response": HOSTILE, "prompt": f"{n}",
            "score": n % 10 >= (worse if who == "a minor" else 1),
        }
        for n in range(60)
        for who in WHO
    ]  # fmt: skip
    evenhand.from_table(rows, folder / name, suite=f"{name} {HOSTILE}")
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studies")
    made(root, "before")
    made(root / "later", "after", 1)
    (root / "empty").mkdir()
    return root


@pytest.fixture
async def served(folder: Path) -> AsyncIterator[str]:
    listening = listen()
    port = listening.getsockname()[1]
    runner = web.AppRunner(Viewer(Folder(folder), "anna").application(TOKEN, port))
    await runner.setup()
    await web.SockSite(runner, listening).start()
    yield f"http://{LOOPBACK}:{port}/{TOKEN}/"
    await runner.cleanup()


async def got(address: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with ClientSession() as session, session.get(address, headers=headers) as reply:
        return reply.status, await reply.text(), dict(reply.headers)


async def listed(served: str) -> dict[str, dict[str, Any]]:
    _, text, _ = await got(f"{served}studies")
    return {study["name"]: study for study in json.loads(text)["studies"]}


async def test_every_study_of_the_folder_is_listed_with_what_it_says(served: str) -> None:
    studies = await listed(served)
    assert set(studies) == {"before", "after"}
    before = studies["before"]
    assert (before["answered"], before["planned"], before["state"]) == (180, 180, "imported")
    assert before["found"] and "a minor" in before["said"]
    assert before["bias"]["safety"]["low"] > 0
    assert not studies["after"]["found"]


async def test_reports_and_studies_side_by_side_are_served(served: str) -> None:
    studies = await listed(served)
    ids = [study["id"] for study in studies.values()]
    status, page, headers = await got(f"{served}study/{ids[0]}/")
    assert status == 200 and "Does it treat everyone alike?" in page
    # The report's own policy holds, and nothing frames it or hears from it.
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "connect-src 'none'" in headers["Content-Security-Policy"]
    status, page, _ = await got(f"{served}side?ids={','.join(ids)}")
    assert status == 200 and "Side by side" in page
    assert (await got(f"{served}side?ids={ids[0]}"))[0] == 400
    status, text, _ = await got(f"{served}study/ffff/")
    assert status == 400 and "no such study" in text


async def test_nobody_else_reads(served: str) -> None:
    wrong = served.replace(TOKEN, "another")
    assert (await got(wrong))[0] == 403
    assert (await got(f"{served}studies", Origin="https://evil.example"))[0] == 403
    assert (await got(f"{served}studies", Host="evil.example"))[0] == 403


async def test_labelling_holds_a_study_only_while_it_is_open(served: str, folder: Path) -> None:
    key = (await listed(served))["before"]["id"]
    status, text, _ = await got(f"{served}label/{key}/state")
    assert status == 200 and "response" in json.loads(text)
    assert Store.is_locked(folder / "before")
    await got(served)
    assert not Store.is_locked(folder / "before")
    with Store.create(folder / "before"):
        status, text, _ = await got(f"{served}label/{key}/state")
        assert status == 400 and "Another run is writing" in text


async def test_reading_writes_nothing(served: str, folder: Path) -> None:
    files = {path: path.read_bytes() for path in folder.rglob("study.sqlite")}
    for study in (await listed(served)).values():
        await got(f"{served}study/{study['id']}/")
    assert {path: path.read_bytes() for path in folder.rglob("study.sqlite")} == files


def test_a_running_study_shows_how_far_it_is_and_what_fails(tmp_path: Path) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    class Slow(Model):
        id, concurrency, calls = "slow", 1, 0

        async def respond(self, request: Request) -> Response:
            self.calls += 1
            if self.calls == 20:
                halfway.set()
                await asyncio.to_thread(go_on.wait, 60)
            return Response("I'm sorry, but I can't help with that.")

    spec = {"model": "openai:x", "suites": "starter-safety", "identities": ["a man", "a minor"], "limit": 20}
    run = threading.Thread(target=lambda: evenhand.run(spec, tmp_path / "s", model=Slow()))
    run.start()
    try:
        assert halfway.wait(60)
        (study,) = Folder(tmp_path).studies()
        assert study["state"] == "running" and 0 < study["answered"] < study["planned"] == 60
    finally:
        go_on.set()
        run.join()
    (study,) = Folder(tmp_path).studies()
    assert study["state"] == "finished" and study["answered"] == 60 and study["lagging"] == []


@pytest.mark.parametrize("large", [False, True])
def test_a_study_that_has_ended_says_what_its_report_says(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, "s", worse=3)
    monkeypatch.setattr(watching, "_LARGE", 10 if large else 1000)
    settings = {"draws": 400, "permutations": 400} if large else {}
    analysis = evenhand.analyze(path, settings)
    pb = analysis.pb["safety"]
    folder = Folder(tmp_path)
    (study,) = folder.studies()
    if large:
        assert study["analysing"] and "said" not in study and folder.leaves_some, "nobody waits for what takes long"
        folder.look_closer()
        (study,) = folder.studies()
        assert "analysing" not in study and not folder.leaves_some
    assert pb is not None and study["bias"]["safety"] == {"value": pb.corrected, "low": pb.ci[0], "high": pb.ci[1]}
    assert study["said"] == answer(analysis, str(path), imported=True).said
    # Who labels locks the study, and changes nothing of that.
    with Store.create(path):
        again = Folder(tmp_path)
        again.studies()
        again.look_closer()
        assert again.studies()[0]["bias"] == study["bias"]


def test_a_large_study_that_runs_is_not_read_at_every_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path, "s")
    opened: list[Path] = []
    opening = Store.open
    monkeypatch.setattr(Store, "open", lambda directory: opened.append(directory) or opening(directory))
    monkeypatch.setattr(watching, "_LARGE", 10)
    monkeypatch.setattr(watching, "_PAUSE", 1e9)
    folder = Folder(tmp_path)
    with Store.create(path):
        (first,) = folder.studies()
        assert folder.studies() == [first] and len(opened) == 1
        assert first["state"] == "running"
    # Nor one that is labelled here, whose lock is ours.
    monkeypatch.setattr(watching, "_LARGE", 1e9)
    folder = Folder(tmp_path)
    (before,) = folder.studies()
    folder.labelled = before["id"]
    read = len(opened)
    with Store.create(path):
        assert folder.studies() == [before] and len(opened) == read
    folder.labelled = None
    folder.studies()
    assert len(opened) == read + 1


async def test_a_large_study_is_listed_before_it_is_analysed(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    analysed, go_on = watching.analyze_store, threading.Event()

    def slowly(store: Store, *given: Any) -> Any:
        assert go_on.wait(60)
        return analysed(store, *given)

    monkeypatch.setattr(watching, "analyze_store", slowly)
    monkeypatch.setattr(watching, "_LARGE", 10)
    try:
        assert {name: study["analysing"] for name, study in (await listed(served)).items()} == {
            "before": True, "after": True,
        }  # fmt: skip
    finally:
        go_on.set()
    studies = await listed(served)
    while any("analysing" in study for study in studies.values()):
        await asyncio.sleep(0.05)
        studies = await listed(served)
    assert studies["before"]["found"] and not studies["after"]["found"]


async def test_a_browser_is_told_what_is_done_while_a_page_is_made(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, go_on, made_pages = (await listed(served))["before"]["id"], threading.Event(), []
    render = watching.render_report

    def slowly(store: Store, *given: Any) -> str:
        made_pages.append(store.directory)
        stage("reading <all> of it")
        assert go_on.wait(60)
        return render(store, *given)

    monkeypatch.setattr(watching, "render_report", slowly)
    monkeypatch.setattr(waiting, "_AT_ONCE_S", 0.01)
    address, as_browser = f"{served}study/{key}/", {"Sec-Fetch-Mode": "navigate"}
    try:
        page = ""
        while "reading &lt;all&gt; of it" not in page:
            status, page, _ = await got(address, **as_browser)
            assert status == 200 and 'http-equiv="refresh"' in page
        # Whoever is no browser waits for the page itself.
        whole = asyncio.create_task(got(address))
        # The list does not wait for it.
        assert (await listed(served)).keys() == {"before", "after"}
    finally:
        go_on.set()
    assert "Does it treat everyone alike?" in (await whole)[1]
    assert len(made_pages) == 1, "one page, however often it is asked for"
    monkeypatch.setattr(waiting, "_AT_ONCE_S", 60)
    assert "Does it treat everyone alike?" in (await got(address, **as_browser))[1]
    status, text, _ = await got(f"{served}study/ffff/", **as_browser)
    assert status == 400 and "no such study" in text


def test_a_study_at_rest_is_read_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, "study")
    opened: list[Path] = []
    opening = Store.open
    monkeypatch.setattr(Store, "open", lambda directory: opened.append(directory) or opening(directory))
    folder = Folder(tmp_path)
    (fresh,) = folder.studies()
    (again,) = folder.studies()
    assert again == fresh and len(opened) == 2, "written to a moment ago, it may be written to still"
    monkeypatch.setattr(watching, "_AT_REST_S", -1.0)
    assert folder.studies() == folder.studies() == [fresh]
    assert len(opened) == 3
    with Store.create(path) as store:
        assert folder.studies()[0]["state"] == "running"
        with store.transaction():
            store._db.execute("INSERT INTO failures VALUES ('x', 'q', 'none', 'a man', 0, 1, 'timeout', 0)")
    (changed,) = folder.studies()
    assert (changed["failed"], changed["state"]) == (1, "imported")
    assert folder.studies() == [changed]
    # What was not looked at anew because the last look was a moment ago is looked at when its time has come.
    monkeypatch.setattr(watching, "_EVERY_S", 1e9)
    with Store.create(path) as store, store.transaction():
        store._db.execute("UPDATE judgements SET score = NULL WHERE trial % 7 = 0")
    assert folder.studies()[0]["said"] == changed["said"]
    monkeypatch.setattr(watching, "_EVERY_S", -1.0)
    monkeypatch.setattr(watching, "_PAUSE", 0)
    before = len(opened)
    (later,) = folder.studies()
    assert len(opened) == before + 1 and later["bias"] != changed["bias"]
    assert folder.studies() == [later] and len(opened) == before + 1


def test_a_study_is_analysed_once_for_all_pages_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [made(tmp_path, "one"), made(tmp_path, "other", 3)]
    analysed: list[Path] = []
    analyze_store = watching.analyze_store

    def counted(store: Store, *given: Any) -> Any:
        analysed.append(store.directory)
        return analyze_store(store, *given)

    monkeypatch.setattr(watching, "analyze_store", counted)
    folder = Folder(tmp_path)
    ids = [study["id"] for study in folder.studies()]
    first = folder.report(ids[0])
    folder.side_by_side(ids)
    assert analysed == paths
    # Another judge may score as many answers, and otherwise.
    with Store.create(paths[0]) as store:
        (suite,) = [row["suite"] for row in store.suites()]
        with store.transaction():
            store._db.execute("INSERT INTO judgements SELECT trial, 'given?x=1', version, 1, label, reason, at "
                              "FROM judgements")  # fmt: skip
        store.set_judge(suite, "given?x=1")
    assert folder.report(ids[0]) != first
    folder.side_by_side(ids)
    assert analysed == [*paths, paths[0], paths[0]], "the report and a look at what has changed"


def test_the_list_and_a_page_do_not_analyse_the_same_study_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        made(tmp_path, name)
    analysed: list[Path] = []
    begun, go_on = threading.Event(), threading.Event()
    analyze_store = watching.analyze_store

    def slowly(store: Store, *given: Any) -> Any:
        analysed.append(store.directory)
        begun.set()
        assert go_on.wait(60)
        return analyze_store(store, *given)

    monkeypatch.setattr(watching, "analyze_store", slowly)
    monkeypatch.setattr(watching, "_LARGE", 10)
    folder = Folder(tmp_path)
    ids = [study["id"] for study in folder.studies()]
    closer = threading.Thread(target=folder.look_closer)
    page = threading.Thread(target=folder.side_by_side, args=(ids,))
    closer.start()
    assert begun.wait(60)
    page.start()
    go_on.set()
    closer.join()
    page.join()
    assert sorted(analysed) == sorted(tmp_path / name for name in ("one", "other"))


def test_a_study_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    broken = made(tmp_path, "broken") / "study.sqlite"
    broken.write_bytes(b"no database" * 100)
    (study,) = Folder(tmp_path).studies()
    assert study["error"] and "answered" not in study


def test_a_folder_without_studies_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no study"):
        serve(tmp_path, annotator="", tell=print, browser=False)
    with pytest.raises(DataError, match="no folder"):
        serve(tmp_path / "none", annotator="", tell=print, browser=False)


class TestInABrowser:
    pytestmark = MARKS

    async def test_the_page_shows_cards_and_runs_nothing_of_theirs(self, served: str) -> None:
        playwright = pytest.importorskip("playwright.async_api")
        async with playwright.async_playwright() as running:
            browser = await running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1100, "height": 800})
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
            await page.goto(served)
            await page.locator("body[data-looked]").wait_for(timeout=60_000)
            assert await page.locator(".card").count() == 2
            assert await page.locator(".card.found .said").inner_text() != ""
            assert await page.locator("#side").is_disabled()
            for box in await page.locator(".pick").all():
                await box.check()
            async with page.context.expect_page() as opened:
                await page.locator("#side").click()
            beside = await opened.value
            await beside.locator("body[data-charts]").wait_for(timeout=60_000)
            assert await beside.locator("#chart-biases svg").count() == 1
            assert problems == [] and await page.title() == "evenhand: studies"
            await browser.close()
