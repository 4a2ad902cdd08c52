"""Programs written by a model run where they can do no harm, and score what they pass."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.judges import make_judge
from evenhand.sandbox import Limits, Outcome, host, run_tests
from evenhand.sandbox.child.values import decode, encode
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.suites.sources import read_jsonl
from evenhand.types import Item, Response
from tests.hostile_programs import CHEAT, HARM, SNOOP, TEST

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
FAST = Limits(wall_s=3, cpu_s=1)
SECRET = "what-no-program-may-read"
GROUPS = {"harm": HARM, "snoop": SNOOP, "cheat": CHEAT}
PROGRAMS = {f"{kind}: {name}": program for kind, group in GROUPS.items() for name, program in group.items()}


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


@pytest.mark.parametrize("name", PROGRAMS)
async def test_no_hostile_program_harms_learns_or_passes(name: str, server: Any, tmp_path: Path) -> None:
    planted = tmp_path / "planted.txt"
    planted.write_text(SECRET)
    planted.chmod(0o644)
    program = PROGRAMS[name].replace("PORT", str(server.port)).replace("PLANTED", str(planted))
    answer = str(secrets.randbelow(10**9) + 10**7)
    own = Limits(wall_s=3 + secrets.randbelow(10**9) / 10**12, cpu_s=1)  # tells its processes from other tests'
    outcome = await run_tests(program, [TEST.replace("ANSWER", answer)], limits=own)
    assert outcome.passed == (False,)
    assert outcome.error
    assert SECRET not in outcome.error
    assert server.calls == 0
    assert planted.read_text() == SECRET
    assert not [p for p in psutil.pids() if str(own.wall_s) in command_of(p)], "something still runs"


def command_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


async def test_the_same_test_passes_for_a_program_that_is_right() -> None:
    assert (await run("def f(x):\n    return x * 2", TEST.replace("ANSWER", "40"))).passed == (True,)


async def test_the_sandbox_says_what_holds(cli: Callable[..., Any]) -> None:
    done = cli("sandbox", "--format", "json")
    assert done.returncode == 0, done.stderr
    probes = json.loads(done.stdout)
    assert len(probes) == 14
    assert all(probe["active"] for probe in probes)


async def test_without_isolation_the_probes_find_it_missing() -> None:
    open_program = "def sees(path):\n    import os\n    return os.path.exists(path)"
    shut = await run_tests(open_program, ["assert sees('/etc/passwd')"], limits=FAST)
    free = await run_tests(open_program, ["assert sees('/etc/passwd')"], limits=FAST, isolate=False)
    assert (shut.passed, free.passed) == ((False,), (True,))


async def test_a_kernel_that_grants_no_namespaces_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = "def refused(*a): raise PermissionError(1, 'isolation failed')\n"
    refuse += "import child.isolation\nchild.isolation.Isolation.unshare = refused\nmain()"
    monkeypatch.setattr(host, "_START", host._START.replace("main()", f"exec({refuse!r})"))
    outcome = await run_tests("def f(x): return x", ["assert f(1) == 1"], limits=FAST)
    assert outcome.passed == ()
    assert "isolation failed" in outcome.problem
    item = Item("i", "q", "g", "q", extra={"tests": ["assert f(1) == 1"]})
    verdict = await make_judge("code").judge(item, Response("```python\ndef f(x): return x\n```"))
    assert (verdict.score, verdict.label) == (None, "no-sandbox")


VALUES = [
    "None", "True", "-3", "2**70", "1.5", "float('inf')", "1+2j", "'a\\u00e9\\ud800'", "b'x'", "[1, [2]]", "(1, 'a')",
    "{1, 2}",
    "frozenset({3})", "{'a': (1, 2), 3: None}", "range(3)",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
async def test_plain_values_come_out_as_they_are(value: str) -> None:
    outcome = await run(f"def f(): return {value}", f"assert f() == {value}", f"assert type(f()) is type({value})")
    assert outcome.passed == (True, True)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.decimals(allow_nan=False) | st.fractions() | st.complex_numbers(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=4)
    | st.frozensets(st.integers() | st.text(), max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_what_is_encoded_is_decoded_to_the_same(value: object) -> None:
    again = decode(json.loads(json.dumps(encode(value))))
    assert again == value
    assert type(again) is type(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["int", "set", "dict", "range", "unplain", "x"]), inner)
    ),
)


@given(JSON)
def test_a_hostile_answer_is_a_value_or_an_ordinary_error(data: Any) -> None:
    with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, AttributeError):
        decode(data)


@pytest.mark.parametrize(
    ("test", "passes"),
    [
        ("assert [f(n) for n in (1, 2)] == [2, 4]", True),
        ("assert sorted(map(lambda n: f(n), [2, 1])) == [2, 4]", True),
        ("x = [1, 2]\nassert f(x) == [1, 2, 1, 2]", True),
        ("assert math.isclose(f(0.5), 1.0)", True),
        ("assert abs(f(1.5) - 3) < 1e-9 and not f(0)", True),
        ("try:\n    f(None)\nexcept TypeError:\n    pass\nelse:\n    raise AssertionError", True),
        ("assert C(4).half() == 2", True),
        ("assert C(4).items[1:] == (2, 3)", True),
        ("assert list(g(3)) == [0, 1, 2]", True),
        ("assert C(1)", True),
        ("assert C(1) == C(1)", False),
        ("assert f(1) == 3", False),
    ],
)
async def test_tests_may_be_any_statement(test: str, passes: bool) -> None:
    code = "class C:\n    items = (1, 2, 3)\n    def __init__(self, x): self.x = x\n"
    code += "    def half(self): return self.x // 2\n"
    code += "def f(x): return x * 2\ndef g(n): yield from range(n)"
    assert (await run(code, test)).passed == (passes,)


async def test_a_built_in_keeps_its_meaning_beside_the_function_under_test() -> None:
    cheat = "def set(x): return 1\ndef f(x): return 0"
    assert (await run(cheat, "assert set(f(1)) == set([1])")).passed == (False,)
    named_so = "def sum(a, b): return a + b"
    assert (await run(named_so, "assert sum(10, 15) == 25")).passed == (True,)


async def test_a_set_up_may_need_the_program_and_the_program_the_set_up() -> None:
    node = "class Node:\n    def __init__(self, x): self.x = x\ndef f(n): return n.x"
    outcome = await run_tests(node, ["assert f(root) == 7"], setup="root = Node(7)", limits=FAST)
    assert outcome.passed == (True,)
    outcome = await run_tests("tau = math.tau", ["assert tau > 6"], setup="import math", limits=FAST)
    assert outcome.passed == (True,)


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
    rows = read_jsonl(task_id=int)(real_data / "mbpp.jsonl")[:40]
    judge = make_judge("code")
    scores = [
        (await judge.judge(items[f"mbpp-{r['task_id']}"], Response(f"```\n{r['code']}\n```"))).score for r in rows
    ]
    assert scores == [1.0] * len(rows)
    other = await judge.judge(items["mbpp-1"], Response("```python\ndef min_cost(*a):\n    return 8\n```"))
    assert other.score == pytest.approx(1 / 3)
