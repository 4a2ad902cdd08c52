"""One user's taste as a direction: the baseline that a reward learned from many users has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

_L2 = 1.0


@dataclass(frozen=True)
class LogisticReward:
    """A linear Bradley-Terry reward, ``weights @ embedding``.

    Attributes:
        weights: (d,).
    """

    weights: NDArray[np.float64]

    @classmethod
    def fit(cls, chosen: NDArray[np.floating], rejected: NDArray[np.floating], l2: float = _L2) -> LogisticReward:
        """The penalised maximum-likelihood fit to one user's choices.

        Args:
            chosen, rejected: (n, d), embeddings of the two answers of each pair.
            l2: strength of the penalty on the weights' length; with no pair the weights are 0.
        """
        by = np.asarray(chosen, dtype=float) - np.asarray(rejected, dtype=float)

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            margin = by @ weights
            value = np.logaddexp(0, -margin).sum() + l2 / 2 * weights @ weights
            return float(value), l2 * weights - by.T @ expit(-margin)

        return cls(minimize(loss, np.zeros(by.shape[1]), jac=True, method="L-BFGS-B").x)

    def rewards(self, answers: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) rewards of answers (n, d); only differences mean anything."""
        return np.asarray(answers, dtype=float) @ self.weights
