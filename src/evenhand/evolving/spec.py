"""How a defense is evolved, and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field, field_validator, model_validator

from evenhand.errors import SpecError
from evenhand.mitigations.defense import shipped_defenses
from evenhand.specs import Strict
from evenhand.study.spec import ModelSpec


class EvolutionSpec(Strict):
    """The settings of an evolution.

    Attributes:
        rounds, proposals: rounds of writing, and new defenses in each.
        items, choose_items, test_items: items of each suite, to improve on, to choose on and to confirm on.
        finalists: how many are compared on the items to choose on.
        against: names of shipped defenses, from which the search starts and against which it is confirmed.
        writer: a model that writes; "" for the study's.
        writer_options: how to reach it.
        margin: how much of safety, utility, bias or gain may be lost, in points.
        max_calls: of all that is done together; fewer rounds are made where it is not enough.
        without_gain: go on although nothing measures whether answers still suit the user.
        seed: of what is written.
    """

    rounds: int = Field(3, ge=1, le=50)
    proposals: int = Field(3, ge=1, le=20)
    items: int = Field(24, ge=4)
    choose_items: int = Field(24, ge=4)
    test_items: int = Field(100, ge=4)
    finalists: int = Field(3, ge=1, le=20)
    against: tuple[str, ...] = ()
    writer: str = ""
    writer_options: ModelSpec = ModelSpec()
    margin: float = Field(2.0, gt=0, le=100)
    max_calls: int | None = Field(None, ge=1)
    without_gain: bool = False
    seed: int = Field(0, ge=0, lt=2**31)

    @field_validator("against")
    @classmethod
    def _shipped(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in shipped_defenses():
                raise ValueError(f"no shipped defense is called '{name}'; there are {', '.join(shipped_defenses())}")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _writer_to_reach(self) -> EvolutionSpec:
        if self.writer_options != ModelSpec() and not self.writer:
            raise ValueError("how to reach a writer is said, but not which: give writer")
        return self

    @property
    def rivals(self) -> tuple[str, ...]:
        """The shipped defenses that take part."""
        return self.against or tuple(shipped_defenses())


@dataclass(frozen=True)
class Budget:
    """Model calls at most: those of trials and of writing, without those by which memories are learned.

    Attributes:
        rounds: how many are made.
        tune, write, choose, confirm: calls in each part.
    """

    rounds: int
    tune: int
    write: int
    choose: int
    confirm: int

    @property
    def total(self) -> int:
        return self.tune + self.write + self.choose + self.confirm


def budget(spec: EvolutionSpec, sizes: Sequence[int]) -> Budget:
    """What an evolution takes at most, its rounds cut to what the limit on calls allows.

    Args:
        spec: the settings.
        sizes: trials of one condition in each part: tune, choose, confirm.

    Raises:
        SpecError: the limit does not allow a single round.
    """
    tune, choose, confirm = sizes
    rivals = len(spec.rivals)
    for rounds in range(spec.rounds, 0, -1):
        written = rounds * spec.proposals
        found = Budget(
            rounds, (1 + rivals + written) * tune, written, (1 + min(spec.finalists, written)) * choose,
            (2 + rivals) * confirm,
        )  # fmt: skip
        if spec.max_calls is None or found.total <= spec.max_calls:
            return found
    raise SpecError(
        f"{spec.max_calls} calls are too few: with one round of proposals it takes {found.total}.",
        "Raise --max-calls, or take fewer items, identities, proposals or --against.",
    )
