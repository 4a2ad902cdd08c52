"""``evenhand memory``: what personalizers keep of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli.output import As, Format, StudyDir, emit

if TYPE_CHECKING:
    from evenhand.remembered import MemoryAudit

app: typer.Typer = typer.Typer(no_args_is_help=True, help="What personalizers learned of the people of a study.")

_NOTHING = "No personalizer of this study learns anything by itself."
_WORDS_SHOWN = 5


@app.command()
def show(
    study: StudyDir,
    person: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    personalizer: Annotated[str | None, typer.Option(help="Only by this personalizer.")] = None,
    format: As = Format.table,
) -> None:
    """Show what is remembered of whom, word by word, and what it took to learn it."""
    from rich.table import Table
    from rich.text import Text

    from evenhand import api
    from evenhand.errors import SpecError, did_you_mean

    everything = api.memories(study)
    found = [
        memory
        for memory in everything
        if person in (None, memory.person) and personalizer in (None, memory.personalizer)
    ]
    if everything and not found:
        people, personalizers = ({getattr(m, name) for m in everything} for name in ("person", "personalizer"))
        for asked, known, by in ((person, people, "of"), (personalizer, personalizers, "by")):
            if asked and asked not in known:
                raise SpecError(f"Nothing is remembered {by} '{asked}'.", did_you_mean(asked, sorted(known)))
        raise SpecError(f"'{personalizer}' remembers nothing of '{person}'.")
    table = Table("personalizer", "person", "identity", "calls", "what is remembered")
    for memory in found:
        # Text, not markup: the model wrote it.
        cells = (memory.personalizer, memory.person, memory.identity or "–", str(memory.calls), memory.shown)
        table.add_row(*map(Text, cells))
    emit(found, format, lambda: table if found else Text(_NOTHING))


@app.command()
def audit(study: StudyDir, format: As = Format.table) -> None:
    """Tell how often memories name a protected identity that nobody stated, and how they were learned."""
    from rich.table import Table
    from rich.text import Text

    from evenhand.remembered import audit_memories

    found = audit_memories(study)
    table = Table("personalizer", "people", "memories", "calls", "while learning", "names what nobody stated", "what")
    for one in found:
        table.add_row(*map(Text, _row(one)))
    emit(found, format, lambda: table if found else Text(_NOTHING))


def _row(audit: MemoryAudit) -> tuple[str, ...]:
    from evenhand.report.words import percent

    counts = ", ".join(f"{n:,} {what}" for what, n in audit.counts.items() if n)
    words = ", ".join(f"{word} ({n:,})" for word, n in [*audit.words.items()][:_WORDS_SHOWN])
    return (
        audit.personalizer, str(audit.inferred.n), f"{audit.memories:,}", f"{audit.calls:,}", counts or "–",
        percent(audit.inferred), words or "–",
    )  # fmt: skip


@app.command()
def used(
    study: StudyDir,
    personalizer: Annotated[str | None, typer.Option(help="Only by this personalizer.")] = None,
    each: Annotated[bool, typer.Option("--each", help="Answer by answer; JSON always is.")] = False,
    format: As = Format.table,
) -> None:
    """Show which facts of the user the answers were given by: what stood in the conversation that was sent."""
    from rich.table import Table
    from rich.text import Text

    from evenhand import api
    from evenhand.errors import SpecError, did_you_mean

    everything = api.facts_used(study)
    found = [answer for answer in everything if personalizer in (None, answer.personalizer)]
    if everything and not found:
        known = sorted({answer.personalizer for answer in everything})
        raise SpecError(f"No answer was told anything by '{personalizer}'.", did_you_mean(str(personalizer), known))

    def every() -> Table:
        table = Table("suite", "item", "personalizer", "identity", "facts used")
        for a in found:
            lines = "\n".join(f"{line} (sensitive)" if line in a.sensitive else line for line in a.facts) or "–"
            table.add_row(*map(Text, (a.suite, a.item, a.personalizer, a.identity, lines)))
        return table

    def sums() -> Table:
        table = Table("personalizer", "suite", "answers", "facts each", "sensitive each", "with a sensitive one")
        for name, suite in dict.fromkeys((a.personalizer, a.suite) for a in found):
            own = [a for a in found if (a.personalizer, a.suite) == (name, suite)]
            facts = sum(len(a.facts) for a in own) / len(own)
            sensitive = sum(len(a.sensitive) for a in own) / len(own)
            share = sum(bool(a.sensitive) for a in own) / len(own)
            cells = (name, suite, str(len(own)), f"{facts:.1f}", f"{sensitive:.1f}", f"{share:.0%}")
            table.add_row(*map(Text, cells))
        return table

    nobody = Text("No answer of this study was told of a user by a personalizer.")
    emit(found, format, lambda: nobody if not found else every() if each else sums())


@app.command()
def edits(study: StudyDir, format: As = Format.table) -> None:
    """Show what was learned of facts that people took back: the suite edits, kind by kind."""
    from rich.table import Table
    from rich.text import Text

    from evenhand import api

    found = api.edits_learned(study)
    title = "Right answers (percent), with 95 % intervals over edits"
    table = Table("suite", "personalizer", "kind", "right", "interval", "edits", title=title, title_justify="left")
    for e in found:
        ends = f"{e.ci[0]:.0f} to {e.ci[1]:.0f}"
        table.add_row(*map(Text, (e.suite, e.personalizer, e.kind, f"{e.score:.0f}", ends, str(e.edits))))
    emit(found, format, lambda: table if found else Text("This study has no scores of the suite edits."))
