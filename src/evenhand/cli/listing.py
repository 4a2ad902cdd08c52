"""``evenhand list``: every member of every kind, and whether it can be used here."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli.output import AsRows, RowFormat, emit, terminal_width

if TYPE_CHECKING:
    from rich.table import Table

    from evenhand.personalizers import Card
    from evenhand.registry import Entry

_USABLE = "usable"
_UNKNOWN = "unknown"
_NOT_SAID = "-"
# Columns besides the first with what one must type.
_TYPED = {"judge"}
# Read once, not typed; a narrow terminal does without, and --licenses and --format json have them.
_CARD = ("granularity", "data", "changes", "trains", "weights", "readable", "reversible")
_WIDE_ONLY = ("licence", "source", "which", "wording", "leaves out", "statement", "baseline", *_CARD)
# Lists that have columns more than once read, by one of their columns, and the width that shows them all.
_WHOLE = {"judge": 120, "technique": 180, "catalogue": 160, "statement": 130}
# Characters for a column that may wrap, and for the lines and spaces around any.
_ROOM, _BORDER = 8, 3

Rows = list[tuple[str, ...]]


class Kind(StrEnum):
    """What can be listed."""

    suites = "suites"
    models = "models"
    identities = "identities"
    personalizers = "personalizers"
    people = "people"
    encoders = "encoders"
    judges = "judges"
    mitigations = "mitigations"
    catalogues = "catalogues"
    languages = "languages"


def list_members(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    licenses: Annotated[
        bool, typer.Option("--licenses", help="With 'suites': licences of all data and models, and what they ask for.")
    ] = False,
    format: AsRows = RowFormat.table,
) -> None:
    """List what is available, with third-party members, and what each needs that is not installed."""
    from evenhand.cli.licences import COLUMNS, licence_rows
    from evenhand.errors import SpecError

    if licenses and kind is not Kind.suites:
        raise SpecError(f"'{kind}' has no --licenses.", "Write evenhand list suites --licenses.")
    rows, columns = (licence_rows(), COLUMNS) if licenses else _LISTS[kind]()

    def as_csv() -> str:
        from evenhand.report.terminal import csv_text

        return csv_text([columns, *rows])

    found = [dict(zip(columns, row, strict=True)) for row in rows]
    emit(found, format, lambda: _table(columns, rows), as_csv)


def _table(columns: tuple[str, ...], rows: Rows) -> Table:
    """Names that one must type are never cut; where everything can be used, no column says so."""
    from rich.table import Table
    from rich.text import Text

    width = terminal_width()
    hidden = set(_WIDE_ONLY) if any(width < whole for name, whole in _WHOLE.items() if name in columns) else set()
    if all(dict(zip(columns, row, strict=True)).get(_USABLE, "yes") == "yes" for row in rows):
        hidden.add(_USABLE)
    shown = [place for place, name in enumerate(columns) if name not in hidden]
    typed = [place for place in shown if place == 0 or columns[place] in _TYPED]
    needed = sum(max(len(row[place]) for row in rows) for place in typed) + _ROOM * (len(shown) - len(typed))
    table = Table()
    for place in shown:
        # What must not wrap would be cut where the terminal is narrower still; there, everything is folded.
        fits = needed + _BORDER * len(shown) < width
        table.add_column(columns[place], no_wrap=place in typed and fits, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[place]) for place in shown))  # not markup: "evenhand[local]"
    return table


def _suites() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.suites import SUITES

    columns = ("suite", "axis", "what", "judge", "licence", "source", _USABLE)
    rows = [
        (
            _reference(e),
            "either" if _told(e, "axis_is_yours") == "True" else _told(e, "axis") or _UNKNOWN,
            _what(e),
            *(_told(e, name) or _UNKNOWN for name in ("judge", "licence", "source")),
            e.usable,
        )
        for e in SUITES.entries()
    ]
    return rows, columns


def _identities() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.errors import EvenhandError
    from evenhand.identities import BASELINES, CATALOGUES, make_catalogue

    rows: Rows = []
    for entry in CATALOGUES.entries():
        try:
            made = make_catalogue(entry.name)
            rows += [(i.name, i.category, entry.name, made.source or _UNKNOWN, "yes") for i in made.identities]
        except EvenhandError as error:
            state = entry.usable if entry.usable != "yes" else f"broken: {error.problem}"
            rows.append((_UNKNOWN, _UNKNOWN, entry.name, _UNKNOWN, state))
    rows += [(b.name, b.category, "always", "evenhand", "yes") for b in BASELINES.values()]
    return rows, ("identity", "category", "catalogue", "source", _USABLE)


def _catalogues() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.identities import registered

    rows: Rows = []
    for c in registered():
        said = (c.source, c.rule, c.wording, c.leaves_out)
        rows.append((c.name, ", ".join(c.categories()), str(len(c.identities)), *(text or _NOT_SAID for text in said)))
    return rows, ("catalogue", "categories", "identities", "drawn up by", "which", "wording", "leaves out")


def _languages() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.identities import ENGLISH, languages

    rows: Rows = [
        (
            known.code,
            known.name,
            known.statement,
            known.system,
            "all" if known == ENGLISH else str(len(known.identities)),
            known.made_by or _NOT_SAID,
            known.reviewed_by or (_NOT_SAID if known == ENGLISH else "nobody"),
        )
        for known in languages().values()
    ]
    return rows, ("code", "language", "statement", "baseline", "identities", "made by", "reviewed by")


def _personalizers() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.personalizers import PERSONALIZERS, Card

    rows: Rows = [
        (
            _reference(e),
            "implied" if e.member and not e.member.states else "stated",
            _what(e),
            *_card(e.member.card if e.member else None),
            e.usable,
        )
        for e in PERSONALIZERS.entries()
    ]
    rows.append(("'... {identity} ...'", "stated", "your own system message", *_card(Card()), "yes"))
    return rows, ("personalizer", "kind", "what", "technique", *_CARD, _USABLE)


def _card(card: Card | None) -> tuple[str, ...]:
    """A personalizer's card, in the order of the columns; unknown of one that cannot be loaded."""
    if card is None:
        return (_UNKNOWN,) * 8
    flags = (card.needs_training, card.needs_weights, card.readable, card.reversible)
    texts = (card.technique, card.granularity, card.user_data, card.surface)
    return (*texts, *("yes" if flag else "no" for flag in flags))


