"""Judges that are language models, over any model evenhand knows."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from evenhand.errors import one_line
from evenhand.judges.actions import ACTIONS, action_verdict
from evenhand.judges.base import JUDGES, NOTE, Judge, Preference
from evenhand.judges.rubrics import ActionRubric, PairRubric, Rubric, StrongRejectRubric
from evenhand.models import Model, ModelOptions, make_model
from evenhand.types import Decoding, Item, Message, Request, Response, Verdict

_ATTEMPTS = 2
_SHOWN_CHARS = 80
UNREADABLE = Verdict(None, "unreadable-judge", "the judge's answer could not be read, twice")


class LanguageModelJudge(Judge):
    """Asks a model, greedily; once more with another seed and some warmth when its answer cannot be read, then missing.

    Args:
        argument: the model ("openai:gpt-4o", "smollm2", "hf:NAME").
        options: how to reach or load it.
        model: an object to ask instead.
    """

    argument = "MODEL"
    reads_notes = True
    languages: frozenset[str] | None = None
    kind: str
    rubric: Rubric

    def __init__(self, argument: str, options: ModelOptions, model: Model | None = None) -> None:
        self.name: str = f"{self.kind}:{argument}"
        self.model_reference = argument
        self.version = self.rubric.version
        self._model = model or make_model(argument, options)
        self._places = asyncio.Semaphore(self._model.concurrency)
        self._asked: dict[str, asyncio.Future[Verdict]] = {}

    async def start(self) -> None:
        # Made here, because they belong to the running event loop.
        self._places, self._asked = asyncio.Semaphore(self._model.concurrency), {}
        await self._model.start()
        revision = self._model.revision
        self.version: str = f"{self.rubric.version}@{revision}" if revision else self.rubric.version

    def forget(self) -> None:
        self._asked = {}

    async def aclose(self) -> None:
        for asked in self._asked.values():  # what nobody waits for any more
            asked.cancel()
        await self._model.aclose()

    async def decide(self, item: Item, response: Response) -> Verdict:
        question = item.question or item.prompt
        return await self._once(self.rubric.prompt(question, response.text, str(item.extra.get(NOTE, ""))), self.rubric)

    async def prefer(self, item: Item, first: Response, second: Response) -> Preference:
        pair, note = PairRubric(), str(item.extra.get(NOTE, ""))
        found = await self._once(pair.pair_prompt(item.question or item.prompt, first.text, second.text, note), pair)
        labels: dict[str, Preference] = {"first": "first", "second": "second", "tie": "tie"}
        return labels.get(found.label, "missing")

    async def _once(self, prompt: str, rubric: Rubric) -> Verdict:
        """Ask; the same question is asked only once, because many identities get the same response."""
        if prompt not in self._asked:
            self._asked[prompt] = asyncio.ensure_future(self._ask(prompt, rubric))
        try:
            return await asyncio.shield(self._asked[prompt])
        except Exception:
            self._asked.pop(prompt, None)
            raise

    async def _ask(self, prompt: str, rubric: Rubric) -> Verdict:
        messages = (Message("system", rubric.system), Message("user", prompt))
        async with self._places:
            for attempt in range(_ATTEMPTS):
                decoding = Decoding(temperature=0.0 if attempt == 0 else 0.7, max_tokens=rubric.max_tokens)
                reply = await self._model.respond(Request(messages, decoding, seed=attempt))
                if (verdict := rubric.read(reply.text)) is not None:
                    return verdict
        return replace(UNREADABLE, reason=f"{UNREADABLE.reason}: '{one_line(reply.text)[:_SHOWN_CHARS]}'")


@JUDGES.register("llm-actions")
class ActionJudge(LanguageModelJudge):
    """``llm-actions:MODEL``: the six actions of Do-Not-Answer; sees the question and the response."""

    summary = "safety by a language model, with the six actions of Do-Not-Answer"
    kind = "llm-actions"
    for_axis = "safety"
    for_axis = "safety"
    rubric = ActionRubric()


@JUDGES.register("llm-strongreject")
class StrongRejectJudge(LanguageModelJudge):
    """``llm-strongreject:MODEL``: the rubric of StrongREJECT; safety is one minus its score."""

    summary = "safety by a language model, with the rubric of StrongREJECT (refused, convincing, specific)"
    kind = "llm-strongreject"
    for_axis = "safety"
    for_axis = "safety"
    rubric = StrongRejectRubric()


@JUDGES.register("llm-actions-logprobs")
class ActionLogprobJudge(LanguageModelJudge):
    """``llm-actions-logprobs:MODEL``: the six actions, from the log-probabilities of the six digits.

    One forward pass and always an answer, so that small local models can judge too.
    """

    summary = "as llm-actions, from the log-probabilities of the six digits (one token; for small models)"
    kind = "llm-actions-logprobs"
    for_axis = "safety"
    for_axis = "safety"
    rubric = ActionRubric()

    async def _ask(self, prompt: str, rubric: Rubric) -> Verdict:
        pair = isinstance(rubric, PairRubric)
        digits = ("1", "2") if pair else tuple(str(n) for n in range(len(ACTIONS)))
        body = prompt.rpartition("\n")[0]
        ask = f"{body}\nReply with the number of the {'better answer' if pair else 'action'} alone."
        messages = (Message("system", rubric.system), Message("user", ask))
        request = Request(messages, Decoding(temperature=0.0, max_tokens=1), seed=0, choices=digits)
        async with self._places:
            reply = await self._model.respond(request)
        found = [-math.inf if lp is None else lp for lp in reply.choice_logprobs or ()]
        if not found or max(found) == -math.inf:
            return UNREADABLE
        best = found.index(max(found))
        if pair:
            return rubric.verdict({"better": best + 1}) or UNREADABLE
        return action_verdict(best, f"P {math.exp(found[best]) / sum(map(math.exp, found)):.2f}")
