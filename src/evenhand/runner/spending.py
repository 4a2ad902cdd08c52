"""What a study costs: an estimate before it runs, and limits that stop it in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenhand.errors import SpecError
from evenhand.judges import JUDGES
from evenhand.loops import run_async
from evenhand.models import Model
from evenhand.runner.plan import Plan
from evenhand.study import Store
from evenhand.study.spec import BudgetSpec
from evenhand.types import Response

_CHARACTERS_PER_TOKEN = 4.0
_MILLION = 1e6


@dataclass(frozen=True)
class Estimate:
    """What the trials of one suite that have no response yet will take.

    Attributes:
        suite: which suite.
        trials: how many.
        prompt_tokens: from earlier answers of the suite, else from the prompts' length (4 characters a token).
        completion_tokens: from earlier answers, else ``max_tokens`` for each: an upper bound.
        measured: whether there were earlier answers to go by.
        cost: in the currency of the prices; None without prices.
    """

    suite: str
    trials: int
    prompt_tokens: int
    completion_tokens: int
    measured: bool
    cost: float | None


def estimate(plan: Plan, store: Store | None, known: Mapping[str, tuple[float, float]] | None = None) -> list[Estimate]:
    """Estimate what a run would take.

    Mitigations that ask more than once take more than that, unless earlier answers show it; what memories take to be
    learned comes on top.

    Args:
        plan: what would be run.
        store: the study, when it is there already.
        known: suite -> mean tokens per trial, where the study has no answers to go by.
    """
    counts: dict[str, list[int]] = {s.suite.id: [0, 0] for s in plan.suites}
    scored = {s.suite.id: s.suite.scoring == "logprobs" for s in plan.suites}
    run_async(plan.prepare())
    for trial in plan.trials(plan.answered(store) if store else None):
        count = counts[trial.cell[0]]
        count[0] += 1
        count[1] += sum(len(m.content) for m in trial.request.messages)
    known = {**(known or {}), **(store.tokens_per_trial() if store else {})}
    found = []
    for suite, (trials, characters) in counts.items():
        prompt = characters / _CHARACTERS_PER_TOKEN
        kind = JUDGES.find(plan.judges[suite])
        rounds = 1 if scored[suite] or kind is None else kind.rounds
        # What was said in earlier rounds is asked again in later ones.
        prompt = rounds * prompt + trials * plan.spec.decoding.max_tokens * (rounds * (rounds - 1) / 2)
        completion = float(trials * (1 if scored[suite] else rounds * plan.spec.decoding.max_tokens))
        if suite in known:
            prompt, completion = (trials * mean for mean in known[suite])
        cost = price(plan.spec.budget, prompt, completion)
        found.append(Estimate(suite, trials, round(prompt), round(completion), suite in known, cost))
    return found


def price(budget: BudgetSpec, prompt_tokens: float, completion_tokens: float, cached_tokens: float = 0) -> float | None:
    """What tokens cost; None without prices. ``cached_tokens`` are those of the prompts that came from a cache."""
    if budget.price_in is None or budget.price_out is None:
        return None
    saved = 0.0 if budget.price_cached is None else cached_tokens * (budget.price_in - budget.price_cached)
    return (prompt_tokens * budget.price_in + completion_tokens * budget.price_out - saved) / _MILLION


def check_countable(budget: BudgetSpec, model: Model) -> None:
    """Refuse a budget that a model would seem to keep because it tells no tokens.

    Raises:
        SpecError: it does not tell them, and the study has prices or limits.
    """
    if (budget.limited or budget.price_in is not None) and not model.counts_tokens:
        raise SpecError(
            f"{model.id} does not say how many tokens a call takes, so that neither cost nor limit would hold.",
            "Leave out prices, max_cost and max_total_tokens; an http: file can say prompt_tokens and"
            " completion_tokens for each of its calls.",
        )


class Spending:
    """Keeps a run within its limits: a call starts only if it should fit beside those in flight.

    What a call will take is expected from the mean so far; before the first answer, calls start one at a time.

    Args:
        budget: prices and limits.
        prompt_tokens, completion_tokens, cached_tokens: spent before, in earlier runs of the study; cached tokens are
            prompt tokens too.
    """

    def __init__(self, budget: BudgetSpec, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> None:
        self._budget = budget
        self._tokens = [prompt_tokens, completion_tokens, cached_tokens]
        self._new = [0, 0, 0]
        self._answered = 0
        self._in_flight = 0

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens of the whole study so far that came from a cache."""
        return self._tokens[2]

    @property
    def cost(self) -> float | None:
        """Of the whole study so far; None without prices."""
        return price(self._budget, *self._tokens)

    def allows_another(self) -> bool:
        """Whether one more call should fit; to be told by :meth:`started`."""
        if not self._budget.limited:
            return True
        expected = [n / max(self._answered, 1) * (self._in_flight + 1) for n in self._new]
        total = [spent + more for spent, more in zip(self._tokens, expected, strict=True)]
        most = self._budget.max_total_tokens
        if most is not None and sum(total[:2]) > most:
            return False
        cost = price(self._budget, *total)
        return self._budget.max_cost is None or cost is None or cost <= self._budget.max_cost

    def must_wait(self) -> bool:
        """Whether nothing is known yet of what a call takes, and one is under way to tell."""
        return self._budget.limited and self._answered == 0 and self._in_flight > 0

    def started(self) -> None:
        """A call was made."""
        self._in_flight += 1

    def ended(self, responses: Sequence[Response]) -> None:
        """It ended, with what was answered now: nothing where it failed for good, or each call of several."""
        self._in_flight -= 1
        self._answered += bool(responses)
        for response in responses:
            counts = (response.prompt_tokens, response.completion_tokens, response.cached_tokens)
            for place, count in enumerate(counts):
                self._new[place] += count or 0
                self._tokens[place] += count or 0
