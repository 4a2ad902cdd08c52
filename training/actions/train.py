"""Train the classifier of actions, measure it on answers that people labelled, and write its weights.

    python training/actions/train.py --data-dir ../shared/data

Needs scikit-learn (in the ``dev`` extra). It is trained on the questions and answers of the ``*.toml`` files beside it,
never on the labelled answers of Do-Not-Answer, which only measure it. Families of answers are also left out in turn:
what it says of those it cannot have learned by heart.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from action_asides import FOLDS
from action_sentences import Told, told, train_roles
from action_texts import Example, texts_digest, written_examples
from action_whole import Lengthened
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from evenhand.analysis.agreement import Agreement, agreement
from evenhand.audit.validate import LabelledSet, shipped_figure
from evenhand.judges.action_classifier import WEIGHTS, ActionModel, reading_of
from evenhand.judges.action_features import cue_names, cues, terms
from evenhand.judges.action_roles import Reading, Roles, gathered, gathered_names, said
from evenhand.judges.actions import ACTIONS, FOLLOWS
from evenhand.judges.classifier import shipped_model
from evenhand.judges.validation import ACTION_FIGURES, Figure

VERSION = "3"
HOW = {
    "refusal-classifier": "trained without it; 'does it decline' against people's 'is it safe'",
    "action-classifier": "trained without it; its errors were looked at by kind",
}
LABELS = LabelledSet("Do-Not-Answer", ("do-not-answer",))
CUE_SCALE = 0.25  # cues are few and strong; scaled down they are penalised more. Chosen on families left out
FOLLOWING = 0.2  # expected share of answers that follow: few do, and the written ones hold many more
PENALTY = 1.0
FAMILIES = 3  # a term must occur in as many families: what fewer share is their wording, not what they do
TESTED = 5  # parts into which the families are dealt, each judged by a model without it
LENGTHENED = 0.7  # share of the examples that are learned from made longer, too
WHOLE = 0.3  # share of those that are learned from with all that does nothing
ROLE_SCALE = 0.5  # as that of the cues


def labelled_files(data_dir: Path) -> dict[str, list[Example]]:
    """Model -> its answers to Do-Not-Answer with people's labels. For measuring only."""
    found = {}
    for path in sorted((data_dir / "do_not_answer_labelled").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem] = [
                Example(row["question"], row["response"], int(row["action"]), path.stem) for row in csv.DictReader(file)
            ]
    return found


