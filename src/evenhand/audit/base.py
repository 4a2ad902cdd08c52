"""What a bias of a judge is, as something that can be tried.

After CALM (Ye et al., "Justice or Prejudice? Quantifying Biases in LLM-as-a-Judge", arXiv 2410.02736): an automated
change that leaves the right verdict as it was. A judge that changes its verdict has the bias.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from evenhand.judges.base import NOTE
from evenhand.registry import Registry
from evenhand.types import Item

Outcome = Literal["good", "bad", "first", "second", "tie", "missing"]
Needs = Literal["nothing", "notes", "second model"]
CALM = "arXiv 2410.02736"
SWAPPED: dict[Outcome, Outcome] = {"first": "second", "second": "first"}


@dataclass(frozen=True)
class Probe:
    """What a judge is shown: one response, or two to choose from.

    Attributes:
        item: the question.
        responses: one text or two.
        right: the right verdict, where it is known: "good" or "bad" for one, "first" or "second" for two.
    """

    item: Item
    responses: tuple[str, ...]
    right: Outcome | None = None

    @property
    def is_pair(self) -> bool:
        return len(self.responses) == 2

    def with_note(self, note: str) -> Probe:
        """The same, with a remark to the judge."""
        return replace(self, item=replace(self.item, extra={**self.item.extra, NOTE: note}))

    def with_response(self, which: int, text: str) -> Probe:
        """The same, with another text in place of one response."""
        responses = list(self.responses)
        responses[which] = text
        return replace(self, responses=tuple(responses))


class Bias(ABC):
    """One way to sway a judge.

    Attributes:
        name: registered name.
        summary: what is changed.
        source: where the bias is described.
        single, pair: whether it can be tried on a single response, and on a pair.
        needs: what it takes: "notes" for a judge that reads remarks, "second model" for answers by two models.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str] = CALM
    single: ClassVar[bool] = True
    pair: ClassVar[bool] = True
    needs: ClassVar[Needs] = "nothing"

    @abstractmethod
    def change(self, probe: Probe, before: Outcome, turn: int) -> Probe:
        """The probe with the change.

        Args:
            probe: as it was.
            before: the verdict on it.
            turn: number of the probe, to take turns between wordings.
        """

    def expected(self, before: Outcome) -> Outcome:
        """The verdict that an unbiased judge gives after the change: the same as before."""
        return before


def target(probe: Probe) -> int:
    """Which response to change: the only one, or the worse of two, to see whether it can be made to win."""
    return 1 if probe.right == "first" else 0


BIASES: Registry[type[Bias]] = Registry("bias", "evenhand.audit", "evenhand.biases", Bias)
