"""What the baseline answered, for judges that compare with it."""

from __future__ import annotations

from typing import Any

from evenhand.runner.plan import NO_PERSONALIZER
from evenhand.study import Store


class BaselineAnswers:
    """The answers of a study's first baseline to one suite.

    Each answer is compared with the one to the same item in the same repeat, through the same personalizer where the
    baseline has one. The baseline's own answers are compared with each other, two and two: the noise floor.

    Args:
        store: the study; it has a baseline.
        suite: whose answers.
    """

    def __init__(self, store: Store, suite: str) -> None:
        # One that was added later stands behind it, so that no verdict depends on when it was made.
        self.name: str = store.baselines()[0]
        self._answers = store.answers_of(suite, self.name)

    def beside(self, row: dict[str, Any]) -> str | None:
        """What a response is compared with; "" where the baseline gave no answer, None while it has not been asked.

        Args:
            row: of :meth:`evenhand.study.Store.unjudged`.
        """
        repeat = row["repeat"]
        # Of an odd number of resamples the last one is compared with the one before it.
        repeats = (repeat ^ 1, repeat - 1) if row["identity"] == self.name else (repeat,)
        cells = ((row["item"], told, n) for n in repeats for told in (row["personalizer"], NO_PERSONALIZER))
        return next((self._answers[cell] for cell in cells if cell in self._answers), None)
