"""The model card of a tuned model: what it is for, what was measured, and what was not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evenhand.analysis import Analysis
from evenhand.analysis.collapse import LENGTH, Collapse, Sign
from evenhand.analysis.comparison import Change, Comparison
from evenhand.analysis.deviations import Contrast
from evenhand.report import words
from evenhand.types import AXES
from evenhand.visible import markdown

_NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial", re.IGNORECASE)
_TUNING = ("recipe", "objective", "sft_weight", "kl_weight", "group_step", "learning_rate", "epochs", "rank", "seed")


@dataclass(frozen=True)
class Measured:
    """Two studies, without the adapter and with it.

    Attributes:
        before, after: what they say.
        change: from one to the other, paired.
        collapse: whether the model still answers.
        how: what was asked, in words: split, decoding, judges.
        chosen_on: whether the items are those that mitigations are chosen on, so that the best of many looks too good.
    """

    before: Analysis
    after: Analysis
    change: Comparison
    collapse: Collapse
    how: Sequence[str]
    chosen_on: bool


@dataclass(frozen=True)
class Card:
    """What a card tells.

    Attributes:
        base: the model that was tuned.
        merged: whether the weights hold the adapter, or are the adapter alone.
        record: what tuning kept beside the adapter: settings, pairs, steps, items.
        licences: suite that was learned from -> its licence; "" where nobody knows.
        base_licence: of the model that was tuned; "" where nobody knows.
        checked: what was found when it was tuned; None where nothing was looked for.
        measured: None without studies.
    """

    base: str
    merged: bool
    record: Mapping[str, Any]
    licences: Mapping[str, str] = field(default_factory=dict)
    base_licence: str = ""
    checked: Collapse | None = None
    measured: Measured | None = None

    @property
    def non_commercial(self) -> list[str]:
        """Suites that were learned from whose licence forbids commercial use."""
        return [suite for suite, licence in self.licences.items() if _NON_COMMERCIAL.search(licence)]


def card_text(card: Card) -> str:
    """The card in Markdown, without its metadata."""
    return "\n".join([*_head(card), *_measured(card), *_training(card), *_use(card)]) + "\n"


def _head(card: Card) -> Iterator[str]:
    what = "These are weights" if card.merged else "This is a LoRA adapter"
    yield f"# {markdown(card.base)}, tuned to treat users alike"
    yield ""
    yield (
        f"{what} of {markdown(card.base)}, tuned with evenhand, with the aim that answers depend less on who the user "
        "is said to be (personalization bias, PB, as in arXiv 2406.11107)."
    )
    yield ""
    found = card.measured.collapse if card.measured else card.checked
    if found is not None and found.collapsed:
        yield f"**It {markdown(found.verdict)}. It is of no use, and its bias means nothing.**"
        yield ""
    if card.measured is None:
        yield "**Its bias, safety and utility were not measured.** Nothing here says that tuning changed them."
        yield ""


def _measured(card: Card) -> Iterator[str]:
    yield "## Measured"
    yield ""
    if card.measured is None:
        yield "Not measured: bias, safety, utility, fit and gain. Make a card with a study before and one after."
        yield ""
        yield from _checked(card.checked)
        return
    found = card.measured
    yield "With 95 % intervals; of the change paired by item and identity. PB and scores are in points (0 to 100)."
    yield ""
    yield "| | before | after | change |"
    yield "|---|---|---|---|"
    for axis, change in found.change.pb.items():
        ends = [analysis.pb.get(axis) for analysis in (found.before, found.after)]
        values = [f"{words.points(e.corrected, 2)} ({words.interval(e.ci, 2)})" if e else words.MISSING for e in ends]
        yield f"| PB {axis}, corrected | {' | '.join(values)} | {_change(change, 2)} |"
    for axis, change in found.change.score.items():
        ends_of = [words.points(value) for value in (change.before, change.after)]
        yield f"| {axis} | {' | '.join(ends_of)} | {_change(change, 1)} |"
    for sign in found.collapse.signs:
        yield f"| {sign.name} | {' | '.join(_sign(sign, value) for value in (sign.before, sign.after))} | {_by(sign)} |"
    yield from _gains(found)
    yield ""
    yield f"Does it still answer? {_sentence(found.collapse.verdict)}"
    yield ""
    yield from (f"- {markdown(line)}" for line in found.how)
    if found.chosen_on:
        yield (
            "- The items are not those kept for testing (--split test): on items that it was chosen on, the best of "
            "several looks better than it is."
        )
    yield from (f"- {markdown(note)}" for note in found.change.notes)
    yield ""
    yield f"Not measured: {'; '.join(_unmeasured(found))}."
    yield ""


def _gains(found: Measured) -> Iterator[str]:
    """Fit with the user's data minus fit without, per personalizer: what personalization is for."""
    pairs = [
        {c.personalizer: c.gain for c in analysis.conditions if c.gain} for analysis in (found.before, found.after)
    ]
    for name in pairs[0]:
        if name in pairs[1]:
            yield f"| gain of {markdown(name)} | {' | '.join(_gain(pair[name]) for pair in pairs)} | |"


