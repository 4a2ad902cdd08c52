"""A whole study on a loopback server with the evenhand that is installed beside this Python, and nothing of `dev`.

Usage: bare_study.py DIRECTORY core|EXTRA (an extra goes on with the study that the core left in the directory)
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import typer

import evenhand
from evenhand.cli.main import app, main

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server import Server

COMMAND = Path(sys.executable).parent / "evenhand"
KINDS = ("suites", "models", "identities", "personalizers", "judges", "mitigations")
# Extra -> what asks for it, and the exit code where it is missing.
NEEDS = {
    "local": (["--model", "smollm2"], 4),
    "vllm": (["--model", "vllm:m"], 4),
    "inspect": (["--model", "inspect:mockllm/model"], 4),
    "anthropic": (["--model", "anthropic:m"], 4),
    "google": (["--model", "gemini:m"], 4),
    "bedrock": (["--model", "bedrock:m"], 4),
    "ray": (["--executor", "ray"], 4),
    "embed": (["--people", "starter", "--personalizer", "retrieval:3:use"], 4),
    "planner": (["--judge", "starter-safety=embodied-planner"], 4),
    "mem0": (["--people", "starter", "--personalizer", "mem0"], 2),
    "lm-eval": (["--suite", "lm-eval:arc_easy"], 3),
    "hub": (["--suite", "gsm8k"], 3),
}
RUN = ("run", "--model", "openai:m", "--suite", "starter-safety", "--identities", "age", "--limit", "1")
EXPORTS = {"inspect": "inspect", "mlflow": "mlflow", "wandb": "wandb", "hub": "model-card"}


def ran(*arguments: str, code: int | None = 0, says: str = "", never: str = "") -> None:
    """Run a command in this process; leave where it does not end as it should."""
    said, ended = io.StringIO(), 0
    sys.argv = ["evenhand", *arguments]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as leaving:
            ended = int(leaving.code or 0)
    checked(arguments, ended, said.getvalue(), code, says, never)


def ran_alone(*arguments: str, code: int = 0, says: str = "") -> None:
    """Run the installed command, in a process of its own."""
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)
    checked(arguments, done.returncode, done.stdout + done.stderr, code, says)


def checked(arguments: tuple[str, ...], ended: int, said: str, code: int | None, says: str, never: str = "") -> None:
    """Leave where a command did not end as it should; ``code`` None takes any."""
    if code not in (ended, None) or says not in said or "Traceback" in said or (never and never in said):
        sys.exit(f"evenhand {' '.join(arguments)}: exit code {ended}, expected {code} and '{says}':\n{said}")


def helped(command: object, path: tuple[str, ...] = ()) -> None:
    """Ask every command for its help."""
    ran(*path, "-h", says="Usage")
    for name, below in getattr(command, "commands", {}).items():
        helped(below, (*path, name))


def study(url: str, out: Path) -> None:
    """From the first call to every form of result."""
    model = ("--model", "openai:m", "--base-url", url)
    suites = ("--suite", "starter-safety,starter-utility", "--identities", "age", "--baseline", "plain,bare")
    ran_alone("run", *model, *suites, "--limit", "8", "--out", str(out), says="0 failed")
    ran("analyze", str(out), "--draws", "200", "--permutations", "200", says="starter-safety")
    ran("report", str(out))
    ran("check", str(out), "--max-pb", "100", says="Pass.")
    for command in ("status", "doctor", "plan"):
        ran(command, str(out))
    for form in ("parquet", "csv", "json", "svg", "png"):
        ran("export", str(out), "--to", form, "--out", str(out / form))
    ran("judge", "again", str(out), "--judge", "starter-safety=refusal-rules")
    ran("mitigate", str(out), "--mitigation", "neutralize", "--out", f"{out}-mitigated")
    ran("compare", str(out), f"{out}-mitigated")


def core(url: str, directory: Path) -> None:
    """All that needs no extra; what needs one is listed and asked for by name, and leaves nothing behind."""
    helped(typer.main.get_command(app))
    for kind in KINDS:
        ran("list", kind)
    ran("list", "suites", "--licenses", says="Apache-2.0")
    study(url, directory / "study")
    for extra, (asks, code) in NEEDS.items():
        target = directory / f"without-{extra}"
        ran(*RUN, "--base-url", url, *asks, "--out", str(target), code=code, says=f"pip install 'evenhand[{extra}]'")
        if target.exists():
            sys.exit(f"{target} was begun without the extra {extra}")
    ran("demo", "--out", str(directory / "demo"), code=4, says="pip install 'evenhand[local]'")
    for extra, form in EXPORTS.items():
        target = str(directory / f"no-{form}")
        ran("export", str(directory / "study"), "--to", form, "--out", target, code=2, says=f"'evenhand[{extra}]'")


def with_extra(url: str, directory: Path, extra: str) -> None:
    """What was refused without the extra is not any more. Nobody is asked: there is no key, and no network."""
    target = directory / f"with-{extra}"
    if extra in NEEDS:
        ran(*RUN, "--base-url", url, *NEEDS[extra][0], "--out", str(target), code=None, never="pip install")
    ran("list", "models")
    if extra in EXPORTS:
        ran("export", str(directory / "study"), "--to", EXPORTS[extra], "--out", str(directory / EXPORTS[extra]))


def everything(directory: Path, here: str) -> None:
    """All of it, with the environment of this Python."""
    if Path(sys.prefix) not in Path(evenhand.__file__).parents:
        sys.exit(f"{evenhand.__file__} is not the installed one")
    os.environ["HF_HUB_OFFLINE"] = "1"
    with Server() as server:
        if here == "core":
            core(server.url, directory)
        else:
            with_extra(server.url, directory, here)
    if here == "core":
        gone = str(directory / "gone")
        ran(*RUN, "--base-url", server.url, "--out", gone, code=4, says="Nothing listens at")


if __name__ == "__main__":
    everything(Path(sys.argv[1]), sys.argv[2])
