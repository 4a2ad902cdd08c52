"""What a judge is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from evenhand.registry import Registry
from evenhand.types import Item, Response, Verdict


class Judge(ABC):
    """Turns a response into a verdict.

    Attributes:
        name: registered name.
        version: changes whenever the same response could get another verdict.
        summary: one line for ``evenhand list judges``.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    async def judge(self, item: Item, response: Response) -> Verdict:
        """The verdict on one response; a response nobody can judge has the score None."""

    async def aclose(self) -> None:
        """Release what the judge holds."""
        return


JUDGES: Registry[type[Judge]] = Registry("judge", "evenhand.judges", "evenhand.judges")

EMPTY = Verdict(None, "empty", "the response is empty")


def make_judge(name: str) -> Judge:
    """A judge from its registered name.

    Raises:
        SpecError: unknown name.
    """
    return JUDGES.get(name)()
