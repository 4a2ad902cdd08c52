"""Train the refusal classifier, measure it on models it has not seen, and write its weights.

    python training/refusal/train.py --data-dir ../shared/data

Needs scikit-learn (in the ``dev`` extra). Prints balanced accuracy of refusal (full or partial) against compliance on
each labelled file of XSTest completions, always by a model that was trained without that file; then trains on
everything and writes the weights and the measured figures into the package.
"""

from __future__ import annotations

import argparse
import csv
import random
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from evenhand.analysis.agreement import Agreement, agreement
from evenhand.audit.validate import LabelledSet, shipped_figure
from evenhand.judges.base import make_judge
from evenhand.judges.classifier import WEIGHTS, RefusalModel, digest, shipped_model
from evenhand.judges.features import cue_names, cues, terms
from evenhand.judges.refusal import find_refusal
from evenhand.judges.refusal_kernel import GRID, KernelMachine, sight
from evenhand.judges.refusal_moves import move_names
from evenhand.judges.validation import FIGURES, Figure
from evenhand.reasoning import split_reasoning

VERSION = "3"
LABELS = LabelledSet("XSTest", ("xstest-safe", "xstest-unsafe"))
HOW_RULES = "the rules were revised while looking at it"
HOW = "trained without it; the rules it looks at were revised while looking at it"
WRITTEN = Path(__file__).parent / "written.toml"
STYLES = Path(__file__).parent / "styles.toml"
PAIRS = Path(__file__).parent / "pairs.toml"
PER_FAMILY = 40
CUE_SCALE = 0.3  # cues are few and strong; scaled down they are penalised like the terms
PENALTY = 10.0
LABELLED_TIMES = 2  # answers of real models with labels by people count more than written ones
RARE = 3  # a term must be in more than one example; each written one comes twice, each labelled one four times
GAMMA = 0.45
KERNEL_WEIGHT = 8.0  # chosen, as GAMMA and LEAN were, on the left-out completions and on cases by kind
LEAN = 0.7  # both halves count refusals as often as help, which is commoner; added up they lean to refusal
FOLDS = 5


@dataclass(frozen=True)
class Example:
    """One answer with the question it answers and whether it declines, fully or in part."""

    question: str
    answer: str
    declines: bool


@cache
def written_examples(seed: int = 0, per_family: int = PER_FAMILY) -> list[Example]:
    """Examples drawn from the families of ``written.toml`` and ``styles.toml``."""
    rng = random.Random(seed)
    found: dict[tuple[str, str], Example] = {}
    files = (tomllib.loads(path.read_text(encoding="utf-8")) for path in (WRITTEN, STYLES))
    for family in (family for file in files for family in file["family"]):
        for _ in range(per_family):
            topic = rng.choice(family["x"])
            parts = [rng.choice(family[part]) for part in ("opening", "body", "closing") if part in family]
            question = _sentence(rng.choice(family["questions"]), topic)
            answer = _sentence(" ".join(p for p in parts if p), topic)
            found[question, answer] = Example(question, answer, family["label"] == "refusal")
    return list(found.values())


@cache
def paired_examples() -> list[Example]:
    """The questions and answers of ``pairs.toml``."""
    kinds = tomllib.loads(PAIRS.read_text(encoding="utf-8"))["kind"]
    return [Example(q, answer, kind["label"] == "refusal") for kind in kinds for q, answer in kind["pairs"]]


def wrapped(examples: Sequence[Example], seed: int = 1) -> list[Example]:
    """The examples again, with text around question and answer that leaves the label as it is."""
    around = tomllib.loads(WRITTEN.read_text(encoding="utf-8"))["around"]
    rng = random.Random(seed)
    found = []
    for example in examples:
        who = rng.choice(around["who"])
        before, behind = (rng.choice(around[place]).replace("{who}", who) for place in ("before", "behind"))
        where = rng.choice(("before", "behind", "both"))
        parts = [before] * (where != "behind") + [example.answer] + [behind] * (where != "before")
        question = f"I am {who}. {example.question}" if rng.random() < 0.5 else example.question
        found.append(Example(question, " ".join(parts), example.declines))
    return found


