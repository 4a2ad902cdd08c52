"""What a judge adds to each identity's mean, from a sample of responses that people labelled.

Two estimates of an identity's mean are combined. *Common*: the judge's mean over all of the identity's responses, plus
what people add on average over everybody's labels; precise, and wrong by as much as the judge errs otherwise for this
identity. *Own*: the regression estimate ``a + lam * judge`` with the identity's own intercept (Cochran 1977, chapter 7;
"PPI++", arXiv 2311.01453), right whatever the judge does for whom, and as noisy as the identity's labels are few. The
weight of *own* is that of empirical Bayes, ``tau^2 / (tau^2 + noise)``: with few labels the common error is used,
with many each identity's own, and where people labelled everything, what they said.

Few labels show few errors. So the judge's errors are never taken to differ less between identities than they are
common (``tau^2`` is at least twice the squared mean absolute error), nor to be rarer than ``z^2 / 2`` further errors
would make them (as in Wilson's interval), and an identity whose labels stand out is moved only as far as its noise
explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

_Z = float(stats.norm.ppf(0.975))
# Errors that a sample may have missed, and the responses among which: Agresti and Coull (1998).
_UNSEEN, _AMONG = _Z**2 / 2, _Z**2
# An identity's own spread counts in full beyond this many labels; before, mostly that of all.
_PRIOR_LABELS = 10.0


@dataclass(frozen=True)
class Responses:
    """The responses of a suite that its judge scored, N of them.

    Attributes:
        identity: number of each one's identity, 0 to U - 1, shape (N,); every number occurs.
        cluster: number of what it shares with others, shape (N,).
        judge: the judge's score in [0, 1], shape (N,).
        people: people's score in [0, 1], NaN where nobody labelled it, shape (N,).
    """

    identity: Codes
    cluster: Codes
    judge: Floats
    people: Floats

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return np.isfinite(self.people)


@dataclass(frozen=True)
class JudgeError:
    """What the judge does to each of U identities; scores in [0, 1].

    Attributes:
        lam: slope of people's scores on the judge's within identities, in [0, 1].
        common: what people add to the judge's mean over everybody's labels.
        common_variance: of that.
        intercept: of each identity's own regression, shape (U,); the common error where it has no label.
        weight: of the own estimate, in [0, 1], shape (U,).
        variance: of each corrected mean around the mean that people would give, for intervals, shape (U,).
        seen: the same as it was seen, with nothing added for what few labels may have missed, shape (U,).
        spread: standard deviation of the judge's error between identities, as it was taken.
        freedom: degrees of freedom of ``variance``, shape (U,).
        labels: how many each identity has, shape (U,).
    """

    lam: float
    common: float
    common_variance: float
    intercept: Floats
    weight: Floats
    variance: Floats
    seen: Floats
    spread: float
    freedom: Floats
    labels: Floats

    def corrected(self, responses: Responses) -> Floats:
        """Scores whose identity means are the corrected ones, shape (N,); may leave [0, 1]."""
        own = self.intercept[responses.identity] + self.lam * responses.judge
        own = np.where(responses.labelled, responses.people, own)
        weight = self.weight[responses.identity]
        return np.asarray(weight * own + (1 - weight) * (responses.judge + self.common))


def judge_error(responses: Responses) -> JudgeError:
    """Fit the judge's errors.

    Raises:
        ValueError: fewer than two labels.
    """
    there = responses.labelled
    if there.sum() < 2:
        raise ValueError("fewer than two labels")
    code, judge, people = responses.identity[there], responses.judge[there], responses.people[there]
    clusters = responses.cluster[there]
    count = int(responses.identity.max()) + 1
    asked = np.bincount(responses.identity, minlength=count).astype(float)
    labels = np.bincount(code, minlength=count).astype(float)
    share = labels / asked
    error = people - judge
    common = float(error.mean())
    lam = slope(_centred(judge, code, labels), _centred(people, code, labels))
    own = _sums(people - lam * judge, code, count) / np.maximum(labels, 1)
    intercept = np.where(labels > 0, own, common)
    residual = _Spread.of(people - lam * judge - intercept[code], code, clusters, count)
    between = _between(error, code, labels, _Spread.of(_centred(error, code, labels), code, clusters, count).pooled(0))
    # Laplace errors with the mean absolute size that was seen have twice its square as variance.
    least = 2 * ((float(np.abs(error).sum()) + _UNSEEN) / (len(error) + _AMONG)) ** 2
    tau2 = max(between, least)
    noise, plain = (_mean_variance(residual, labels, share, unseen) for unseen in (_UNSEEN, 0.0))
    judged = _sums(responses.judge, responses.identity, count) / asked
    apart = np.where(labels > 0, intercept + lam * judged - judged - common, 0.0)
    weight = _weight(np.maximum(tau2, apart**2 - noise), noise, labels)
    bias2 = np.where(labels > 0, weight * noise * (1 + share), tau2)
    seen = np.where(labels > 0, weight**2 * plain * (1 + share), 0.0) + (1 - weight) ** 2 * between
    common_spread = _Spread.of(error - common, np.zeros_like(code), clusters, 1)
    return JudgeError(
        lam=lam,
        common=common,
        common_variance=float(common_spread.pooled(_UNSEEN) / len(error) * (1 - len(error) / len(responses.judge))),
        intercept=intercept,
        weight=weight,
        variance=bias2,
        seen=np.minimum(seen, bias2),
        spread=float(np.sqrt(tau2)),
        freedom=np.clip(residual.freedom + _PRIOR_LABELS, 1, max(float(residual.freedom.sum()), 1)),
        labels=labels,
    )


def slope(judge: Floats, people: Floats) -> float:
    """The slope of people's scores on the judge's, both centred: the weight of the judge that is most precise.

    Returns:
        In [0, 1]. Where the judge's scores do not vary it makes no difference to any mean, and is 1.
    """
    spread = float(judge @ judge)
    return float(np.clip(judge @ people / spread, 0.0, 1.0)) if spread > 1e-12 else 1.0


@dataclass(frozen=True)
class _Spread:
    """How labelled values vary within identities; values that share a cluster vary together.

    Attributes:
        squares: squared sums by cluster, summed per identity, shape (U,).
        effective: labels, less what the identity's own mean takes, shape (U,).
        freedom: clusters less one, shape (U,).
    """

    squares: Floats
    effective: Floats
    freedom: Floats

    @classmethod
    def of(cls, values: Floats, code: Codes, clusters: Codes, count: int) -> _Spread:
        """Of values that are centred within their identities, shape (n,)."""
        pairs, place = np.unique(np.stack([code, clusters]), axis=1, return_inverse=True)
        owner: Codes = pairs[0].astype(np.intp)
        sums = _sums(values, place.ravel().astype(np.intp), pairs.shape[1])
        groups = np.bincount(owner, minlength=count).astype(float)
        labels = np.bincount(code, minlength=count).astype(float)
        freedom = (groups - 1).clip(min=0)
        return cls(_sums(sums**2, owner, count), labels * freedom / np.maximum(groups, 1), freedom)

    def pooled(self, unseen: float) -> float:
        """Variance of one label, all identities together, with this many errors added for the unseen."""
        seen = float(self.squares.sum() / max(self.effective.sum(), 1.0))
        return float(_with_unseen(np.array(seen), unseen / (self.effective.sum() + _AMONG)))

    def own(self, unseen: float) -> Floats:
        """Variance of one label per identity, drawn towards that of all where its labels are few, shape (U,)."""
        among = self.effective + _PRIOR_LABELS
        return _with_unseen((self.squares + _PRIOR_LABELS * self.pooled(0.0)) / among, unseen / among)


def _with_unseen(variance: Floats, share: Floats | float) -> Floats:
    """With a further share of errors; the less, the nearer it is to the 1/4 that shares vary by at most."""
    return np.asarray(variance + share * (1 - 4 * variance).clip(min=0))


def _mean_variance(residual: _Spread, labels: Floats, share: Floats, unseen: float) -> Floats:
    """Of the mean of an identity's residuals over all its responses, shape (U,); 0 where all are labelled or none."""
    return np.asarray(np.where(labels > 0, residual.own(unseen) / np.maximum(labels, 1) * (1 - share), 0.0))


def _weight(tau2: Floats, noise: Floats, labels: Floats) -> Floats:
    return np.asarray(np.where(labels > 0, tau2 / (tau2 + noise), 0.0))


def _between(error: Floats, code: Codes, labels: Floats, within: float) -> float:
    """Variance of the error between identities beyond noise, by the method of moments (DerSimonian and Laird 1986)."""
    there = labels > 0
    means = _sums(error, code, labels.size)[there] / labels[there]
    total = float(labels.sum())
    room = total - float((labels**2).sum()) / total
    if room <= 0:
        return 0.0
    squares = float((labels[there] * (means - error.mean()) ** 2).sum())
    return max((squares - (int(there.sum()) - 1) * within) / room, 0.0)


def _centred(values: Floats, code: Codes, labels: Floats) -> Floats:
    means = _sums(values, code, labels.size) / np.maximum(labels, 1)
    return np.asarray(values - means[code])


def _sums(values: Floats, code: Codes, count: int) -> Floats:
    return np.bincount(code, values, minlength=count).astype(float)
