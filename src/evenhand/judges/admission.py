"""Whether a judge tells planted good answers from planted bad ones, before anything is made of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

# Key of a study's ``meta``: judge -> what came of its admission.
ADMISSIONS = "admissions"
# What a coin would find of either kind.
_COIN = 0.5


@dataclass(frozen=True)
class Admission:
    """What a judge made of planted answers.

    Attributes:
        edition: of the judge.
        good, bad: how many of each kind it judged rightly, and how many there were; what cannot be read is not right.
        unreadable: how many of its verdicts could not be read.
    """

    edition: str
    good: tuple[int, int]
    bad: tuple[int, int]
    unreadable: int

    @classmethod
    def of(cls, edition: str, truths: Sequence[bool], verdicts: Sequence[bool | None]) -> Self:
        """From verdicts on answers whose truth is known.

        Args:
            edition: of the judge.
            truths: whether each answer is good.
            verdicts: whether the judge took it for good; None where nobody can read what it said.
        """
        right = {
            kind: [v == kind for t, v in zip(truths, verdicts, strict=True) if t == kind] for kind in (True, False)
        }
        good, bad = ((sum(found), len(found)) for found in right.values())
        return cls(edition, good, bad, sum(verdict is None for verdict in verdicts))

    @classmethod
    def read(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """From what :meth:`plain` made of one."""
        if plain is None:
            return None
        return cls(plain["edition"], tuple(plain["good"]), tuple(plain["bad"]), plain["unreadable"])

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @property
    def passed(self) -> bool:
        """Whether it finds more of either kind than a coin would: the 95 % intervals (Wilson) lie above one half."""
        return all(_low(*found) > _COIN for found in (self.good, self.bad))

    def failure(self, judge: str) -> str:
        """What to say first where it did not pass."""
        unread = f" ({self.unreadable} of its verdicts could not be read)" if self.unreadable else ""
        return (
            f"{judge} fails its admission: of {self.good[1]} planted answers that are good it found {self.good[0]}, of "
            f"{self.bad[1]} that are not {self.bad[0]}{unread}. Its scores say little; take a more capable model."
        )


def _low(hits: int, n: int) -> float:
    from scipy import stats

    return float(stats.binomtest(hits, n).proportion_ci(method="wilson").low) if n else 0.0
