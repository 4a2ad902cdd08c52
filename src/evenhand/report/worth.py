"""How good a study's judges are, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evenhand.analysis import Analysis
from evenhand.analysis.agreement import PER_IDENTITY, Agreement, Estimate
from evenhand.analysis.correction import MIN_LABELS
from evenhand.analysis.judge_worth import JudgeWorth
from evenhand.analysis.quality import JudgeQuality
from evenhand.report.words import MISSING

__all__ = ["PER_IDENTITY", "carries", "line", "own_sample", "sentences", "share"]

# Class -> what people did with such an answer, and what the judge takes others for.
_SAID = {
    "refusal": ("called refusals", "for refusals"),
    "compliance": ("called help", "for help"),
    "follows": ("found to do what was asked", "for such"),
    "safe": ("called safe", "for safe"),
    "unsafe": ("called unsafe", "for unsafe"),
    "bad": ("called bad", "for bad"),
    "good": ("called good", "for good"),
}
_EVENTS = ("refusal", "follows", "unsafe", "bad")


def own_sample(analysis: Analysis, suite: str) -> JudgeQuality | None:
    """The study's own labels of a suite against its judge; None without any."""
    return next((found for found in analysis.quality if found.suite == suite), None)


def sentences(worth: JudgeWorth, quality: JudgeQuality | None) -> list[str]:
    """What is known of a judge, a sentence each; what it is not known on stands in its caveats.

    Args:
        worth: what is known.
        quality: by the study's own labels, where it has some.
    """
    own = _own(quality.agreement, worth.axis) if quality is not None else []
    if worth.source == "people":
        return own
    if worth.source == "check":
        rules = "It compares with a right answer by fixed rules; it holds no opinion that people would have to share."
        return [rules, *own]
    return [*_admitted(worth), *_published(worth), *own]


def line(worth: JudgeWorth, analysis: Analysis) -> str:
    """The same in one line, what must be known first in front."""
    told = sentences(worth, own_sample(analysis, worth.suite))
    return f"Judge of {worth.suite} ({worth.judge}): {' '.join([*worth.caveats, *told])}"


def carries(quality: JudgeQuality | None) -> list[str]:
    """The identities with enough labels of some class to say something of the judge there."""
    return [e.identity for e in quality.differential.by_identity if e.recall] if quality else []


def share(found: Estimate | None) -> str:
    """A share with its interval, in percent."""
    if found is None or not found.n:
        return MISSING
    low, high = found.ci
    return f"{_whole(found.value)} % ({_whole(low)} to {_whole(high)})"


def _admitted(worth: JudgeWorth) -> list[str]:
    """What it made of planted answers, of which the truth is known."""
    if not worth.planted:
        return []
    good, bad = worth.planted["good"], worth.planted["bad"]
    return [
        f"Shown {good.n + bad.n} planted answers before the first trial, it judged rightly {share(good)} of "
        f"the {good.n} that are good, and {share(bad)} of the {bad.n} that are not (95 % intervals)."
    ]


def _published(worth: JudgeWorth) -> list[str]:
    if not worth.fitting:
        return []
    recalls, kappas = [r.recall for r in worth.fitting], [r.kappa for r in worth.fitting]
    answers = " and ".join(f"{r.n} of {r.model}" for r in worth.fitting)
    ends = "" if len(worth.fitting) == 1 else "; the lowest and the highest of them"
    return [
        f"Of 100 {_told(recalls, worth.fitting[0].classes)}. {_kappa(kappas)}",
        f"Behind it: answers to {worth.fitting[0].data} that people labelled, {answers}{ends}.",
    ]


def _own(found: Agreement, axis: str) -> list[str]:
    both: tuple[str, str] = ("safe", "unsafe") if axis == "safety" else ("good", "bad")
    recall = {both[c == "bad"]: share for c, share in found.recall.items()}
    told = f"In this study's own sample of {found.n} labelled answers, of 100 {_told([recall], both)}."
    agree = [_kappa([found.kappa])] if found.n >= MIN_LABELS else []
    lacking = [f"People {_SAID[c][0]} none of them: of such answers nothing is known." for c in both if c not in recall]
    return [told, *agree, *lacking]


def _told(recalls: Sequence[Mapping[str, Estimate]], classes: tuple[str, str]) -> str:
    """Shares that a judge finds and mistakes, as of a hundred; over several sets the lowest and the highest."""
    event, other = sorted(classes, key=lambda c: c not in _EVENTS)
    found = [recall[event] for recall in recalls if event in recall]
    taken = [_rest(recall[other]) for recall in recalls if other in recall]
    parts = []
    if found:
        parts.append(f"answers that people {_SAID[event][0]} this judge finds {_hundred(found)}")
    if taken:
        whose = "that they" if found else "answers that people"
        parts.append(f"{whose} {_SAID[other][0]} it takes {_hundred(taken)} {_SAID[event][1]}")
    return "; of 100 ".join(parts)


def _rest(share: Estimate) -> Estimate:
    return Estimate(1 - share.value, (1 - share.ci[1], 1 - share.ci[0]), share.n)


def _hundred(shares: Sequence[Estimate]) -> str:
    """Shares as numbers of a hundred: one with its interval, several with their range."""
    if len(shares) == 1:
        low, high = shares[0].ci
        return f"{_whole(shares[0].value)} (95 % interval {_whole(low)} to {_whole(high)})"
    found = sorted(share.value for share in shares)
    ends = list(dict.fromkeys((_whole(found[0]), _whole(found[-1]))))
    return " to ".join(ends)


def _whole(share: float) -> str:
    """Of a hundred; what is not quite none or all is not rounded to it."""
    value = 100 * share
    if 0 < value < 0.5 or 99.5 <= value < 100:
        return f"{value:.1f}"
    return f"{value:.0f}"


def _kappa(found: Sequence[Estimate]) -> str:
    values = sorted(estimate.value for estimate in found)
    between = " to ".join(dict.fromkeys((f"{values[0]:.2f}", f"{values[-1]:.2f}")))
    if len(found) == 1:
        low, high = found[0].ci
        # Drawing anew among answers without a disagreement finds none.
        interval = f"{low:.2f} to {high:.2f}" if low < high else "no interval: nothing was judged otherwise"
        between = f"{values[0]:.2f} ({interval})"
    return f"Agreement beyond chance (Cohen's kappa) is {between}."
