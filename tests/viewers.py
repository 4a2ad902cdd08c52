"""A page over a folder as a process of its own, and what somebody does there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError

# A report takes seconds; on a busy machine, minutes.
_PATIENCE_S = 600


class View:
    """``evenhand view`` over a folder with one study, until it is left or killed.

    Args:
        folder: the folder.
        env: of the process.
        annotator: who labels.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], annotator: str = "anna") -> None:
        line = [sys.executable, "-m", "tests.trouble", "view", str(folder), "--no-browser", "--annotator", annotator]
        self.process: subprocess.Popen[str] = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**env, "COLUMNS": "500"},
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://\S+/", said)
        assert found, said
        self.address = found.group()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def get(self, path: str) -> str:
        """A page.

        Raises:
            OSError: the process is gone.
        """
        with urllib.request.urlopen(f"{self.address}{path}", timeout=_PATIENCE_S) as reply:
            return str(reply.read().decode())

    def studies(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("studies"))["studies"]
        return found

    def state(self, study: str, at: int | None = None) -> dict[str, Any]:
        """One response, the first that has no label by default, and how many have one."""
        found: dict[str, Any] = json.loads(self.get(f"label/{study}/state" + ("" if at is None else f"?at={at}")))
        return found

    def label(self, study: str, position: int, label: str) -> None:
        """Say what a response is.

        Raises:
            OSError: the process was gone before it had answered.
        """
        origin = "/".join(self.address.split("/")[:3])
        body = json.dumps({"position": position, "label": label}).encode()
        asked = urllib.request.Request(
            f"{self.address}label/{study}/label", body, {"Content-Type": "application/json", "Origin": origin}
        )
        with urllib.request.urlopen(asked, timeout=_PATIENCE_S) as reply:
            reply.read()


def label_all(view: View, most: int | None = None) -> list[tuple[int, str]]:
    """Label what has no label yet, until all have one, ``most`` have one, or the process is gone.

    Returns:
        Position and label of those that were acknowledged.
    """
    given: list[tuple[int, str]] = []
    try:
        study = view.studies()[0]["id"]
        while most is None or len(given) < most:
            now = view.state(study)
            if now["done"] == now["of"]:
                break
            classes = now["classes"]
            label = classes[now["position"] % len(classes)]["label"]
            view.label(study, now["position"], label)
            given.append((now["position"], label))
    except (URLError, OSError):
        view.process.wait(10)
    return given
