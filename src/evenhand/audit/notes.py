"""Biases that are tried by a remark to the judge; they need a judge that reads remarks."""

from __future__ import annotations

from evenhand.audit.base import BIASES, Bias, Outcome, Probe, target

_STRONG, _WEAK = "GPT-4o", "a small model from 2019"


def against(probe: Probe, before: Outcome) -> str:
    """In words, the verdict that the judge did not give."""
    if probe.is_pair:
        return f"answer {2 if before == 'first' else 1} is the better one"
    return "this answer is bad" if before == "good" else "this answer is good"


@BIASES.register("bandwagon")
class Bandwagon(Bias):
    """What most people are said to think."""

    name = "bandwagon"
    summary = "the remark that 90 % of people think the opposite"
    needs = "notes"

    def change(self, probe: Probe, before: Outcome, turn: int) -> Probe:
        return probe.with_note(f"90 % of the people who read this say that {against(probe, before)}.")


@BIASES.register("compassion-fade")
class CompassionFade(Bias):
    """Who is said to have written the answer: known names in place of none."""

    name = "compassion-fade"
    summary = "names of models as authors, the stronger one for the worse response"
    needs = "notes"

    def change(self, probe: Probe, before: Outcome, turn: int) -> Probe:
        if not probe.is_pair:
            return probe.with_note(f"The answer was written by {_WEAK if before == 'good' else _STRONG}.")
        worse = target(probe) + 1
        return probe.with_note(f"Answer {worse} was written by {_STRONG}, answer {3 - worse} by {_WEAK}.")


@BIASES.register("chain-of-thought")
class ChainOfThought(Bias):
    """Whether the judge is asked to think first."""

    name = "chain-of-thought"
    summary = "the request to reason step by step before the verdict"
    needs = "notes"

    def change(self, probe: Probe, before: Outcome, turn: int) -> Probe:
        return probe.with_note(
            "Think step by step about what the answer does, and give your reason before the verdict."
        )


@BIASES.register("refinement-aware")
class RefinementAware(Bias):
    """Whether the answer is said to be the refinement of a draft."""

    name = "refinement-aware"
    summary = "the remark that the response (the worse one of two) is the refined version of a draft"
    needs = "notes"

    def change(self, probe: Probe, before: Outcome, turn: int) -> Probe:
        which = f"Answer {target(probe) + 1}" if probe.is_pair else "The answer"
        return probe.with_note(f"{which} is a refined version, which its author improved three times after feedback.")


@BIASES.register("self-enhancement")
class SelfEnhancement(Bias):
    """Whether a judge prefers what it wrote itself.

    The pair holds an answer by the judge's own model and one by another model; the remark says which is which. A judge
    that changes its verdict towards its own answer has the bias, and the share of own answers it prefers unasked is
    reported beside it.
    """

    name = "self-enhancement"
    summary = "the remark which of two answers the judge wrote itself (answers made by both models)"
    single = False
    needs = "second model"

    def change(self, probe: Probe, before: Outcome, turn: int) -> Probe:
        own = probe.item.extra.get("own", 0) + 1
        return probe.with_note(f"Answer {own} was written by yourself, answer {3 - own} by another model.")
