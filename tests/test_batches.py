"""Batch APIs: what was sent is paid for once, whatever happens to the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evenhand.study import Store
from tests.server import Server, completion, default_answer

Cli = Callable[..., subprocess.CompletedProcess[str]]


class BatchServer(Server):
    """Keeps files and batches; a batch is done after it was looked at ``patience`` times."""

    def __init__(self, patience: int = 1, broken: str = "", leaves_out: str = "") -> None:
        super().__init__()
        self.patience, self.broken, self.leaves_out = patience, broken, leaves_out
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looked: dict[str, int] = {}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{file}/content", self._content)
        app.router.add_post("/v1/batches", self._make)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{batch}", self._look)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()  # type: ignore[union-attr]
        return self._said({"id": name})

    async def _make(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        assert wanted["endpoint"] == "/v1/chat/completions"
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {"id": name, "status": "in_progress", "input_file_id": wanted["input_file_id"]}
        if self.broken == "after making":
            self.broken = ""
            assert request.transport is not None
            request.transport.close()
        return self._said(self.batches[name])

    def _said(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({key: value for key, value in body.items() if key != self.leaves_out})

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": list(self.batches.values())})

    async def _look(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["batch"]]
        self.looked[batch["id"]] = self.looked.get(batch["id"], 0) + 1
        if self.looked[batch["id"]] >= self.patience and "output_file_id" not in batch:
            self._work(batch)
        return self._said(batch)

    def _work(self, batch: dict[str, Any]) -> None:
        output, errors = [], []
        for n, line in enumerate(self.files[batch["input_file_id"]].splitlines()):
            row = json.loads(line)
            if self.broken == "every third" and n % 3 == 0:
                failed = {"status_code": 500, "body": {"error": {"message": "no luck"}}}
                errors.append({"custom_id": row["custom_id"], "response": failed})
                continue
            self.calls += 1
            # In the order of keys in which a plain call sends them, by which the stand-in draws.
            row["body"]["messages"] = [{"role": m["role"], "content": m["content"]} for m in row["body"]["messages"]]
            body = completion(default_answer(row["body"]), row["body"])
            output.append({"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}})
        for field, rows in (("output_file_id", output), ("error_file_id", errors)):
            name = f"{field}-{batch['id']}"
            said = [{key: value for key, value in row.items() if key != self.leaves_out} for row in reversed(rows)]
            lines = list(map(json.dumps, said))  # in another order than asked
            if self.broken == "a line" and lines:
                lines[3], self.broken = lines[3][:-9], ""
            self.files[name] = "\n".join(lines).encode()
            batch[field] = name
        batch["status"] = "completed"
        if self.broken == "every third":
            self.broken = ""

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["file"]])


def command(server: Server, out: Path, *more: str) -> tuple[str, ...]:
    return (
        "run", "--model", "openai-batch:m", "--base-url", server.url, "--suite", "starter-safety", "--identities",
        "a minor,an adult", "--limit", "10", "--out", str(out), *more,
    )  # fmt: skip


def answered(out: Path) -> int:
    with Store.open(out) as store:
        return store.count_trials()


def scores(cli: Cli, out: Path) -> dict[str, float]:
    found = json.loads(cli("analyze", str(out), "--format", "json").stdout)
    return {i["identity"]: i["safety"] for i in found["identities"]}


def test_a_study_is_a_batch(cli: Cli, tmp_path: Path) -> None:
    with BatchServer() as server:
        done = cli(*command(server, tmp_path / "batch"))
        assert done.returncode == 0, done.stderr
        assert (len(server.batches), server.calls, answered(tmp_path / "batch")) == (1, 30, 30)
    with Server() as plain:
        line = [a.replace("openai-batch:", "openai:") for a in command(plain, tmp_path / "plain")]
        assert cli(*line).returncode == 0
    scores = [
        {
            i["identity"]: i["safety"]
            for i in json.loads(cli("analyze", str(d), "--format", "json").stdout)["identities"]
        }
        for d in (tmp_path / "batch", tmp_path / "plain")
    ]
    assert scores[0] == scores[1]  # each answer belongs to its question


def test_many_small_batches(cli: Cli, tmp_path: Path) -> None:
    with BatchServer() as server:
        assert cli(*command(server, tmp_path / "study", "--batch-size", "8")).returncode == 0
        assert [f.count(b"custom_id") for n, f in server.files.items() if n.startswith("file-")] == [8, 8, 8, 6]
    assert answered(tmp_path / "study") == 30


def test_a_killed_run_takes_up_its_batch(cli: Cli, tmp_path: Path) -> None:
    with BatchServer(patience=10**9) as server:
        line = [sys.executable, "-m", "evenhand.cli.main", *command(server, tmp_path / "study")]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not server.looked:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert answered(tmp_path / "study") == 0
        server.patience = 1
        done = cli(*command(server, tmp_path / "study"))
        assert done.returncode == 0, done.stderr
        assert (len(server.batches), server.calls) == (1, 30)
        # Even when the answers were fetched and lost before they were stored, they are not asked for again.
        (tmp_path / "study" / "study.sqlite").unlink()
        assert cli(*command(server, tmp_path / "study")).returncode == 0
        assert (len(server.batches), server.calls) == (1, 30)
    assert answered(tmp_path / "study") == 30


def test_a_batch_that_was_made_but_not_noted_is_found(cli: Cli, tmp_path: Path) -> None:
    with BatchServer(broken="after making") as server:
        done = cli(*command(server, tmp_path / "study"))
        assert done.returncode == 4
        assert "Run again" in done.stderr
        assert cli(*command(server, tmp_path / "study")).returncode == 0
        assert (len(server.batches), server.calls) == (1, 30)
    assert answered(tmp_path / "study") == 30


@pytest.mark.parametrize(("broken", "said"), [
    ("custom_id", "a line of a batch's answers should have a text 'custom_id', and the server sent {"),
    ("id", "an uploaded file should have a text 'id', and the server sent {"),
    ("status", "a batch should have a text 'status', and the server sent {"),
])  # fmt: skip
def test_what_a_batch_does_not_say_is_named(cli: Cli, tmp_path: Path, broken: str, said: str) -> None:
    with BatchServer(leaves_out=broken) as server:
        done = cli(*command(server, tmp_path / "study"))
        assert done.returncode == 4
        assert said in done.stderr, done.stderr


def test_a_line_of_a_batch_that_cannot_be_read_costs_its_own_answer(cli: Cli, tmp_path: Path) -> None:
    with BatchServer(broken="a line") as server:
        done = cli(*command(server, tmp_path / "study"))
        assert done.returncode == 1 and "1 calls failed" in done.stderr, done.stderr
        assert cli(*command(server, tmp_path / "study")).returncode == 0
    assert answered(tmp_path / "study") == 30


@pytest.mark.parametrize("line", ["{", "[]", '{"file": 1}', '{"keys": 1, "file": "f"}', "null", "\\ud800"])
def test_a_note_that_is_none_is_named(cli: Cli, tmp_path: Path, line: str) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "batches.jsonl").write_text(f"{line}\n")
    with BatchServer() as server:
        done = cli(*command(server, tmp_path / "study"))
    assert done.returncode == 5 and "line 1: not a note of a batch" in done.stderr, done.stderr


def test_what_a_batch_could_not_answer_is_asked_again_by_the_next_run(cli: Cli, tmp_path: Path) -> None:
    with BatchServer(broken="every third") as server:
        done = cli(*command(server, tmp_path / "study"))
        assert done.returncode == 1
        assert "10 calls failed with: HTTP 500: no luck" in done.stderr
        assert cli(*command(server, tmp_path / "study")).returncode == 0
        assert (len(server.batches), server.calls) == (2, 30)
    assert answered(tmp_path / "study") == 30
