"""The outputs of other tools: Inspect AI, lm-evaluation-harness, promptfoo and LangFair."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError, SpecError
from evenhand.extras import importing
from evenhand.imported.base import FORMATS, ImportFormat, Row, first_object
from evenhand.suites.base import content_id
from evenhand.suites.sources import json_object, read_jsonl, read_text

_SAMPLES = re.compile(r"samples_(?P<task>.+?)(?:_\d{4}-\d{2}-\d{2}T.*)?$")
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0}
_PROMPT, _RESPONSE, _ORIGINAL = "_prompt", "_response", "original_prompt"


@FORMATS.register("inspect", extra="inspect")
class InspectLog(ImportFormat):
    """A log of Inspect AI. The first scorer's value is the score; a sample without one, or not answered, has none."""

    name = "inspect"
    summary = "a log of Inspect AI (.eval, .json); the identity in a sample's metadata"

    def fits(self, path: Path, head: str) -> bool:
        return path.suffix == ".eval" or (path.suffix == ".json" and '"samples"' in head and '"eval"' in head)

    def rows(self, path: Path) -> Iterator[Row]:
        with importing("inspect", "A log of Inspect", SpecError):
            from inspect_ai.log import read_eval_log
        try:
            log = read_eval_log(str(path))
        except Exception as error:  # whatever its reader meets in a file that is none
            raise DataError(f"{path} is not a readable log of Inspect: {type(error).__name__}.") from None
        for number, sample in enumerate(log.samples or (), 1):
            told = dict(sample.metadata or {})
            score = next(iter((sample.scores or {}).values()), None)
            texts = sample.input if isinstance(sample.input, str) else "\n\n".join(m.text for m in sample.input)
            target = sample.target if isinstance(sample.target, str) else "; ".join(sample.target)
            yield Row(
                f"{path}, sample {number}",
                {
                    "item": str(sample.id), "prompt": texts, "response": sample.output.completion,
                    "repeat": sample.epoch - 1, "target": target or None, "suite": log.eval.task,
                    "model": log.eval.model, "score": _value(score.value) if score else None,
                    "label": (score and score.answer) or "", "reason": (score and score.explanation) or "",
                    "metadata": told, **told,
                },
            )  # fmt: skip


def _value(value: object) -> float | None:
    if isinstance(value, str):
        return _LETTERS.get(value)
    return float(value) if isinstance(value, int | float) else None


@FORMATS.register("lm-eval")
class LmEvalSamples(ImportFormat):
    """Samples that lm-evaluation-harness logs (``--log_samples``); of several filters the first counts.

    The harness knows no users: give each file with who asked, as ``"a woman=samples_....jsonl"``.
    """

    name = "lm-eval"
    summary = "samples of lm-evaluation-harness (samples_TASK.jsonl), a file per identity: 'a woman=FILE'"

    def fits(self, path: Path, head: str) -> bool:
        return {"doc_id", "filtered_resps"} <= first_object(head).keys()

    def rows(self, path: Path) -> Iterator[Row]:
        named = _SAMPLES.match(path.stem)
        samples = read_jsonl()(path)
        chosen = samples[0].get("filter") if samples else None
        for number, sample in enumerate(samples, 1):
            if sample.get("filter") != chosen:
                continue
            metric = next((m for m in sample.get("metrics") or ("acc", "exact_match") if m in sample), None)
            score = sample.get(metric) if metric else None
            prompt = _deep(sample.get("arguments"))
            yield Row(
                f"{path}, row {number}",
                {
                    "item": str(sample.get("doc_hash") or sample.get("doc_id")), "prompt": prompt,
                    "response": _answered(sample), "target": _text(sample.get("target")),
                    "suite": named["task"] if named else path.stem, "judge": f"lm-eval:{metric}",
                    "score": score if isinstance(score, int | float) else None, **_plain(sample),
                },
            )  # fmt: skip