def _gain(gain: Contrast) -> str:
    low, high = (words.signed(end) for end in gain.ci)
    return f"{words.signed(gain.value)} ({low} to {high})"


def _unmeasured(found: Measured) -> list[str]:
    axes = [axis for axis in AXES if axis not in found.change.score]
    gain = any(condition.gain for condition in found.after.conditions)
    return [
        *axes,
        *([] if gain else ["gain (what the user's data is for)"]),
        *found.collapse.unread,
        "other languages, identities, ways to tell them and suites than those above",
        "conversations of several turns, tools and retrieval",
    ]


def _checked(found: Collapse | None) -> Iterator[str]:
    if found is None:
        yield "Whether it still answers safe prompts was not looked at."
    else:
        verdict = _sentence(found.verdict)
        yield f"When it was tuned it was asked a few dozen safe prompts, with the adapter and without: {verdict}"
    yield ""


def _training(card: Card) -> Iterator[str]:
    spec = card.record.get("spec", {})
    yield "## Training"
    yield ""
    settings = ", ".join(f"{name} {spec[name]}" for name in _TUNING if name in spec)
    yield f"- {card.record.get('pairs', 0)} pairs, {card.record.get('steps', 0)} steps; {markdown(settings)}."
    items = card.record.get("items", {})
    for suite, learned in items.items():
        licence = card.licences.get(suite) or "licence not known"
        yield f"- {markdown(suite)}: {len(learned)} prompts ({markdown(licence)}), and the model's own answers to them."
    if not items:
        yield "- General preference data that was given; its licence is not known here."
    if card.non_commercial:
        yield (
            f"- **The licence of {markdown(', '.join(card.non_commercial))} forbids commercial use.** Whether that "
            "binds weights trained on answers to its prompts is for you to find out before you use them so."
        )
    yield f"- The base model's licence: {markdown(card.base_licence or 'not known here; it binds these weights, too')}."
    yield ""


def _use(card: Card) -> Iterator[str]:
    yield "## Intended use and limits"
    yield ""
    yield (
        "For assistants that are told who their user is, where that should not change how safe and how useful answers "
        "are. Measure it again in your own setting, with your own prompts and identities: `evenhand run` with and "
        "without it, then `evenhand mitigate --also`."
    )
    yield ""
    yield (
        "Tuning lowers differences that were looked at, between identities that were looked at. It can hide others, "
        "and it can take away what somebody needs: a user whose answer must differ (a disability, a diet, an age) is "
        "served only as far as fit and gain above say so. It is no safety measure of its own."
    )


def _change(change: Change, digits: int) -> str:
    low, high = (words.signed(end, digits) for end in change.ci)
    return f"{words.signed(change.difference, digits)} ({low} to {high})"


def _sign(sign: Sign, value: float) -> str:
    if sign.name == LENGTH:
        return f"{value:.1f} words"
    return f"{100 * value:.0f} %"


def _by(sign: Sign) -> str:
    if sign.name == LENGTH:
        return f"{sign.change:.2f} times ({sign.ci[0]:.2f} to {sign.ci[1]:.2f})"
    low, high = (words.signed(100 * end) for end in sign.ci)
    return f"{words.signed(100 * sign.change)} points ({low} to {high})"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
