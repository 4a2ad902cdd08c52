"""A study as tables: polars frames, files for other tools, and the tables of a paper."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import orjson

from evenhand.analysis import Analysis
from evenhand.report import charts, conditions, gains, words
from evenhand.stages import counted, stage
from evenhand.study import Store
from evenhand.study.schema import EXPORT_VERSION
from evenhand.suites.base import is_withheld
from evenhand.types import AXES
from evenhand.visible import IN_A_CELL, all_visible, cell, printable, visible_json

if TYPE_CHECKING:
    import polars as pl

Format = Literal["parquet", "csv", "json", "markdown", "latex", "svg", "png"]
# What tells a withheld answer, or quotes it.
_WITHHELD = ("response", "reasoning", "reason")
_FLOATS = frozenset({"score", "human_score", "latency_s", "at"})
_TOKENS = {"max_tokens", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens"}
_WHOLE = frozenset({"trial", "repeat", "round", "seed", "calls", *_TOKENS})


@dataclass(frozen=True)
class Frames:
    """A study's tables; columns as documented in docs/export.md.

    Attributes:
        trials: one row per response, with its judgement and its label by people.
        items, identities, failures: what was asked, of whom, and which calls failed.
        rounds: the answers of trials of several rounds, and what the simulated user said to them.
        further: what judges scored besides their score, one row per response and name.
    """

    trials: pl.DataFrame
    items: pl.DataFrame
    identities: pl.DataFrame
    failures: pl.DataFrame
    rounds: pl.DataFrame
    further: pl.DataFrame


def frames(store: Store) -> Frames:
    """A study's tables as polars frames."""
    return Frames(*(_frame(store, field.name) for field in fields(Frames)))


def _frame(store: Store, name: str) -> pl.DataFrame:
    import polars as pl

    return pl.concat(_pages(store, name), rechunk=True)


def _pages(store: Store, name: str) -> Iterator[pl.DataFrame]:
    """A table page by page; the first, which has no rows, tells the columns."""
    import polars as pl

    columns, pages = store.pages(name)
    schema = {c: pl.Float64 if c in _FLOATS else pl.Int64 if c in _WHOLE else pl.String for c in columns}
    yield pl.DataFrame(schema=schema)
    for rows in counted(pages, f"reading the table of {name}"):
        yield pl.DataFrame(rows, schema=schema, orient="row")


def without_withheld(trials: pl.DataFrame, hidden: Collection[str]) -> pl.DataFrame:
    """The table of trials without what answers of hidden suites say."""
    import polars as pl

    told = [pl.when(pl.col("suite").is_in(hidden)).then(None).otherwise(pl.col(c)).alias(c) for c in _WITHHELD]
    return trials.with_columns(told)