def padded(examples: Sequence[Example], seed: int = 2) -> list[Example]:
    """The examples again, with several sentences that say nothing in front or behind."""
    around = tomllib.loads(WRITTEN.read_text(encoding="utf-8"))["around"]
    found = []
    for example in examples:
        rng = random.Random(f"{seed} {example.answer}")
        where = rng.choice(("before", "behind", "both"))
        before, behind = (rng.choice(around[f"long_{place}"]) for place in ("before", "behind"))
        parts = [before] * (where != "behind") + [example.answer] + [behind] * (where != "before")
        found.append(Example(example.question, " ".join(parts), example.declines))
    return found


def _sentence(template: str, topic: str) -> str:
    text = template.replace("{x}", topic)
    return text[0].upper() + text[1:]


def labelled_files(data_dir: Path) -> dict[str, list[Example]]:
    """Model -> its labelled completions of XSTest."""
    found = {}
    for path in sorted((data_dir / "xstest").glob("completions_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem.removeprefix("completions_")] = [
                Example(row["prompt"], row["completion"], row["final_label"] != "1_full_compliance")
                for row in csv.DictReader(file)
            ]
    return found


@cache
def seen(example: Example) -> tuple[float, ...]:
    return tuple(cues(example.question, example.answer))


@cache
def seen_terms(example: Example) -> tuple[str, ...]:
    return tuple(terms(example.question, example.answer))


@cache
def point(example: Example) -> NDArray[np.float64]:
    """The example as the kernel sees it, on the grid on which points are stored."""
    at = sight(example.question, example.answer, seen(example))
    return np.asarray(np.round(at * GRID) / GRID)


def train(
    labelled: Sequence[Example] = (), version: str = VERSION, *, with_cues: bool = True, with_kernel: bool = True
) -> RefusalModel:
    """Fit a model on our own examples and the labelled ones, and on the same with text around them."""
    linear = train_linear([*written_examples(), *LABELLED_TIMES * list(labelled)], version, CUE_SCALE * with_cues)
    if not with_kernel:
        return linear
    paired = paired_examples()
    examples = [*written_examples(), *paired, *padded(paired), *labelled, *padded(labelled), *wrapped(labelled)]
    intercept = round(linear.intercept - LEAN, 4)
    return replace(linear, intercept=intercept, kernel=train_kernel(examples), kernel_weight=KERNEL_WEIGHT)


def train_linear(examples: Sequence[Example], version: str, scale: float) -> RefusalModel:
    """Logistic regression over terms and cues: wordings, of which it takes many examples."""
    examples = [*examples, *wrapped(examples)]
    vectorizer = TfidfVectorizer(analyzer=seen_terms, sublinear_tf=True, min_df=RARE)
    words = vectorizer.fit_transform(examples)
    shown = csr_matrix(np.array([seen(e) for e in examples]) * scale)
    y = np.array([e.declines for e in examples])
    fit = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=5000).fit(hstack([words, shown]), y)
    names, weights = vectorizer.get_feature_names_out(), fit.coef_[0]
    return RefusalModel(
        version,
        {t: (round(float(i), 4), round(float(w), 4)) for t, i, w in zip(names, vectorizer.idf_, weights, strict=False)},
        tuple(round(float(w) * scale, 4) for w in weights[len(names) :]),
        round(float(fit.intercept_[0]), 4),
    )


def train_kernel(examples: Sequence[Example]) -> KernelMachine:
    """A support vector machine over points: what is said to what, of which a few examples of many kinds do."""
    points, y = np.array([point(e) for e in examples]), np.array([e.declines for e in examples])
    fit = SVC(C=PENALTY, gamma=GAMMA, class_weight="balanced").fit(points, y)
    return KernelMachine(points[fit.support_], fit.dual_coef_[0], float(fit.intercept_[0]), GAMMA)


def measure(declines: Callable[[Example], bool], examples: Sequence[Example]) -> Agreement:
    """Agreement of a judge with the labels."""
    name = {True: "refusal", False: "compliance"}
    return agreement([name[e.declines] for e in examples], [name[declines(e)] for e in examples])


def by_model(model: RefusalModel) -> Callable[[Example], bool]:
    return lambda e: model.probability(e.question, e.answer) > 0.5


def other_prompts_too(examples: Sequence[Example], others: Sequence[Example]) -> Agreement:
    """As by model, and also without the tested prompts: what is left cannot have been learned by topic."""
    order = np.random.default_rng(0).permutation(len(examples))
    verdict: dict[int, bool] = {}
    for fold in range(FOLDS):
        tested = set(order[fold::FOLDS].tolist())
        prompts = {examples[k].question for k in tested}
        model = train([e for e in others if e.question not in prompts])
        verdict |= {k: by_model(model)(examples[k]) for k in tested}
    numbered = {id(e): k for k, e in enumerate(examples)}
    return measure(lambda e: verdict[numbered[id(e)]], examples)


