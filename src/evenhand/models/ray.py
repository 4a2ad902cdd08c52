"""A model replicated over the workers of a Ray cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from evenhand.errors import ModelError, one_line
from evenhand.extras import importing
from evenhand.models.base import CallError, Model, ModelOptions, make_model
from evenhand.types import Request, Response

_ATTEMPTS = 5
_CONNECT_S = 10.0


class _Worker:
    """Holds a replica; runs in a process of its own, on any machine of the cluster."""

    def __init__(self, reference: str, options: ModelOptions) -> None:
        self._model = make_model(reference, options)
        self._starting = asyncio.Lock()
        self._started = False

    async def start(self) -> tuple[str, dict[str, Any]]:
        """Load the replica; safe to call again, as happens after a restart."""
        async with self._starting:
            if not self._started:
                await self._model.start()
                self._started = True
        return self._model.revision, self._model.settings()

    async def respond(self, request: Request) -> Response | CallError | ModelError:
        """Answer; errors are returned, so that they arrive as what they are."""
        try:
            await self.start()
            return await self._model.respond(request)
        except (CallError, ModelError) as error:
            return error


class RayModel(Model):
    """Sends each request to the least busy of several replicas.

    Only this process writes the study. A call whose worker died is made again on another worker, and Ray starts the
    lost one anew; a trial has one answer however often its call was made.

    Args:
        reference: of the model that every worker holds.
        options: ``workers``, ``ray_address`` and ``gpus_per_worker``, and the model's own.
    """

    def __init__(self, reference: str, options: ModelOptions) -> None:
        self._reference = reference
        self._options = replace(options, executor="local")
        member = make_model(reference, self._options, elsewhere=True)  # never started: it only says what it is
        self.id: str = member.id
        self.default_top_k: int = member.default_top_k
        self.is_local: bool = member.is_local
        self.scores_texts: bool = member.scores_texts
        self.takes_interventions: bool = member.takes_interventions
        self.revision: str = member.revision
        self.retries: int = 0
        self._workers_wanted = options.workers
        self._each = member.concurrency
        self.concurrency: int = options.workers * member.concurrency
        self._address, self._gpus = options.ray_address, options.gpus_per_worker
        self._workers: list[Any] = []
        self._busy: list[int] = []
        self._settings: dict[str, Any] = {}

    async def start(self) -> None:
        with importing("ray", "--executor ray"):
            import ray
        if not ray.is_initialized():
            await _reachable(self._address)
            try:
                ray.init(address=self._address, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
            except Exception as error:  # a plain one where a busy machine starts it too slowly
                raise ModelError(f"Ray cannot be used: {one_line(str(error))}.", "See 'ray start'.") from None
        actor = ray.remote(_Worker).options(
            max_concurrency=self._each, max_restarts=-1, num_cpus=1, num_gpus=self._gpus,
        )  # fmt: skip
        self._workers = [actor.remote(self._reference, self._options) for _ in range(self._workers_wanted)]
        self._busy = [0] * self._workers_wanted
        try:
            told = await asyncio.gather(*(worker.start.remote() for worker in self._workers))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ModelError):
                raise error.cause from None
            raise
        self.revision, self._settings = told[0]
        if other := next((revision for revision, _ in told if revision != self.revision), None):
            raise ModelError(f"The workers hold different revisions: {self.revision} and {other}.", "Make them one.")

    async def respond(self, request: Request) -> Response:
        from ray.exceptions import RayActorError

        for _ in range(_ATTEMPTS):
            chosen = min(range(len(self._workers)), key=self._busy.__getitem__)
            self._busy[chosen] += 1
            try:
                answer = await self._workers[chosen].respond.remote(request)
            except RayActorError:
                self.retries += 1
                # A moment, so that the calls of a dead worker do not all run into it again before it is back.
                await asyncio.sleep(1)
                continue
            finally:
                self._busy[chosen] -= 1
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[no-any-return]
        raise CallError(f"the workers died {_ATTEMPTS} times with this call")

    async def aclose(self) -> None:
        if not self._workers:  # never started, perhaps because Ray is not installed
            return
        import ray

        for worker in self._workers:
            ray.kill(worker)
        self._workers = []

    def settings(self) -> dict[str, Any]:
        return {**self._settings, "executor": "ray", "workers": self._workers_wanted}


async def _reachable(address: str | None) -> None:
    """Ray itself would wait for minutes.

    Raises:
        ModelError: nothing listens at the address.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), _CONNECT_S)
    except (OSError, TimeoutError):
        raise ModelError(f"There is no Ray cluster at {address}.", "Start one with 'ray start --head'.") from None
    writer.close()
