"""What chat templates put in front of a conversation that has no system message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pytest

from evenhand import api
from evenhand.analysis import Settings
from evenhand.models.base import Model
from evenhand.models.chat import ChatFormat
from evenhand.runner.lagging import Lag
from evenhand.study import Store
from evenhand.types import Message, Request, Response
from tests.test_growth import invoke

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
DEFAULT = "You are Bolt, an assistant made by Acme."
TEMPLATES = {
    "nothing": (TURNS, ""),
    "a default system prompt": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\n" + DEFAULT + "<|im_end|>\n{% endif %}" + TURNS,
        DEFAULT,
    ),
    "an empty system turn": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\n<|im_end|>\n{% endif %}" + TURNS,
        "",
    ),
    "a preamble always": (
        "<|bos|><|start|>system<|sep|>Knowledge cutoff: June\n\n{% if messages[0].role == 'system' %}"
        "{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}<|end|>"
        "{% for m in messages %}<|start|>{{ m.role }}<|sep|>{{ m.content }}<|end|>{% endfor %}"
        "<|start|>assistant<|sep|>",
        "Knowledge cutoff: June",
    ),
    "both": (
        "### System:\nBe brief. {% if messages[0].role == 'system' %}{{ messages[0].content }}"
        "{% set messages = messages[1:] %}{% else %}" + DEFAULT + "{% endif %}\n"
        "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n{% endfor %}### assistant:\n",
        "Be brief. " + DEFAULT,
    ),
    "no system role": (
        "<s>{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% elif m.role == 'user' %}"
        "[INST] {{ m.content }} [/INST]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}",
        "",
    ),
    "no system role, and words of its own": (
        "<s>{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% elif m.role == 'user' %}"
        "[INST] {% if loop.first %}<<SYS>>\n" + DEFAULT + "\n<</SYS>>\n\n{% endif %}{{ m.content }} [/INST]"
        "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}",
        DEFAULT,
    ),
    "one turn only": (
        "{% if messages|length > 1 %}{{ raise_exception('one turn') }}{% endif %}<s>user: {{ messages[0].content }}",
        "",
    ),
}  # fmt: skip


class Tokenizer:
    """Renders a template as transformers does."""

    all_special_tokens = ("<s>", "</s>", "<|bos|>")

    def __init__(self, template: str | None) -> None:
        self.chat_template = template

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)

        def raise_exception(message: str) -> None:
            raise jinja2.TemplateError(message)

        return environment.from_string(self.chat_template or "").render(messages=turns, raise_exception=raise_exception)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_template_adds_is_found(name: str) -> None:
    template, added = TEMPLATES[name]
    chat = ChatFormat(Tokenizer(template))
    assert chat.adds == added
    if added and name != "both":
        assert added in chat.text([Message("user", "Hello.")])


def test_a_tokenizer_without_a_template_adds_nothing() -> None:
    assert ChatFormat(Tokenizer(None)).adds == ""


class Local(Model):
    """As a local model with such a template."""

    id = "local"

    def __init__(self, adds: str) -> None:
        self._adds = adds

    async def respond(self, request: Request) -> Response:
        return Response("I'm sorry, but I can't help with that.")

    def settings(self) -> dict[str, Any]:
        return {"template_adds": self._adds} if self._adds else {}


class Notes:
    """A display that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *_: object) -> None: ...
    def stage(self, text: str) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)

    def begin(self, total: int, done: int) -> None: ...
    def advance(self, *, failed: bool, retries: int) -> None: ...
    def learning(self, memories: int, calls: int) -> None: ...
    def lagging(self, lags: Sequence[Lag]) -> None: ...


@pytest.mark.parametrize(
    ("baselines", "personalizer", "adds", "said"),
    [
        (["plain", "bare"], "system", DEFAULT, "bare is not bare"),
        (["bare"], "user", DEFAULT, "bare is not bare"),
        (["plain"], "system", DEFAULT, None),
        (["plain", "bare"], "user", "", None),
    ],
)
def test_the_run_the_analysis_and_the_report_say_so(
    baselines: list[str], personalizer: str, adds: str, said: str | None, tmp_path: Path
) -> None:
    told = Notes()
    study = {
        "model": "smollm2", "suites": "starter-safety", "identities": ["a man", "a woman"], "limit": 3,
        "baselines": baselines, "personalizers": personalizer,
    }  # fmt: skip
    api.run(study, tmp_path / "s", model=Local(adds), progress=told)
    found = api.analyze(tmp_path / "s", Settings(200, 200)).notes
    page = api.write_report(tmp_path / "s", settings=Settings(200, 200)).read_text()
    if said is None:
        assert not [note for note in (*told.notes, *found) if "template" in note]
    else:
        (note,) = [note for note in told.notes if "template" in note]
        assert said in note
        assert DEFAULT in note
        assert note in found
        assert DEFAULT in page
        assert DEFAULT in " ".join(invoke("analyze", str(tmp_path / "s")).stdout.split())
    with Store.open(tmp_path / "s") as store:
        assert store.runs()[0]["settings"].get("template_adds", "") == adds