def figures_of(files: Mapping[str, Sequence[Example]]) -> dict[str, list[Figure]]:
    """The records that are shipped: each set of completions is judged by weights that were made without it."""
    rules = make_judge("refusal-rules").version
    figures: dict[str, list[Figure]] = {"refusal-rules": [], "refusal-classifier": []}
    for name, examples in files.items():
        model = train(_without(name, files))
        by_rules = measure(lambda e: find_refusal(e.answer) is not None, examples)
        by_weights = measure(by_model(model), examples)
        figures["refusal-rules"].append(shipped_figure(LABELS, name, HOW_RULES, rules, by_rules))
        figures["refusal-classifier"].append(shipped_figure(LABELS, name, HOW, model.version, by_weights))
    return figures


def _without(name: str, files: Mapping[str, Sequence[Example]]) -> list[Example]:
    return [e for other, members in files.items() if other != name for e in members]


def by_kind(model: RefusalModel, path: Path) -> dict[str, list[bool]]:
    """Kind of case -> whether each of its answers is judged right; of a JSONL file of cases by kind."""
    found: dict[str, list[bool]] = defaultdict(list)
    for case in map(orjson.loads, path.read_bytes().splitlines()):
        kind, label = case.get("kind") or case["why"].split()[0], case.get("label") or case["right_label"]
        said = split_reasoning(case["response"]).answer
        found[kind].append((model.probability(case["prompt"], said) > 0.5) == (label != "compliance"))
    return dict(sorted(found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="directory with xstest/completions_*.csv")
    parser.add_argument("--check", action="store_true", help="measure only; write nothing")
    parser.add_argument("--cases", type=Path, action="append", default=[], help="only count the shipped model's right")
    options = parser.parse_args()
    for path in options.cases:
        print(path.name, {kind: f"{sum(right)}/{len(right)}" for kind, right in by_kind(shipped_model(), path).items()})
    if options.cases:
        return
    files = labelled_files(options.data_dir)
    if len(files) < 2:
        parser.error(f"{options.data_dir} has fewer than two files xstest/completions_*.csv")
    print(
        f"{len(written_examples())} written examples, {len(paired_examples())} pairs, "
        f"{sum(map(len, files.values()))} labelled completions of {', '.join(files)}"
    )
    figures = figures_of(files)
    for number, (name, examples) in enumerate(files.items()):
        others = _without(name, files)
        print(f"\n{name} (the classifier was trained without it)")
        for judge, found in figures.items():
            print(_line(judge, found[number].balanced_accuracy, found[number].kappa[0]))
        for judge, more in (
            ("  own examples only", measure(by_model(train()), examples)),
            ("  without the kernel", measure(by_model(train(others, with_kernel=False)), examples)),
            ("  terms only, no cues", measure(by_model(train(others, with_cues=False, with_kernel=False)), examples)),
            ("  other prompts too", other_prompts_too(examples, others)),
        ):
            b = more.balanced_accuracy
            print(_line(judge, (b.value, *b.ci), more.kappa.value))
    if options.check:
        return
    model = train([e for members in files.values() for e in members])
    assert model.kernel
    model.kernel.save()
    WEIGHTS.write_bytes(
        orjson.dumps(
            {
                "version": model.version,
                "intercept": model.intercept,
                "cue_names": cue_names(),
                "move_names": move_names(),
                "kernel_weight": model.kernel_weight,
                "cues": model.cues,
                "seen": sorted({digest(e.answer) for members in files.values() for e in members}),
                "terms": [[term, *pair] for term, pair in sorted(model.terms.items())],
            }
        )
        + b"\n"
    )
    FIGURES.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(f"\nwrote {len(model.terms)} terms to {WEIGHTS.name} and the figures to {FIGURES.name}")


def _line(judge: str, balanced: tuple[float, float, float], kappa: float) -> str:
    value, low, high = balanced
    return f"  {judge:<26} balanced accuracy {value:.3f} ({low:.3f} to {high:.3f}), kappa {kappa:.3f}"


if __name__ == "__main__":
    main()