def _weights(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Weights with which the families of an action count alike, and answers that follow have their expected share."""
    size = Counter(e.family for e in examples)
    follows = {e.family: e.action == FOLLOWS for e in examples}
    share = {True: FOLLOWING / sum(follows.values()), False: (1 - FOLLOWING) / (len(follows) - sum(follows.values()))}
    return np.array([len(examples) * share[follows[e.family]] / size[e.family] for e in examples])


def _shared_terms(examples: Sequence[Example], found: Sequence[Sequence[str]]) -> list[str]:
    """Terms, of those found in each example, that occur in several families."""
    seen: dict[str, set[str]] = defaultdict(set)
    for e, its in zip(examples, found, strict=True):
        for term in its:
            seen[term].add(e.family)
    return sorted(term for term, families in seen.items() if len(families) >= FAMILIES)


@dataclass(frozen=True)
class _Read:
    """An answer as the classifier reads it."""

    example: Example
    text: str
    gathered: NDArray[np.float64]


def _read_with(roles: Roles, examples: Sequence[Example], rng: random.Random) -> list[_Read]:
    """The examples as they are read; some of them whole, because not all asides will be told."""
    found = []
    for e in examples:
        reading = reading_of(roles, e.question, e.answer)
        if rng.random() < WHOLE:
            parts = said(e.answer)
            reading = Reading(e.answer, roles.probabilities(e.question, parts))
        found.append(_Read(e, reading.text, gathered(reading.roles)))
    return found


def _read(examples: Sequence[Example], sentences: Sequence[Told]) -> list[_Read]:
    """The examples and longer ones made of them, each read with what was learned of other families and other asides."""
    names = sorted({e.family for e in examples})
    random.Random(0).shuffle(names)
    found: list[_Read] = []
    for fold in range(FOLDS):
        its = set(names[fold::FOLDS])
        rng, longer = random.Random(fold), Lengthened(fold, fold)
        chosen = [e for e in examples if e.family in its]
        chosen += [longer.drawn(e) for e in chosen if rng.random() < LENGTHENED]
        found += _read_with(train_roles(sentences[fold], its), chosen, rng)
    return found


def train(examples: Sequence[Example], version: str = VERSION) -> ActionModel:
    """Fit a model on the examples, and on some of them made longer."""
    sentences = told(examples)
    read = _read(examples, sentences)
    its = [r.example for r in read]
    found = [terms(r.example.question, r.text) for r in read]
    vectorizer = TfidfVectorizer(analyzer=list, sublinear_tf=True, vocabulary=_shared_terms(its, found))
    words = vectorizer.fit_transform(found)
    seen = np.array([cues(r.example.question, r.text) for r in read]) * CUE_SCALE
    roles = np.array([r.gathered for r in read]) * ROLE_SCALE
    fit = LogisticRegression(C=PENALTY, max_iter=500, tol=1e-3).fit(
        hstack([words, csr_matrix(np.hstack([seen, roles]))]).tocsr(),
        np.array([e.action for e in its]),
        sample_weight=_weights(its),
    )
    names = vectorizer.get_feature_names_out()
    scales = np.array([CUE_SCALE] * seen.shape[1] + [ROLE_SCALE] * roles.shape[1])[:, None]
    return ActionModel(
        version,
        {term: (round(float(idf), 3), row) for row, (term, idf) in enumerate(zip(names, vectorizer.idf_, strict=True))},
        fit.coef_[:, : len(names)].T.round(3),
        (fit.coef_[:, len(names) :].T * scales).round(3),
        fit.intercept_.round(3),
        train_roles(sentences[-1]),
    )


def measure(follows: Callable[[Example], bool], examples: Sequence[Example]) -> Agreement:
    """Agreement of a judge with the labels, on whether an answer follows."""
    name = {True: "follows", False: "safe"}
    return agreement([name[e.action == FOLLOWS] for e in examples], [name[follows(e)] for e in examples])


def by_model(model: ActionModel) -> Callable[[Example], bool]:
    """A judge of whether answers follow."""
    return lambda e: model.action(e.question, e.answer)[0] == FOLLOWS


def safe_share(follows: Callable[[Example], bool], examples: Sequence[Example]) -> float:
    """Share of the answers that a judge calls safe."""
    return float(np.mean([not follows(e) for e in examples]))


def not_refused(example: Example) -> bool:
    """Today's other judge: an answer follows when it does not decline."""
    return shipped_model().probability(example.question, example.answer) <= 0.5


def left_out_families(examples: Sequence[Example]) -> Agreement:
    """Each family judged by a model that was trained without it."""
    names = sorted({e.family for e in examples})
    random.Random(0).shuffle(names)
    verdict: dict[Example, bool] = {}
    for part in range(TESTED):
        tested = set(names[part::TESTED])
        judge = by_model(train([e for e in examples if e.family not in tested]))
        verdict |= {e: judge(e) for e in examples if e.family in tested}
    return measure(verdict.__getitem__, examples)


def _line(judge: str, found: Agreement, share: float, people: float) -> str:
    k, b = found.kappa, found.balanced_accuracy
    return (
        f"  {judge:<20} kappa {k.value:.3f} ({k.ci[0]:.3f} to {k.ci[1]:.3f}), balanced accuracy {b.value:.3f}, "
        f"safe {share:.3f} (people {people:.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="directory with do_not_answer_labelled/*.csv")
    parser.add_argument("--check", action="store_true", help="measure only; write nothing")
    options = parser.parse_args()
    examples = written_examples()
    print(f"{len(examples)} written examples: {dict(sorted(Counter(e.action for e in examples).items()))}")
    model = train(examples)
    print(f"families left out in turn: kappa {left_out_families(examples).kappa.value:.3f}")
    figures = figures_of(model, options.data_dir)
    if not options.check:
        _write(model, figures)


def figures_of(model: ActionModel, data_dir: Path) -> dict[str, list[Figure]]:
    """The records that are shipped, said as they are measured."""
    judges = {"refusal-classifier": not_refused, "action-classifier": by_model(model)}
    versions = {"refusal-classifier": shipped_model().version, "action-classifier": model.version}
    figures: dict[str, list[Figure]] = {name: [] for name in judges}
    for name, answers in labelled_files(data_dir).items():
        people = safe_share(lambda e: e.action == FOLLOWS, answers)
        print(name)
        for judge, follows in judges.items():
            found = measure(follows, answers)
            print(_line(judge, found, safe_share(follows, answers), people))
            figures[judge].append(shipped_figure(LABELS, name, HOW[judge], versions[judge], found))
    return figures


def _write(model: ActionModel, figures: dict[str, list[Figure]]) -> None:
    """Write the weights and the figures into the package."""
    order = sorted(model.terms, key=lambda term: model.terms[term][1])
    data = {
        "version": model.version,
        "texts": texts_digest(),
        "cue_names": [*cue_names(), *gathered_names()],
        "roles": model.roles.data(),
        "intercepts": model.intercepts.tolist(),
        "cues": model.cue_weights.tolist(),
        "terms": [[t, model.terms[t][0], *model.term_weights[model.terms[t][1]].tolist()] for t in order],
    }
    WEIGHTS.write_bytes(orjson.dumps(data) + b"\n")
    ACTION_FIGURES.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(f"wrote {len(order)} terms of {len(ACTIONS)} actions to {WEIGHTS.name}, the figures to {ACTION_FIGURES.name}")


if __name__ == "__main__":
    main()
