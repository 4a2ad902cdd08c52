"""Judges one published model's answers to household tasks as the authors do and as evenhand does; prints markdown.

python benchmarks/embodied.py --data-dir DATA [--reference reference.json] [--planner]

DATA holds eai/, with the answers of GPT-4o in eai/fixtures. The reference is of benchmarks/embodied_reference.py; the
planner needs the extra `planner`.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np

from evenhand.embodied.counts import Counts, summed
from evenhand.embodied.goal_items import right_answer, wanted_of
from evenhand.embodied.goals import (
    ACTION,
    AUTHORS,
    KINDS,
    OURS,
    RELATION,
    STATE,
    Convention,
    Outcome,
    read_virtualhome,
    score_virtualhome,
    total,
)
from evenhand.embodied.needs import AFFORDANCE, MISSING, ORDER
from evenhand.embodied.plan_items import NAMES, SCENE, goals_of
from evenhand.embodied.plan_items import right_answer as right_plan
from evenhand.embodied.plans import ARGUMENTS, HALLUCINATION, PARSING, Goals, judge_plan, program
from evenhand.embodied.plans import AUTHORS as PLANS_AS_AUTHORS
from evenhand.embodied.plans import OURS as PLANS_AS_WE_DO
from evenhand.embodied.plans import Convention as PlanConvention
from evenhand.embodied.plans import Outcome as PlanOutcome
from evenhand.embodied.published import published_counts
from evenhand.embodied.scenes import scene_of
from evenhand.embodied.subgoal_items import right_answer as right_subgoals
from evenhand.embodied.subgoal_plans import Aim, judge_subgoals
from evenhand.embodied.subgoals import AUTHORS as SUBGOALS_AS_AUTHORS
from evenhand.embodied.subgoals import OURS as SUBGOALS_AS_WE_DO
from evenhand.embodied.subgoals import Convention as SubgoalConvention
from evenhand.embodied.subgoals import read_subgoals
from evenhand.embodied.temporal import formula_in
from evenhand.embodied.transition_items import right_model, task_of
from evenhand.embodied.transitions import compare, read_model, replay_model
from evenhand.judges import make_judge
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Item, Response

PerTask = Mapping[str, Mapping[str, Counts]]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data: Path
    reference: Mapping[str, Mapping[str, Mapping[str, Any]]]
    planner: bool

    def answers(self, ability: str) -> dict[str, str]:
        """Task -> the published model's answer."""
        (file,) = (self.data / "eai" / "fixtures").glob(f"*_{ability}.json.gz")
        with gzip.open(file, "rt") as packed:
            return {answer["identifier"]: answer["llm_output"] for answer in json.load(packed)}

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The rows of VirtualHome's tasks, by their ids."""
        with gzip.open(self.data / "eai" / "virtualhome_tasks.jsonl.gz", "rt") as packed:
            return {row["id"]: row for row in map(json.loads, packed)}

    def items(self, reference: str) -> dict[str, Item]:
        """The items of a suite, by their ids."""
        return {item.id: item for item in load_suite(make_suites([reference])[0], DataSource(self.data)).items}


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def head(*cells: str) -> list[str]:
    return [row(*cells), f"|{'---|' * len(cells)}"]


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def agreement(ours: PerTask, theirs: Mapping[str, Mapping[str, list[int]]]) -> list[str]:
    """How many tasks have the very same counts, and which have not."""
    apart = []
    for task, counted in ours.items():
        read = {name: [c.right, c.extra, c.missing] for name, c in counted.items() if c != Counts()}
        if read != {name: counts for name, counts in theirs.get(task, {}).items() if any(counts)}:
            apart.append(task)
    total_of = summed({n: Counts(*c) for n, c in task.items()} for task in theirs.values())
    f1 = sum(total_of.values(), Counts()).f1
    named = f" (not: {', '.join(apart)})" if apart else ""
    same = f"the same counts on {len(ours) - len(apart)} of {len(ours)} tasks{named}"
    return [f"The authors' evaluator: F1 {percent(f1)}; {same}."]


ERRORS = {
    "": "", "parsing error": PARSING, "hallucination error": HALLUCINATION, "parameter error": ARGUMENTS,
    "wrong_temporal_order": ORDER, "missing_step": MISSING, "affordance_error": AFFORDANCE,
}  # fmt: skip


