"""Answer for several identities, and aggregate."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from evenhand.errors import SpecError
from evenhand.identities import registered
from evenhand.mitigations.base import MITIGATIONS, Messages, Mitigation
from evenhand.mitigations.cues import find_cues, without
from evenhand.models import Model, ModelOptions, total
from evenhand.types import Message, Request, Response

_DEFAULT = 3


@MITIGATIONS.register("ensemble")
class IdentityEnsemble(Mitigation):
    """``ensemble`` or ``ensemble:N``: the user's identity, none, and N - 2 others; then one answer for all.

    Choices: the average of the log-probabilities. Texts: the answer that is most like the others (the medoid by shared
    words), a majority vote without a judge; nobody is asked any more once that cannot change. Of two texts each is as
    like the other, so that the user's own stays: a vote takes three.

    Raises:
        SpecError: N is not a number of at least 2.
    """

    name = "ensemble"
    summary = "answer for several identities and aggregate: mean log-probabilities, or the most typical text"
    argument = "[N]"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        if argument and (not argument.isdigit() or int(argument) < 2):
            raise SpecError(f"The ensemble '{argument}' is not a number of versions.", "Write ensemble:3.")
        self._size = int(argument or _DEFAULT)
        self.calls: int = self._size

    async def respond(self, model: Model, request: Request) -> Response:
        asked = [
            replace(request, messages=messages, seed=request.seed ^ n)
            for n, messages in enumerate(self._versions(request.messages))
        ]
        if request.choices:
            first, *others = await asyncio.gather(*map(model.respond, asked))
            return total(replace(first, choice_logprobs=mean_logprobs((first, *others))), *others)
        answers: list[Response] = []
        while (best := settled([a.text for a in answers], len(asked))) is None:
            more = fewest_more([a.text for a in answers], len(asked))
            answers += await asyncio.gather(*map(model.respond, asked[len(answers) :][:more]))
        return total(answers[best], *(a for n, a in enumerate(answers) if n != best))

    def _versions(self, messages: Messages) -> list[Messages]:
        cues = [(n, c) for n, m in enumerate(messages[:-1]) if m.role != "assistant" for c in find_cues(m.content)]
        if not cues:
            return [messages]
        where, cue = cues[0]
        text = messages[where].content
        plain = without(text, [cue])
        others = [f"{text[: cue.fact_start]}{name}{text[cue.fact_end :]}" for name in self._others(cue.fact, messages)]
        return [
            messages,
            *(
                tuple(Message(m.role, changed) if n == where else m for n, m in enumerate(messages))
                for changed in (plain, *others)
            ),
        ]

    def _others(self, own: str, messages: Messages) -> list[str]:
        """Identities to answer for, the same for a question whoever asks it."""
        # Not from the documented catalogues: another hundred names to draw from would be another mitigation.
        catalogues = registered(documented=False)
        names = [i.name for catalogue in catalogues for i in catalogue.identities if i.name != own]
        key = messages[-1].content
        names.sort(key=lambda name: hashlib.blake2b(f"{key}\x1f{name}".encode(), digest_size=8).digest())
        return names[: self._size - 2]


def mean_logprobs(answers: Sequence[Response]) -> tuple[float | None, ...]:
    """Mean log-probability of each choice over answers, after each answer is normalised over the choices."""
    return weighted_logprobs(answers, [1 / len(answers)] * len(answers))


def weighted_logprobs(answers: Sequence[Response], weights: Sequence[float]) -> tuple[float | None, ...]:
    """Weighted sum of normalised log-probabilities; a choice that an answer lacks is lacking in the sum.

    Args:
        answers: with log-probabilities of the same choices.
        weights: one per answer.
    """
    rows = [_normalised(answer.choice_logprobs or ()) for answer in answers]
    if any(row is None for row in rows):
        return answers[0].choice_logprobs or ()
    sums = [
        sum(w * lp for w, lp in zip(weights, column, strict=True)) for column in zip(*filter(None, rows), strict=True)
    ]
    return tuple(value if math.isfinite(value) else None for value in sums)


def _normalised(logprobs: Sequence[float | None]) -> list[float] | None:
    row = [-math.inf if lp is None else lp for lp in logprobs]
    if not row or max(row) == -math.inf:
        return None
    mass = math.log(sum(map(math.exp, row)))
    return [lp - mass for lp in row]


def medoid(texts: Sequence[str]) -> int:
    """Which text shares most words with the others; the first of equals."""
    bags = [_words(text) for text in texts]

    def likeness(a: Counter[str], b: Counter[str]) -> float:
        union = sum((a | b).values())
        return sum((a & b).values()) / union if union else 1.0

    # Rounded, so that what is equal is not told apart by the order of a sum.
    scores = [round(sum(likeness(a, b) for m, b in enumerate(bags) if m != n), 9) for n, a in enumerate(bags)]
    return max(range(len(texts)), key=lambda n: (scores[n], -n))


def settled(texts: Sequence[str], size: int) -> int | None:
    """The :func:`medoid` of ``size`` texts where the first of them decide it; None where another one may.

    One minus the likeness is a distance (that of Jaccard for bags). So where more than half of all texts have the same
    words, each of them is at most as far from the others, in sum, as any other text; with just half of them it is a tie
    at worst, which the first text wins.
    """
    if len(texts) == size:
        return medoid(texts)
    alike = _alike(texts)
    return next((ns[0] for ns in alike if 2 * len(ns) > size or (2 * len(ns) == size and ns[0] == 0)), None)


def fewest_more(texts: Sequence[str], size: int) -> int:
    """How many more texts it takes at least until :func:`settled` can know; from 1."""
    return max(1, (size + 1) // 2 - max(map(len, _alike(texts)), default=0))


def _alike(texts: Sequence[str]) -> list[list[int]]:
    """The places of texts with the same words, for each such bag, in order."""
    places: dict[frozenset[tuple[str, int]], list[int]] = {}
    for n, text in enumerate(texts):
        places.setdefault(frozenset(_words(text).items()), []).append(n)
    return list(places.values())


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))
