"""Prompt defenses: a text that is added to the conversation (the paper's family, arXiv 2406.11107)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from evenhand.errors import DataError, SpecError, did_you_mean
from evenhand.mitigations.base import MITIGATIONS, Messages, Mitigation, add_to_system
from evenhand.models import ModelOptions
from evenhand.types import Message

Placement = Literal["before", "after", "question"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
_FOLDER = Path(__file__).parent / "defenses"


@dataclass(frozen=True)
class Defense:
    """A text and the reason why it may help.

    Attributes:
        text: what is added.
        placement: at the start of the system message (before the identity), at its end, or behind the question.
        rationale: why it may help.
    """

    text: str
    placement: Placement
    rationale: str


@cache
def shipped_defenses() -> dict[str, Defense]:
    """Name -> defense, one file each."""
    return {path.stem: read_defense(path) for path in sorted(_FOLDER.glob("*.toml"))}


def read_defense(path: Path) -> Defense:
    """A defense from a TOML file with ``text``, and perhaps ``placement`` and ``rationale``; or from a plain text file.

    Raises:
        DataError: the file is missing or malformed.
    """
    try:
        content = path.read_text(encoding="utf-8")
        if path.suffix != ".toml":
            return Defense(content.strip(), "after", "")
        table = tomllib.loads(content)
        text, placement = str(table["text"]), table.get("placement", "after")
    except FileNotFoundError:
        raise DataError(f"There is no defense file {path}.") from None
    except KeyError:
        raise DataError(f"{path} has no 'text'.", 'Add text = "...".') from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} is not a readable defense: {error}.") from None
    if placement not in PLACEMENTS:
        raise DataError(f"{path}: placement '{placement}' is not {', '.join(PLACEMENTS)}.")
    return Defense(text, placement, str(table.get("rationale", "")))


@MITIGATIONS.register("defense")
class PromptDefense(Mitigation):
    """``defense:NAME``, ``defense:FILE`` or ``defense:some text``; ``@before``, ``@after`` or ``@question`` places it.

    Raises:
        SpecError: unknown name or placement.
        DataError: the file cannot be read.
    """

    name = "defense"
    summary = "an instruction in the prompt: a shipped one, one from a file, or a text"
    argument = "NAME_FILE_OR_TEXT"
    any_language = True

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        reference, sign, placement = argument.rpartition("@")
        if not sign or placement not in PLACEMENTS:
            reference, placement = argument, ""
        found = _find(reference)
        self.text, self.placement = found.text, placement or found.placement

    def rewrite(self, messages: Messages) -> Messages:
        if self.placement == "question":
            return (*messages[:-1], Message(messages[-1].role, f"{messages[-1].content}\n\n{self.text}"))
        return add_to_system(messages, self.text, before=self.placement == "before")


def _find(reference: str) -> Defense:
    known = shipped_defenses()
    if reference in known:
        return known[reference]
    if Path(reference).suffix in (".toml", ".txt"):
        return read_defense(Path(reference))
    if " " in reference:
        return Defense(reference, "after", "given as text")
    raise SpecError(f"There is no defense '{reference}'.", did_you_mean(reference, known))
