"""Runs the authors' own evaluator (PyPI: eai-eval) on answers of one model; prints what it finds per task, as JSON.

For an environment of its own, without evenhand:

    python -m venv eai && eai/bin/pip install --no-deps eai-eval==1.0.5 && eai/bin/pip install numpy scipy networkx lark
    eai/bin/python benchmarks/embodied_reference.py --data-dir DATA > reference.json

Their programs copy all scenes so far at each step, which takes 20 seconds a task; here what nothing changes is shared.

``python benchmarks/embodied.py --data-dir DATA --reference reference.json`` lays it beside evenhand's counts.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import gzip
import json
import logging
import random
import re
import sys
import tempfile
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

# Imported by the package and not used here.
for _unused in ("ipdb", "fire", "gdown", "bddl"):
    sys.modules.setdefault(_unused, types.ModuleType(_unused))

Answers = list[dict[str, str]]
Counts = dict[str, dict[str, list[int]]]
Verdicts = dict[str, dict[str, Any]]
_KINDS = {"node": "state", "edge": "relation", "action": "action"}


def goal_interpretation(answers: Answers, package: Path) -> Counts:
    """Task -> kind of goal -> right, extra and missing, as the script logs them; unreadable answers are not in it."""
    from virtualhome_eval.evaluation.goal_interpretation.scripts import evaluate_results as script

    found: Counts = {}

    class Listener(logging.Handler):
        task = ""

        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if begins := re.match(r"Task is .*, file_id is (\S+)", said):
                self.task = begins[1]
            elif counted := re.match(r"TP_(\w+)_goals: (-?\d+), FP_\w+: (-?\d+), FN_\w+: (-?\d+)", said):
                found.setdefault(self.task, {})[_KINDS[counted[1]]] = [int(counted[n]) for n in (2, 3, 4)]

    script.logger.setLevel(logging.INFO)
    script.logger.addHandler(Listener())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "virtualhome" / "goal_interpretation"
        place.mkdir(parents=True)
        (place / "model_outputs.json").write_text(json.dumps(answers))
        script.evaluate_results(
            types.SimpleNamespace(
                dataset="virtualhome", llm_response_path=folder, resource_dir=str(package / "resources"),
                dataset_dir=str(package / "dataset"), output_dir=f"{folder}/out", scene_id=1,
            )
        )  # fmt: skip
    return found


def transition_modeling(answers: Answers, package: Path) -> Counts:
    """Task -> category -> right, extra and missing predicates; without the planner, which is asked elsewhere."""
    from virtualhome_eval.simulation.evolving_graph.eval_utils import extract_action_details
    from virtualhome_eval.simulation.evolving_graph.logic_score import calculate_logic_score

    tables = package / "resources" / "virtualhome"
    files = ("id2action", "predicates_category", "gold_action")
    asked, categories, gold = (json.loads((tables / f"{name}.json").read_text()) for name in files)
    found: Counts = {}
    for answer in answers:
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for name, action in _actions(answer["llm_output"], extract_action_details).items():
            if name not in asked[answer["identifier"]]:
                continue
            for part in ("action_preconditions", "action_effects"):
                _, *sides = calculate_logic_score(action[part], gold[name][part])
                for side, predicates in enumerate(sides):
                    for predicate in predicates & categories.keys():
                        counts[categories[predicate]][side] += 1
        found[answer["identifier"]] = dict(counts)
    return found


def _actions(text: str, extract: Any) -> dict[str, dict[str, str]]:
    """What the script does with an answer before it counts."""
    if text.startswith("```json"):
        text = text[7:].strip("`")
    text = text.strip().replace("\n", "").replace("'", '"')
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["output"]
    try:
        return dict(extract(content=text))
    except IndexError:  # brackets that do not close
        return {}


def _copied(value: Any) -> Any:
    """A copy of what may be changed: lists are only added to; scenes as dictionaries, and their base, are only read."""
    if isinstance(value, list):
        return list(value)
    base = [getattr(value, name, None) for name in ("_graph", "_name_equivalence")]
    return value if isinstance(value, dict) else copy.deepcopy(value, {id(shared): shared for shared in base})


_COPY = types.SimpleNamespace(deepcopy=_copied)


def action_sequencing_with_ids(answers: Answers, package: Path) -> Verdicts:
    """Task -> success, kind of error, and goals that are met; tasks that they leave out are not in it.

    Goals of actions are put in the order of the task, which is that of a set otherwise.
    """
    from virtualhome_eval.evaluation.action_sequencing.scripts import evaluate_results as script

    found: Verdicts = {}

    class Listener(logging.Handler):
        task = ""

        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if begins := re.match(r"Task is .*, file_id is (\S+)", said):
                self.task = begins[1]
                # Who answers with the reference program gets no line.
                found[self.task] = {"success": False, "error": "", "met": [0, 0, 0]}
            elif "did not pass gold test" in said:
                del found[self.task]
            elif said == "Goals all satisfied: all_pred_success=True":
                found[self.task]["success"] = True
            elif said.startswith("Predicted: "):
                found[self.task]["met"] = [int(count) for count in re.findall(r"=(\d+)", said)]

    script.set, script.copy = dict.fromkeys, _COPY
    script.logger.setLevel(logging.INFO)
    script.logger.addHandler(Listener())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "virtualhome" / "action_sequencing"
        place.mkdir(parents=True)
        (place / "model_outputs.json").write_text(json.dumps(answers))
        results = script.evaluate_results(
            types.SimpleNamespace(
                dataset="virtualhome", llm_response_path=folder, resource_dir=str(package / "resources"),
                dataset_dir=str(package / "dataset"), output_dir=f"{folder}/out", scene_id=1,
            )
        )  # fmt: skip
    for task, error in results["model"][1].items():
        found[task]["error"] = error["error_type"] or ""
    return found


def subgoal_decomposition(answers: Answers, package: Path) -> Verdicts:
    """Task -> success, kind of error, and goals that are met.

    Of several alternatives they take one at random; here the first.
    """
    from virtualhome_eval.evaluation.subgoal_decomposition import checkers
    from virtualhome_eval.evaluation.subgoal_decomposition import subgoal_sim_utils as script
    from virtualhome_eval.tl_formula import simple_tl

    checkers.copy, simple_tl.has_id = _COPY, functools.cache(simple_tl.has_id)
    resources = package / "resources"
    where = types.SimpleNamespace(resource_dir=str(resources), dataset_dir=str(package / "dataset"))
    random.choice = lambda options: options[0]
    found: Verdicts = {}
    for answer in answers:
        task = answer["identifier"].removeprefix("scene_1_")
        report = script.evaluate_task(str(resources / "vocabulary.json"), 1, task, answer["llm_output"], where)
        found[task] = {"success": report[0] == "Correct", "error": _error(report), "met": _met(report[-1])}
    return found


def _error(report: Any) -> str:
    """The kind of the error that keeps subgoals from being carried out."""
    kind = report[0]
    if kind == "Runtime":
        errors = [error for step in report[-2] for error in step["error_info"]["error_type"]]
        return next(error for error in reversed(errors) if error != "ADDITIONAL_STEP").lower()
    if kind == "Hallucination":
        return "parameter error" if report[1].get("IncorrectParamLength") else "hallucination error"
    return {"NotParseable": "parsing error", "GoalUnreachable": "", "Correct": ""}[kind]


def _met(goals: Any) -> list[int]:
    """How many states, relations and actions are met."""
    names = ("node", "edge", "action")
    return [goals[f"{name}_success_num"] for name in names] if isinstance(goals, dict) else [0, 0, 0]


ABILITIES = (goal_interpretation, transition_modeling, action_sequencing_with_ids, subgoal_decomposition)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="with eai/fixtures in it")
    parser.add_argument("--ability", choices=[ability.__name__ for ability in ABILITIES], help="all by default")
    parser.add_argument("--answers", type=Path, help="of one ability: other answers than the data's, as JSON")
    arguments = parser.parse_args()
    folder = arguments.data_dir / "eai" / "fixtures"
    import virtualhome_eval

    package = Path(virtualhome_eval.__file__).parent
    found: dict[str, Any] = {}
    for ability in ABILITIES:
        if arguments.ability not in (None, ability.__name__):
            continue
        if arguments.answers:
            answers = json.loads(arguments.answers.read_text())
        else:
            (file,) = folder.glob(f"*_{ability.__name__}.json.gz")
            answers = json.loads(gzip.decompress(file.read_bytes()))
        with tempfile.TemporaryFile("w") as quiet:
            said, sys.stdout = sys.stdout, quiet  # it prints on its way
            try:
                found[ability.__name__] = ability(answers, package)
            finally:
                sys.stdout = said
    print(json.dumps(found))


if __name__ == "__main__":
    main()
