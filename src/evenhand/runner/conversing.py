"""Trials of several rounds: a simulated user replies to answers, and each round is kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from evenhand.errors import StoreError
from evenhand.fences import disarmed
from evenhand.judges import Judge
from evenhand.judges.base import Rounds, with_user
from evenhand.models import CallError, total
from evenhand.runner.plan import Trial, trial_seed
from evenhand.runner.writer import Writer
from evenhand.study import Store
from evenhand.study.rows import learned_from, round_row
from evenhand.types import Message, Request, Response

# Suite -> the simulated user that its answers were asked with, "" without one.
USERS_META = "users"

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Held:
    """A conversation that is over.

    Attributes:
        request: what was asked last, the whole conversation before it.
        response: the last answer, with the calls, tokens and seconds of all.
        rounds: those before it.
    """

    request: Request
    response: Response
    rounds: Rounds = ()


class Conversations:
    """Holds conversations, and goes on with those that an earlier run did not finish.

    Args:
        store: the study.
        writer: keeps the rounds.
        run: tells the id of the run.
    """

    def __init__(self, store: Store, writer: Writer, run: Callable[[], int]) -> None:
        self._store, self._writer, self._run = store, writer, run

    async def hold(self, trial: Trial, judge: Judge, request: Request, answer: Answer) -> Held:
        """One trial, from its question to the answer that ends it.

        Args:
            trial: which.
            judge: the simulated user.
            request: the question.
            answer: makes the calls of a round.

        Raises:
            CallError: a call failed for good, the assistant's or the user's; the rounds before it are kept.
        """
        kept = self._store.rounds(trial.cell, request.decoding.max_tokens)
        asked, said, answers = request, list[tuple[str, str]](), list[Response]()
        for number in range(1, judge.rounds + 1):
            known = kept[number - 1] if number <= len(kept) else None
            response = learned_from(known) if known else (await answer(asked)).per_token
            answers.append(response)
            if known is None:
                await self._keep(trial, number, judge, asked, response, None)
            if number == judge.rounds:
                break
            reply = known["reply"] if known else None
            if reply is None:
                reply = await _heard(judge, trial, asked, response, said)
                await self._keep(trial, number, judge, asked, response, reply)
            if not reply:
                break
            said.append((response.text, reply))
            asked = _continued(request, said)
        return Held(asked, total(answers[-1], *answers[:-1]), tuple(said))

    async def _keep(
        self, trial: Trial, number: int, judge: Judge, asked: Request, response: Response, reply: str | None
    ) -> None:
        self._writer.put(round=round_row(trial.cell, number, self._run(), judge.name, asked, response, reply))
        await self._writer.committed()


def hold_users(store: Store, judges: Mapping[str, Judge]) -> None:
    """Keep with which simulated users the study's answers are asked.

    Args:
        store: the study.
        judges: suite -> judge.

    Raises:
        StoreError: it has answers that were asked with another one, or without.
    """
    held: dict[str, str] = store.meta(USERS_META, {})
    begun = {*store.judges_in_use(), *(suite for suite in judges if store.has_rounds(suite))}
    now = {suite: judge.name if judge.rounds > 1 else "" for suite, judge in judges.items()}
    for suite, name in now.items():
        before = held.get(suite, "") if suite in begun else name
        if before != name:
            asked = f"with the simulated user {before}" if before else "without a simulated user"
            raise StoreError(
                f"The study {store.directory} asked {suite} {asked}, and {judges[suite].name} would ask otherwise.",
                "Answers of both must not mix: change the judge back (evenhand judge again), or choose another --out.",
            )
    if now != held:
        store.set_meta(USERS_META, {**held, **now})


async def _heard(judge: Judge, trial: Trial, asked: Request, response: Response, said: Rounds) -> str:
    """What the user says to an answer, "" where the conversation ends."""
    item = with_user(judge, trial.item, asked.messages, trial.identity.name, said)
    try:
        return await judge.reply(item, response) or ""
    except CallError as error:
        raise CallError(f"the simulated user did not answer: {error}") from None


def _continued(request: Request, said: Rounds) -> Request:
    """The question with the rounds after it. Nothing that a model wrote can end a turn of a chat template."""
    turns: list[Message] = []
    for answer, reply in said:
        turns += [Message("assistant", disarmed(answer)), Message("user", disarmed(reply))]
    seed = trial_seed(request.seed, ("round", "", "", "", len(said) + 1))
    return replace(request, messages=(*request.messages, *turns), seed=seed)