def verdict_agreement(ours: Mapping[str, PlanOutcome], theirs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How many tasks have the same verdict: success, error class, and goals met of each kind."""
    told = []
    for what, of_ours, of_theirs in (
        ("success", lambda o: o.reached, lambda v: v["success"]),
        ("error class", lambda o: o.error, lambda v: ERRORS[v["error"]]),
        ("goals met", lambda o: [o.met[kind][0] for kind in (STATE, RELATION, ACTION)], lambda v: v["met"]),
    ):
        apart = [task for task, verdict in theirs.items() if of_ours(ours[task]) != of_theirs(verdict)]
        named = f" (not: {', '.join(apart)})" if apart else ""
        told.append(f"{what} on {len(theirs) - len(apart)} of {len(theirs)} tasks{named}")
    success = percent(np.mean([verdict["success"] for verdict in theirs.values()]))
    executable = percent(np.mean([not verdict["error"] for verdict in theirs.values()]))
    lead = f"The authors' evaluator: task success {success}, executable {executable}. The same "
    return [f"{lead}{'; '.join(told)}."]


def worth(scores: Sequence[float], names: Sequence[str]) -> str:
    """For how many independent tasks those count that share names (Kish), by the scores' variance between names."""
    values, (_, place) = np.array(scores), np.unique(np.array(names), return_inverse=True)
    sizes = np.bincount(place)
    means = np.bincount(place, values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (len(sizes) - 1)
    within = float(((values - means[place]) ** 2).sum()) / (len(values) - len(sizes))
    usual = (len(values) - (sizes**2).sum() / len(values)) / (len(sizes) - 1)
    alike = max(0.0, (between - within) / (between + (usual - 1) * within))
    effective = len(values) / (1 + ((sizes**2).sum() / len(values) - 1) * alike)
    told = f"{len(values)} tasks have {len(sizes)} names; intraclass correlation of scores by name {alike:.2f}"
    return f"{told}: worth {effective:.0f} independent tasks."


def right_answers(options: Options, reference: str, answer: Callable[[Item], str]) -> str:
    """Scores of the right answers to all items, and how long judging took."""
    items = options.items(reference)
    judge = make_judge(make_suites([reference])[0].judge)

    async def scores() -> list[float | None]:
        return [(await judge.judge(item, Response(answer(item)))).score for item in items.values()]

    started = time.perf_counter()
    found = asyncio.run(scores())
    full = sum(score == 1 for score in found)
    return f"Right answers to {len(items)} tasks: {full} score 100 ({time.perf_counter() - started:.1f} s)."


def goal_interpretation(options: Options) -> list[str]:
    """What each difference between the two conventions does."""
    rows = options.tasks()
    said = {task: read_virtualhome(text) for task, text in options.answers("goal_interpretation").items()}

    def judged(convention: Convention, *, by_id: bool) -> dict[str, Outcome]:
        return {
            task: score_virtualhome(read, wanted_of(rows[task], by_id=by_id), convention) for task, read in said.items()
        }

    once = replace(AUTHORS, once=True)
    ways = {
        "as the authors": judged(AUTHORS, by_id=True),
        "a wanted action is found once": judged(once, by_id=True),
        "goals for a name are goals for all its objects": judged(once, by_id=False),
        "unreadable answers miss all goals": judged(replace(once, unreadable=True), by_id=False),
        "goals about objects that are not there are extra: **evenhand**": judged(OURS, by_id=False),
    }
    lines = head("each line also counts as the lines above", "P", "R", "F1", *(f"F1 {kind}" for kind in KINDS))
    for name, outcomes in ways.items():
        kinds = summed({kind: found.counts for kind, found in outcome.items()} for outcome in outcomes.values())
        counts = sum(kinds.values(), Counts())
        values = (counts.precision, counts.recall, counts.f1, *(kinds[kind].f1 for kind in KINDS))
        lines.append(row(name, *map(percent, values)))
    ours = ways[[*ways][-1]]
    lines += [
        "",
        f"Mean of item F1 (the suite's score): {percent(sum(total(o).f1 for o in ours.values()) / len(ours))}.",
        "",
    ]
    lines += [worth([total(o).f1 for o in ours.values()], [rows[task]["task"] for task in ours]), ""]
    lines += head("errors, evenhand", "missing, nothing else said", "wrong", "extra")
    for kind in KINDS:
        founds = [outcome[kind] for outcome in ours.values()]
        wrong = sum(found.wrong for found in founds)
        counts = sum((found.counts for found in founds), Counts())
        lines.append(row(kind, counts.missing - wrong, wrong, counts.extra - wrong))
    if theirs := options.reference.get("goal_interpretation"):
        counted = {task: {k: f.counts for k, f in outcome.items()} for task, outcome in ways["as the authors"].items()}
        lines += ["", *agreement(counted, theirs)]
    return [*lines, "", right_answers(options, "embodied:goal-interpretation", right_answer)]


def action_sequencing(options: Options) -> list[str]:
    """Task success and executable plans, as both count; the authors' own changes with the order of their goals."""
    items, answers = options.items("embodied:action-sequencing"), options.answers("action_sequencing_with_ids")
    rows = options.tasks()
    official = [task for task, row in rows.items() if row["in_official"]["action_sequencing"]]

    def outcome(task: str, goals: Goals, convention: PlanConvention) -> PlanOutcome:
        extra, gold = items[task].extra, program(rows[task]["gold_program"])
        return judge_plan(answers[task], scene_of(extra[SCENE]), extra[NAMES], goals, convention, gold)

    def shares(tasks: Sequence[str], convention: PlanConvention) -> tuple[str, str]:
        found = [outcome(task, goals_of(rows[task]), convention) for task in tasks]
        return percent(np.mean([o.reached for o in found])), percent(np.mean([not o.error for o in found]))

    def in_orders(task: str) -> list[bool]:
        goals = goals_of(rows[task])
        orders = permutations(goals.actions)
        return [outcome(task, replace(goals, actions=order), PLANS_AS_AUTHORS).reached for order in orders]

    by_order = [in_orders(task) for task in official]
    lowest, mean, highest = (percent(np.mean([how(r) for r in by_order])) for how in (all, np.mean, any))
    lines = [
        *head("tasks", "counted as", "task success", "executable"),
        row(len(official), "the authors", *shares(official, PLANS_AS_AUTHORS)),
        row(len(official), "evenhand", *shares(official, PLANS_AS_WE_DO)),
        row(len(items), "evenhand", *shares([*items], PLANS_AS_WE_DO)),
        "",
        "The authors put the actions that are asked for in the order of a set, which changes from run to run: task "
        f"success is between {lowest} and {highest} with it, {mean} on average over orders.",
    ]
    if theirs := options.reference.get("action_sequencing_with_ids"):
        ours = {task: outcome(task, goals_of(rows[task]), PLANS_AS_AUTHORS) for task in official}
        lines += ["", *verdict_agreement(ours, theirs)]
    return [*lines, "", right_answers(options, "embodied:action-sequencing", right_plan)]


SUBGOALS = "embodied:subgoal-decomposition"


def subgoal_decomposition(options: Options) -> list[str]:
    """What each difference between the two conventions does."""
    items, rows = options.items(SUBGOALS), options.tasks()
    said = {
        task.removeprefix("scene_1_"): read_subgoals(text)
        for task, text in options.answers("subgoal_decomposition").items()
    }

    def outcome(task: str, lines: Sequence[str] | None, convention: SubgoalConvention) -> PlanOutcome:
        extra = items[task].extra
        aim = Aim(goals_of(rows[task]), formula_in(rows[task]["ltl"], quantified=True))
        return judge_subgoals(lines, scene_of(extra[SCENE]), extra[NAMES], aim, convention)

    def judged(convention: SubgoalConvention) -> dict[str, PlanOutcome]:
        return {task: outcome(task, lines, convention) for task, lines in said.items()}

    def in_choices(task: str) -> list[bool]:
        choices = product(*(line.split(" or ") for line in said[task] or ()))
        return [outcome(task, lines, SUBGOALS_AS_AUTHORS).reached for lines in choices]

    parts = replace(SUBGOALS_AS_AUTHORS, any_way=True)
    ways = {
        "as the authors, of an *or* the first part": judged(SUBGOALS_AS_AUTHORS),
        "of an *or* the best part, and no part may name what there is not: theirs looks at one": judged(parts),
        "who sits stands up to go somewhere: no subgoal can say so": judged(replace(parts, rises=True)),
        "wanted states hold in the end, lines and predicates are those of the prompt: **evenhand**": judged(
            SUBGOALS_AS_WE_DO
        ),
    }
    kinds = (STATE, RELATION, ACTION)
    lines = head(
        "each line also counts as the lines above", "task success", "executable", *(f"{k} goals" for k in kinds)
    )
    for name, outcomes in ways.items():
        found = [*outcomes.values()]
        shares = [np.mean([o.reached for o in found]), np.mean([not o.error for o in found])]
        shares += [sum(o.met[kind][0] for o in found) / sum(o.met[kind][1] for o in found) for kind in kinds]
        lines.append(row(name, *map(percent, shares)))
    by_choice = [in_choices(task) for task in said]
    lowest, mean, highest = (percent(np.mean([how(r) for r in by_choice])) for how in (all, np.mean, any))
    spread = percent(np.sqrt(sum(np.var(reached) for reached in by_choice)) / len(by_choice))
    errors = Counter(o.error or ("" if o.reached else "goal missed") for o in ways[[*ways][-1]].values())
    lines += [
        "",
        f"By which part of each *or* the authors' program takes, task success is between {lowest} and {highest}, "
        f"{mean} on average (standard deviation {spread}).",
        f"Errors, evenhand: {', '.join(f'{name} {count}' for name, count in errors.most_common() if name)}.",
        worth([o.reached for o in ways[[*ways][-1]].values()], [rows[task]["task"] for task in said]),
    ]
    if theirs := options.reference.get("subgoal_decomposition"):
        lines += ["", *verdict_agreement(next(iter(ways.values())), theirs)]
    return [*lines, "", right_answers(options, SUBGOALS, right_subgoals)]


def transition_modeling(options: Options) -> list[str]:
    """Literals by category under both conventions, the replay, and the planner."""
    items, answers = options.items("embodied:transition-modeling"), options.answers("transition_modeling")
    published: dict[str, dict[str, Counts]] = {}
    ours: dict[str, dict[str, Counts]] = {}
    replayed = 0
    for name, text in answers.items():
        task, model = task_of(items[name]), read_model(text)
        published[name] = published_counts(model, task.asked, task.gold, task.categories)
        ours[name] = compare(model, task.asked, task.gold, task.categories).categories
        replayed += replay_model(model, task.asked, task.gold, task.problem, task.plan or ()).reached
    both = (summed(published.values()), summed(ours.values()))
    lines = head("category of predicates", "F1 as the authors", "P", "R", "F1 evenhand")
    for category in sorted({*both[0], *both[1]}):
        theirs, counts = (side.get(category, Counts()) for side in both)
        lines.append(row(category, *map(percent, (theirs.f1, counts.precision, counts.recall, counts.f1))))
    theirs, counts = (sum(side.values(), Counts()) for side in both)
    lines.append(row("all", *map(percent, (theirs.f1, counts.precision, counts.recall, counts.f1))))
    mean = sum(sum(task.values(), Counts()).f1 for task in ours.values()) / len(ours)
    lines += [
        "",
        f"Mean of item F1 (the suite's score): {percent(mean)}.",
        f"Right plans replay: {percent(replayed / len(answers))} %.",
    ]
    f1s = [sum(task.values(), Counts()).f1 for task in ours.values()]
    lines.append(worth(f1s, [items[name].group for name in ours]))
    if options.planner:
        lines.append(asyncio.run(_planned(items, answers)))
    if reference := options.reference.get("transition_modeling"):
        lines += agreement(published, reference)
    return [*lines, "", right_answers(options, "embodied:transition-modeling", right_model)]


async def _planned(items: Mapping[str, Item], answers: Mapping[str, str]) -> str:
    judge = make_judge("embodied-planner")
    await judge.start()
    found = await asyncio.gather(*(judge.judge(items[name], Response(text)) for name, text in answers.items()))
    labels = [verdict.label for verdict in found]
    valid, invalid = labels.count("valid plan"), labels.count("invalid plan")
    success, right = percent((valid + invalid) / len(labels)), percent(valid / len(labels))
    return (
        f"Planner success, as the authors: {success} %; plans that are right under the domain's operators: {right} %."
    )


SECTIONS: dict[str, Callable[[Options], Sequence[str]]] = {
    "goal-interpretation": goal_interpretation,
    "action-sequencing": action_sequencing,
    "subgoal-decomposition": subgoal_decomposition,
    "transition-modeling": transition_modeling,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--planner", action="store_true")
    parser.add_argument("--ability", choices=SECTIONS, help="all by default")
    arguments = parser.parse_args()
    reference: dict[str, Any] = json.loads(arguments.reference.read_text()) if arguments.reference else {}
    options = Options(arguments.data_dir, reference, arguments.planner)
    for name, section in SECTIONS.items():
        if arguments.ability in (None, name):
            print(f"\n### {name}\n")
            print("\n".join(section(options)))


if __name__ == "__main__":
    main()