def _people() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.errors import EvenhandError
    from evenhand.people import PEOPLE, make_people

    rows: Rows = []
    for entry in PEOPLE.entries():
        try:
            for person in make_people(entry.name):
                parts = (person.facts, person.sessions, person.opinions, person.preferences)
                rows.append((person.name, *(str(len(part)) for part in parts), entry.name, "yes"))
        except EvenhandError as error:
            state = entry.usable if entry.usable != "yes" else f"broken: {error.problem}"
            rows.append((_UNKNOWN, *[""] * 4, entry.name, state))
    return rows, ("person", "facts", "sessions", "opinions", "preferences", "catalogue", _USABLE)


def _encoders() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.embeddings import ENCODERS

    return [(_reference(e), _what(e), e.usable) for e in ENCODERS.entries()], ("encoder", "what", _USABLE)


def _judges() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.judges import JUDGES

    return [(_reference(e), _what(e), e.usable) for e in JUDGES.entries()], ("judge", "what", _USABLE)


def _mitigations() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.mitigations import MITIGATIONS
    from evenhand.mitigations.combination import Combination
    from evenhand.mitigations.defense import shipped_defenses

    rows: Rows = [(_reference(e), _what(e), e.usable) for e in MITIGATIONS.entries() if e.name != "none"]
    rows += [(f"defense:{name}", defense.text, "yes") for name, defense in shipped_defenses().items()]
    rows.append(("A+B", Combination.summary, "yes"))
    return rows, ("mitigation", "what", _USABLE)


def _models() -> tuple[Rows, tuple[str, ...]]:
    from evenhand.models import MODELS

    rows: Rows = []
    for entry in MODELS.entries():
        documented = " ".join((entry.member.__doc__ or "").split()).replace("``", "") if entry.member else ""
        rows.append((entry.name, documented or _what(entry), entry.usable))
    return rows, ("model", "what", _USABLE)


_LISTS: dict[Kind, Callable[[], tuple[Rows, tuple[str, ...]]]] = {
    Kind.suites: _suites,
    Kind.models: _models,
    Kind.identities: _identities,
    Kind.personalizers: _personalizers,
    Kind.people: _people,
    Kind.encoders: _encoders,
    Kind.judges: _judges,
    Kind.mitigations: _mitigations,
    Kind.catalogues: _catalogues,
    Kind.languages: _languages,
}


def _reference(entry: Entry[Any]) -> str:
    argument = _told(entry, "argument")
    return f"{entry.name}:{argument}" if argument else entry.name


def _what(entry: Entry[Any]) -> str:
    return _told(entry, "summary") or (f"of the package {entry.package}" if entry.package else _UNKNOWN)


def _told(entry: Entry[Any], name: str) -> str:
    """What a member says of itself; somebody else's may say nothing."""
    return str(getattr(entry.member, name, ""))


def register(app: typer.Typer) -> None:
    app.command("list")(list_members)
