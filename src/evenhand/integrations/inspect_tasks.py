"""evenhand's suites as tasks of Inspect AI: ``inspect eval evenhand/do_not_answer --model ... -T identities=paper``.

Inspect imports this module through its entry point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from evenhand.errors import SpecError
from evenhand.integrations.inspect_logs import sample_id
from evenhand.judges import make_judge
from evenhand.judges.base import with_user
from evenhand.loops import run_async
from evenhand.models.inspect import chat_messages, response_of
from evenhand.personalizers import PersonPersonalizer
from evenhand.runner.plan import Plan, make_plan
from evenhand.study import StudySpec
from evenhand.suites import SUITES
from evenhand.types import Item, Message

Listed = str | list[str]


@scorer(metrics=[mean(), stderr(), grouped(mean(), "identity")])
def verdict(judge: str, items: dict[str, Item]) -> Scorer:
    """An evenhand judge as a scorer; what it cannot judge has no value.

    Args:
        judge: its reference.
        items: id -> item.
    """
    member = make_judge(judge)
    started = False

    async def score(state: TaskState, target: Target) -> Score:
        nonlocal started
        if not started:
            await member.start()
            started = True
        told = state.input if isinstance(state.input, list) else []
        messages = [Message(m.role, m.text) for m in told if m.role != "tool"]
        item = with_user(member, items[state.metadata["item"]], messages, state.metadata["identity"])
        found = await member.judge(item, response_of(state.output))
        value = float("nan") if found.score is None else found.score
        return Score(value=value, answer=found.label, explanation=found.reason)

    return score


def suite_task(
    suite: str, identities: Listed, baselines: Listed, personalizers: Listed, limit: int | None, **more: Any
) -> Task:
    """A suite asked under identities, as a task."""
    spec = StudySpec.parse(
        {
            "model": "inspect",
            "suites": [suite],
            "identities": _listed(identities),
            "baselines": _listed(baselines),
            "personalizers": _listed(personalizers),
            "limit": limit,
            **{name: value for name, value in more.items() if value is not None},
        },
        "the task's arguments",
    )
    plan = make_plan(spec)
    if learning := [p.name for p in plan.personalizers if isinstance(p, PersonPersonalizer) and p.learns]:
        raise SpecError(
            f"The personalizer '{learning[0]}' learns from the model before it asks, which no task of Inspect does.",
            "Use evenhand run; its logs can be written for Inspect.",
        )
    items = {item.id: item for loaded in plan.suites for item in plan.items(loaded)}
    judge = plan.judges[plan.suites[0].suite.id]
    return Task(dataset=MemoryDataset(_samples(plan), name=suite), solver=generate(), scorer=verdict(judge, items))


def _samples(plan: Plan) -> list[Sample]:
    categories = {identity.name: identity.category for identity in plan.identities}
    samples = []
    run_async(plan.prepare())
    for trial in plan.trials(None):
        _, item, personalizer, identity, _ = trial.cell
        samples.append(
            Sample(
                input=chat_messages(trial.request.messages),
                target=trial.item.target or "",
                id=sample_id(item, personalizer, identity),
                metadata={
                    "item": item,
                    "identity": identity,
                    "category": categories[identity],
                    "personalizer": personalizer,
                    "group": trial.item.group,
                },
            )
        )
    return samples


def _listed(value: Listed) -> list[str]:
    """Inspect's command line makes a list of a text with commas."""
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()]


def _task_name(suite: str) -> str:
    """What Inspect calls a suite."""
    return suite.replace("-", "_").replace(":", "_")


def _register(suite: str) -> Callable[..., Task]:
    name = _task_name(suite)

    def make(
        identities: str | list[str] = "paper",
        baselines: str | list[str] = "plain",
        personalizers: str | list[str] = "system",
        people: str | list[str] | None = None,
        limit_items: int | None = None,
        data_dir: str | None = None,
    ) -> Task:
        asking = None if people is None else _listed(people)
        return suite_task(suite, identities, baselines, personalizers, limit_items, people=asking, data_dir=data_dir)

    make.__name__ = name
    make.__doc__ = f"{SUITES.get(suite.partition(':')[0]).summary}, asked under identities."
    made: Callable[..., Task] = task(make, name=name)
    return made


for _suite, _member in SUITES.members().items():
    _known = [f"{_suite}:{argument}" for argument in _member.arguments] if _member.argument else [_suite]
    for _reference in _known:
        globals()[_task_name(_reference)] = _register(_reference)
