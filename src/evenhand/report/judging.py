"""What judges are worth, as terminal tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evenhand.analysis.agreement import Agreement, DifferentialError, Estimate
from evenhand.audit.base import BIASES
from evenhand.audit.judges import JudgeComparison
from evenhand.audit.run import Audit
from evenhand.audit.validate import Validation
from evenhand.report import words
from evenhand.report.terminal import comparison_table

_SHOWN_IDENTITIES = 8


def validation_tables(found: Validation) -> RenderableType:
    """A judge against people's labels."""
    parts: list[RenderableType] = []
    if found.seen:
        warning = (
            f"{found.seen} of these responses were in the judge's training: the figures say nothing about other "
            "responses. Held-out figures stand in docs/judges.md and in every report."
        )
        parts.append(Text(warning, style="yellow"))
    parts += _agreement(found.agreement, f"{found.judge} (version {found.version})")
    by_label = Table("label by people", "judged right", "95 % interval", "n", title="By label as written")
    for label, share in found.found.items():
        by_label.add_row(label, *_estimate(share), str(share.n))
    parts.append(by_label)
    if found.differential:
        parts.append(differential_table(found.differential))
    return Group(*parts)


def _agreement(found: Agreement, title: str) -> list[RenderableType]:
    figures = Table("figure", "value", "95 % interval", title=f"{title}\n{found.n} responses, {found.missing} missing")
    for name, estimate in (
        ("accuracy", found.accuracy),
        ("balanced accuracy", found.balanced_accuracy),
        ("Cohen's kappa", found.kappa),
        *((f"recall of {c}", e) for c, e in found.recall.items()),
    ):
        figures.add_row(name, *_estimate(estimate))
    columns = sorted({c for row in found.confusion.values() for c in row})
    table = Table("by people", *(f"judge: {c}" for c in columns), title="Confusion")
    for label, row in found.confusion.items():
        table.add_row(label, *(str(row.get(c, 0)) for c in columns))
    return [figures, table]


def differential_table(found: DifferentialError) -> Table:
    """The identities that a judge errs most differently on."""
    title = f"Error by identity: spread {words.points(found.spread)} points, p {words.p_value(found.p_value)}"
    table = Table("identity", "labels", "judged wrong", "judge minus people", "95 % interval", title=title)
    order = sorted(found.by_identity, key=lambda e: -abs(e.shift.value))
    for entry in order[:_SHOWN_IDENTITIES]:
        table.add_row(
            entry.identity, str(entry.n), f"{100 * entry.wrong.value:.0f} %", words.signed(entry.shift.value),
            words.interval(entry.shift.ci),
        )  # fmt: skip
    if len(order) > _SHOWN_IDENTITIES:
        table.caption = f"the {_SHOWN_IDENTITIES} largest of {len(order)}"
    return table


def audit_tables(found: Audit) -> RenderableType:
    """An audit."""
    title = f"Audit of {found.judge} (version {found.version})"
    facts = Table("mode", "right by construction", "same when asked again", title=title)
    for mode, again in found.consistency.items():
        facts.add_row(mode, _share(found.accuracy[mode]), _share(again))
    table = Table("bias", "mode", "robust", "95 % interval", "n", "missing", "what is changed, and its source")
    for result in found.results:
        bias = BIASES.get(result.bias)
        about = f"{bias.summary} ({bias.source})"
        if result.robustness is None:
            table.add_row(result.bias, result.mode, words.MISSING, "", "", "", f"not tried: {result.why_not}. {about}")
            continue
        if result.own_preferred:
            about += f"; unasked, it prefers its own answer in {_share(result.own_preferred)} of the pairs"
        n, missing = result.robustness.n, result.missing
        table.add_row(result.bias, result.mode, *_estimate(result.robustness), str(n), str(missing), about)
    table.caption = (
        "Robust: share of verdicts that stay as they should; the loss beyond 'same when asked again' is bias."
    )
    return Group(facts, table)


def comparison_tables(found: JudgeComparison) -> RenderableType:
    """Two judges on one study."""
    title = ", ".join(f"{suite}: {found.first[suite]} -> {found.second[suite]}" for suite in found.first)
    parts: list[RenderableType] = [comparison_table(title, found.change)]
    for suite, same in found.agreement.items():
        table = Table("agreement", "value", "95 % interval", title=f"{suite}: {same.n} responses judged by both")
        table.add_row("same verdict", *_estimate(same.accuracy))
        table.add_row("Cohen's kappa", *_estimate(same.kappa))
        parts.append(table)
    return Group(*parts)


def _estimate(estimate: Estimate) -> tuple[str, str]:
    if estimate.n == 0:
        return words.MISSING, words.MISSING
    return f"{estimate.value:.3f}", f"{estimate.ci[0]:.3f} to {estimate.ci[1]:.3f}"


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.ci[0]:.2f} to {estimate.ci[1]:.2f})" if estimate.n else words.MISSING