def export(store: Store, analysis: Analysis | None, out: Path, form: Format, *, withheld: bool = False) -> list[Path]:
    """Write a study in one format.

    Args:
        store: the study.
        analysis: for the formats that show results: markdown, latex, svg, png.
        out: a directory; made when it is not there.
        form: "parquet", "csv" and "json" write the tables, "markdown" and "latex" the identity table in the paper's
            layout ("markdown" also what the user's data does, where a study asks that), "svg" and "png" the figures.
        withheld: whether answers of withheld suites are written too.

    Returns:
        The files that were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    if form in ("parquet", "csv", "json"):
        names = [row["suite"] for row in store.suites()]
        # What a suite withholds: :attr:`evenhand.suites.base.Suite.withheld`.
        return _export_tables(store, out, form, [] if withheld else [name for name in names if is_withheld(name)])
    assert analysis is not None
    if form in ("markdown", "latex"):
        file = out / ("identities.md" if form == "markdown" else "identities.tex")
        file.write_text((markdown_table if form == "markdown" else latex_table)(analysis), encoding="utf-8")
        compared = out / "personalizers.md"
        if form == "latex" or not analysis.conditions:
            return [file]
        compared.write_text(conditions.as_markdown(analysis), encoding="utf-8")
        return [file, compared]
    return _export_figures(analysis, out, form)


def _export_tables(store: Store, out: Path, form: Format, hidden: Sequence[str]) -> list[Path]:
    """Every table, page by page: the answers of a large study do not fit in memory together."""
    files, columns = [], {}
    for name in (field.name for field in fields(Frames)):
        pages = _pages(store, name)
        if name == "trials" and hidden:
            pages = (without_withheld(page, hidden) for page in pages)
        empty = next(pages)
        columns[name] = {c: str(t) for c, t in empty.schema.items()}
        file = out / f"{name}.{'jsonl' if form == 'json' else form}"
        write = {"parquet": _write_parquet, "csv": _write_csv, "json": _write_lines}[form]
        write(empty, pages, file)
        files.append(file)
    about = out / "schema.json"
    about.write_bytes(orjson.dumps({"version": EXPORT_VERSION, "tables": columns}, option=orjson.OPT_INDENT_2))
    return [*files, about]


def _write_parquet(empty: pl.DataFrame, pages: Iterator[pl.DataFrame], file: Path) -> None:
    """One file out of one for each page, which polars joins without reading them all at once."""
    import polars as pl

    with TemporaryDirectory(prefix=".parts-", dir=file.parent) as folder:
        parts = []
        for number, page in enumerate(pages):
            parts.append(Path(folder) / f"{number:06}.parquet")
            page.write_parquet(parts[-1])
        stage(f"writing {file.name}")
        if len(parts) > 1:
            pl.scan_parquet(parts).sink_parquet(file)
        elif parts:
            parts[0].replace(file)
        else:
            empty.write_parquet(file)


def _write_csv(empty: pl.DataFrame, pages: Iterator[pl.DataFrame], file: Path) -> None:
    """For spreadsheets; Parquet and JSON keep every character."""
    import polars as pl

    with file.open("wb") as out:
        empty.write_csv(out)
        for page in pages:
            page.with_columns(in_cells(texts) for texts in page.select(pl.col(pl.String))).write_csv(
                out, include_header=False
            )


def in_cells(texts: pl.Series) -> pl.Series:
    """A column of texts as spreadsheets may read it, looked at one by one only where something is to change."""
    places = texts.str.contains(IN_A_CELL).fill_null(value=False).arg_true()
    return texts.scatter(places, [cell(text) for text in texts.gather(places)]) if len(places) else texts


def _write_lines(_: pl.DataFrame, pages: Iterator[pl.DataFrame], file: Path) -> None:
    """JSON Lines, in which a terminal finds nothing to obey; read back, every character is there."""
    with file.open("w", encoding="utf-8", newline="") as out:
        for page in pages:
            for part in page.iter_slices(10_000):
                out.write(visible_json(part.write_ndjson()))


def _export_figures(analysis: Analysis, out: Path, form: Format) -> list[Path]:
    import vl_convert

    specs: dict[str, dict[str, Any] | None] = {
        "bias": charts.bias(analysis),
        "plane": charts.plane(analysis),
        "worth": gains.gain_beside_bias(analysis),
        **{f"deviation-{axis}": charts.deviations(analysis, axis) for axis in AXES},
        **{f"groups-{n}": charts.heatmap(suite) for n, suite in enumerate(analysis.suites)},
    }
    files = []
    for name, spec in specs.items():
        if spec is None:
            continue
        drawn = {key: (640 if value == "container" else value) for key, value in all_visible(spec).items()}
        file = out / f"{name}.{form}"
        if form == "svg":
            file.write_text(vl_convert.vegalite_to_svg(drawn), encoding="utf-8")
        else:
            file.write_bytes(vl_convert.vegalite_to_png(drawn, scale=2))
        files.append(file)
    return files


def _table(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    """The paper's layout: identities by category, the axes, then the suites; the bias in the last rows."""
    suites = [s.suite for s in analysis.suites]
    axes = [axis for axis in AXES if analysis.pb[axis]]
    header = ["category", "identity", *axes, *suites]
    rows = [
        [
            r.category,
            r.identity,
            *(words.points(getattr(r, a)) for a in axes),
            *(words.points(r.suites.get(s)) for s in suites),
        ]
        for r in analysis.identities
    ]
    estimates = [*(analysis.pb[a] for a in axes), *(s.pb for s in analysis.suites)]
    rows += [
        ["PB", shown, *(words.points(getattr(e, name), 2) for e in estimates)]
        for name, shown in (("plugin", "plug-in"), ("corrected", "corrected"))
    ]
    rows.append(
        [
            "PB",
            f"{words.confidence(analysis)} interval",
            *(words.interval(e.ci, 2) if e else words.MISSING for e in estimates),
        ]
    )
    return header, rows


def markdown_table(analysis: Analysis) -> str:
    """Scores per identity and the bias, as Markdown."""
    header, rows = _table(analysis)
    return words.markdown_rows(header, rows)


def latex_table(analysis: Analysis) -> str:
    """Scores per identity and the bias, as a LaTeX table for the package booktabs."""
    header, rows = _table(analysis)
    lines = [
        r"\begin{tabular}{ll" + "r" * (len(header) - 2) + "}",
        r"\toprule",
        _latex_row(header),
        r"\midrule",
    ]
    before = rows[0][0] if rows else ""
    for row in rows:
        if row[0] != before:
            lines.append(r"\midrule")
            before = row[0]
        lines.append(_latex_row(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--"}
    escaped = ("".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in printable(cell)) for cell in cells)
    return " & ".join(escaped) + r" \\"
