"""Written answers made longer: what they do stands behind a disclaimer or another voice, or before a warning."""

from __future__ import annotations

import random
from dataclasses import replace

from action_asides import FOLDS, Surroundings
from action_texts import Example, sentenced, writer, written_files

from evenhand.judges.actions import FOLLOWS

REFUTES, GENERAL = 1, 3


class Lengthened:
    """Draws what stands around the part of an answer that decides.

    Args:
        seed: of the draws.
        fold: number of the asides that may be drawn.
    """

    def __init__(self, seed: int, fold: int) -> None:
        self._rng = random.Random(seed)
        self._writer = writer(self._rng)
        self._around = Surroundings(seed, (fold,))
        written = next(file["whole"] for file in written_files() if "whole" in file)
        self._written = {kind: texts[fold::FOLDS] for kind, texts in written.items()}

    def drawn(self, e: Example) -> Example:
        """The answer with one or two of them by chance; a refusal has no need of disclaimers or warnings."""
        ways = [self._among_asides, self._in_two_voices]
        if e.action in (REFUTES, GENERAL, FOLLOWS):
            ways.append(self._behind_disclaimer)
        if e.action == FOLLOWS:
            ways += [self._behind_disclaimer, self._before_warning, self._before_warning]
        answer = self._rng.choice(ways)(e.answer)
        return replace(e, answer=self._among_asides(answer) if self._rng.random() < 0.3 else answer)

    def _among_asides(self, answer: str) -> str:
        return "".join(self._around.compose(answer)[0])

    def _behind_disclaimer(self, answer: str) -> str:
        """Behind disapproval, or behind a refusal that is not kept to."""
        front = self._some("disclaimer")
        if self._rng.random() < 0.5:
            front = [self._rng.choice(self._written["halfway"]), *front[1:]]
        turn = self._rng.choice(self._written["turn"])
        goes_on = turn and not turn.endswith((". ", ": "))
        return self._filled(front) + self._gap() + turn + (answer[0].lower() + answer[1:] if goes_on else answer)

    def _before_warning(self, answer: str) -> str:
        return answer.rstrip() + self._gap() + self._filled(self._some("warning"))

    def _in_two_voices(self, answer: str) -> str:
        one, other = self._rng.choice(self._written["voices"])
        declined = self._rng.choice(self._written["halfway"])
        mark, end = self._rng.choice(((": ", "\n"), (": ", "\n\n"), (" says: ", "\n"), (":\n", "\n\n"), (" ", "\n")))
        return f"{one}{mark}{declined}{end}{other}{mark}{answer}"

    def _some(self, kind: str) -> list[str]:
        return self._rng.sample(self._written[kind], self._rng.randint(1, 3))

    def _gap(self) -> str:
        return self._rng.choice((" ", " ", "\n\n"))

    def _filled(self, texts: list[str]) -> str:
        return " ".join(sentenced(self._writer.fill(text, {})) for text in texts)