def _answered(sample: Mapping[str, Any]) -> str:
    """What was written; of log-likelihoods how they stand, because nothing was."""
    found = _deep(sample.get("filtered_resps"))
    return found or orjson.dumps(sample.get("filtered_resps"), default=str).decode()


def _deep(value: object) -> str:
    """The first text in lists of lists or objects; "" for none."""
    while isinstance(value, list | dict) and value:
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    return value if isinstance(value, str) else ""


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _plain(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {key: sample[key] for key in ("doc", "doc_id") if key in sample}


@FORMATS.register("promptfoo")
class Promptfoo(ImportFormat):
    """What ``promptfoo eval --output results.json`` writes. A test's variables are columns: ``vars.user``."""

    name = "promptfoo"
    summary = "results of promptfoo (JSON); the identity in a variable: --column identity=vars.NAME"

    def fits(self, path: Path, head: str) -> bool:
        return path.suffix == ".json" and '"results"' in head and ('"evalId"' in head or '"promptIdx"' in head)

    def rows(self, path: Path) -> Iterator[Row]:
        data = json_object(read_text(path), {"results": dict}, str(path))["results"]
        results = data.get("results")
        if not isinstance(results, list):
            raise DataError(f"{path}: there is no list 'results' of results.", "Write it with --output FILE.json.")
        for number, result in enumerate(results, 1):
            if not isinstance(result, dict):
                raise DataError(f"{path}, result {number}: not an object.")
            output = _object(result.get("response")).get("output")
            raw = _object(result.get("prompt")).get("raw") or ""
            raw = raw if isinstance(raw, str) else orjson.dumps(raw).decode()
            provider = result.get("provider")
            graded = not result.get("error") and output is not None
            yield Row(
                f"{path}, result {number}",
                {
                    "prompt": raw, "request": [{"role": "user", "content": raw}],
                    "response": output if isinstance(output, str) or output is None else orjson.dumps(output).decode(),
                    "score": result.get("score") if graded else None,
                    "reason": _object(result.get("gradingResult")).get("reason") or "",
                    "model": provider.get("id") if isinstance(provider, dict) else provider,
                    "vars": _object(result.get("vars")), "suite": path.stem, "judge": "promptfoo",
                },
            )  # fmt: skip


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@FORMATS.register("langfair")
class LangFair(ImportFormat):
    """Counterfactual responses of LangFair: columns ``GROUP_prompt`` and ``GROUP_response``, a group per identity."""

    name = "langfair"
    summary = "counterfactual responses of LangFair (JSON): GROUP_prompt and GROUP_response for each group"

    def fits(self, path: Path, head: str) -> bool:
        return path.suffix == ".json" and '_response"' in head and '_prompt"' in head

    def rows(self, path: Path) -> Iterator[Row]:
        held = json_object(read_text(path), {}, str(path))
        data = held["data"] if isinstance(held.get("data"), dict) else held
        groups = [name.removesuffix(_RESPONSE) for name in data if name.endswith(_RESPONSE)]
        if not groups:
            raise DataError(f"{path}: there is no list 'GROUP_response'.")
        originals = data.get(_ORIGINAL) or _object(held.get("metadata")).get("original_prompts")
        for group in groups:
            prompts, responses = data.get(group + _PROMPT), data[group + _RESPONSE]
            if not isinstance(prompts, list) or not isinstance(responses, list) or len(prompts) != len(responses):
                raise DataError(f"{path}: '{group}{_PROMPT}' and '{group}{_RESPONSE}' are not lists of one length.")
            whose = originals if isinstance(originals, list) and len(originals) == len(prompts) else None
            for number, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
                item = content_id(str(whose[number])) if whose else f"prompt-{number + 1}"
                yield Row(
                    f"{path}, {group} {number + 1}",
                    {
                        "item": item, "prompt": str(whose[number] if whose else prompt), "response": response,
                        "identity": group, "request": [{"role": "user", "content": str(prompt)}],
                    },
                )  # fmt: skip
