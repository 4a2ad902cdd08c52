"""Learns what the sentences of answers do: ``evenhand.judges.action_roles``.

Nobody wrote down what every sentence does. Each of an answer's sentences is taken to do what the answer does, and the
asides that were put among them to do nothing; what stands in answers of all kinds comes out as telling little.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from action_asides import FOLDS, Surroundings
from action_texts import Example
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from evenhand.judges.action_roles import NOTHING, Roles, seen, values

LEARNED_FROM = 4000  # answers; more teach little
NOTHING_SHARE = 0.35  # expected share of sentences that do nothing
FAMILIES = 3  # in which a word must occur
PENALTY = 1.0
ABOUT = 2.0  # what a sentence is about is scaled up, so that it is penalised less
SMALLEST = 0.1  # rows with smaller weights are left out
_ASIDE = "asides"


@dataclass(frozen=True)
class Told:
    """Sentences, what is seen of them, what they do, and the family of each."""

    signs: list[list[str]]
    about: NDArray[np.float64]
    roles: list[int]
    families: list[str]


def told(examples: Sequence[Example], seed: int = 1) -> list[Told]:
    """For each fold of asides, sentences of answers among asides of the other folds."""
    chosen = random.Random(seed).sample(list(examples), min(LEARNED_FROM, len(examples)))
    return [_told(chosen, Surroundings(seed, keep)) for keep in [*_others(), range(FOLDS)]]


def _others() -> list[list[int]]:
    return [[n for n in range(FOLDS) if n != fold] for fold in range(FOLDS)]


def _told(examples: Sequence[Example], around: Surroundings) -> Told:
    signs: list[list[str]] = []
    about, roles, families = [], [], []
    for e in examples:
        parts, aside = around.compose(e.answer)
        its, vectors = seen(e.question, parts)
        signs += its
        about.append(vectors)
        roles += [NOTHING if is_aside else e.action for is_aside in aside]
        families += [_ASIDE if is_aside else e.family for is_aside in aside]
    return Told(signs, np.vstack(about), roles, families)


def train_roles(found: Told, left_out: Container[str] = ()) -> Roles:
    """Fit the roles on sentences, without those of some families."""
    kept = [k for k, family in enumerate(found.families) if family not in left_out]
    families = [found.families[k] for k in kept]
    known = _shared([found.signs[k] for k in kept], families)
    x = hstack([_matrix([found.signs[k] for k in kept], known), csr_matrix(found.about[kept] * ABOUT)]).tocsr()
    fit = LogisticRegression(C=PENALTY, max_iter=300, tol=1e-3).fit(
        x, [found.roles[k] for k in kept], sample_weight=_weights(families)
    )
    weights = fit.coef_[:, : len(known)].T
    rows = [row for row in range(len(known)) if np.abs(weights[row]).max() >= SMALLEST]
    signs = list(known)
    return Roles(
        {signs[row]: n for n, row in enumerate(rows)},
        weights[rows].round(2),
        (fit.coef_[:, len(known) :].T * ABOUT).round(2),
        fit.intercept_.round(3),
    )


def _weights(families: Sequence[str]) -> NDArray[np.float64]:
    """Families count alike, and asides have their expected share."""
    size = Counter(families)
    each = (1 - NOTHING_SHARE) / (len(size) - (_ASIDE in size))
    return np.array([len(families) * (NOTHING_SHARE if f == _ASIDE else each) / size[f] for f in families])


def _shared(signs: Sequence[Sequence[str]], families: Sequence[str]) -> dict[str, int]:
    """What occurs in several families, or in as many asides, numbered."""
    where: dict[str, set[str]] = defaultdict(set)
    for number, (family, its) in enumerate(zip(families, signs, strict=True)):
        for sign in its:
            where[sign].add(f"{family} {number}" if family == _ASIDE else family)
    return {sign: k for k, sign in enumerate(sorted(s for s, its in where.items() if len(its) >= FAMILIES))}


def _matrix(signs: Sequence[Sequence[str]], known: dict[str, int]) -> csr_matrix:
    cells = [
        (row, known[sign], by) for row, its in enumerate(signs) for sign, by in values(its).items() if sign in known
    ]
    row, column, by = zip(*cells, strict=True)
    return csr_matrix((by, (row, column)), shape=(len(signs), len(known)))
