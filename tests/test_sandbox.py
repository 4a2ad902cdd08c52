"""Programs written by a model run where they can do no harm, and score what they pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evenhand.judges import make_judge
from evenhand.judges.sandbox import Limits, Outcome, run_tests
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.suites.sources import read_jsonl
from evenhand.types import Response

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
FAST = Limits(wall_s=6, cpu_s=1)


async def run(code: str, *tests: str) -> Outcome:
    outcome = await run_tests(code, tests or ("assert True",), limits=FAST)
    assert not outcome.problem, outcome.problem
    return outcome


async def test_each_assert_counts_on_its_own() -> None:
    outcome = await run("def f(x):\n    return x + 1", "assert f(1) == 2", "assert f(2) == 9", "assert f(-1) == 0")
    assert outcome.passed == (True, False, True)
    assert "test 2" in outcome.error


async def test_recursion_and_imports_work() -> None:
    code = "import math, re, json\nfrom collections import Counter\nfrom collections.abc import Sequence\n"
    code += "def f(n):\n    return 1 if n < 2 else n * f(n - 1)"
    assert (await run(code, "assert f(400) > 0", "assert Counter('aab')['a'] == 2")).passed == (True, True)


HOSTILE = {
    "endless loop": "while True: pass",
    "memory": "x = bytearray(10**10)",
    "big file": "open('f', 'wb').write(b'x' * 10**8)",
    "leaves early": "import os\nos._exit(0)",
    "exits": "raise SystemExit(0)",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)",
    "fork bomb": "import os\nwhile True: os.fork()",
    "kills its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nraise ValueError",
    "reads the user's files": "open('/etc/shadow').read()",
    "endless output": "while True: print('x' * 10**6)",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_programs_pass_nothing(name: str, server: object) -> None:
    port = server.port  # type: ignore[attr-defined]
    outcome = await run(HOSTILE[name].replace("PORT", str(port)))
    assert outcome.passed == (False,)
    assert outcome.error
    assert server.calls == 0  # type: ignore[attr-defined]


async def test_the_environment_is_empty_and_the_folder_is_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    code = "import os\nfound = [k for k in os.environ if 'KEY' in k]\nopen('mine.txt', 'w').write('x')"
    assert (await run(code, "assert found == []", "assert os.getcwd() != '/'")).passed == (True, True)


async def test_every_starter_solution_passes_its_own_tests() -> None:
    path = Path(load_suite.__code__.co_filename).parent / "data" / "starter_utility.jsonl"
    rows = [r for r in read_jsonl("id")(path) if "solution" in r]
    items = {i.id: i for i in load_suite(make_suites(["starter-utility:code"])[0], DataSource()).items}
    assert len(rows) == len(items) >= 20
    judge = make_judge("code")
    for row in rows:
        verdict = await judge.judge(items[row["id"]], Response(f"```python\n{row['solution']}\n```"))
        assert verdict.score == 1.0, row


async def test_mbpp_is_scored_by_asserts_not_by_text(real_data: Path) -> None:
    """The authors compared the code's text with the reference."""
    (suite,) = make_suites(["mbpp"])
    items = {i.id: i for i in load_suite(suite, DataSource(real_data)).items}
    rows = read_jsonl("task_id")(real_data / "mbpp.jsonl")[:40]
    judge = make_judge("code")
    scores = [
        (await judge.judge(items[f"mbpp-{r['task_id']}"], Response(f"```\n{r['code']}\n```"))).score for r in rows
    ]
    assert scores == [1.0] * len(rows)
    other = await judge.judge(items["mbpp-1"], Response("```python\ndef min_cost(*a):\n    return 8\n```"))
    assert other.score == pytest.approx(1 / 3)
