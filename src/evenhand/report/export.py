"""A study as tables: polars frames, files for other tools, and the tables of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from evenhand.analysis import Analysis
from evenhand.report import charts, conditions, gains, words
from evenhand.study import Store
from evenhand.study.schema import EXPORT_VERSION
from evenhand.suites.base import is_withheld
from evenhand.types import AXES
from evenhand.visible import all_visible, cell, printable, visible_json

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

    columns, rows = store.table(name)
    schema = {c: pl.Float64 if c in _FLOATS else pl.Int64 if c in _WHOLE else pl.String for c in columns}
    return pl.DataFrame(rows, schema=schema, orient="row")


def without_withheld(found: Frames) -> Frames:
    """The tables without what answers of withheld suites say (:attr:`evenhand.suites.base.Suite.withheld`)."""
    import polars as pl

    hidden = [suite for suite in found.trials["suite"].unique() if is_withheld(suite)]
    told = [pl.when(pl.col("suite").is_in(hidden)).then(None).otherwise(pl.col(c)).alias(c) for c in _WITHHELD]
    return replace(found, trials=found.trials.with_columns(told))


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
        found = frames(store)
        return _export_tables(found if withheld else without_withheld(found), out, form)
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


def _export_tables(found: Frames, out: Path, form: Format) -> list[Path]:
    files = []
    for field in fields(Frames):
        frame: pl.DataFrame = getattr(found, field.name)
        file = out / f"{field.name}.{'jsonl' if form == 'json' else form}"
        if form == "parquet":
            frame.write_parquet(file)
        elif form == "csv":
            _cells(frame).write_csv(file)
        else:
            _write_lines(frame, file)
        files.append(file)
    about = out / "schema.json"
    columns = {f.name: {c: str(t) for c, t in getattr(found, f.name).schema.items()} for f in fields(Frames)}
    about.write_bytes(orjson.dumps({"version": EXPORT_VERSION, "tables": columns}, option=orjson.OPT_INDENT_2))
    return [*files, about]


def _cells(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame for spreadsheets; Parquet and JSON keep every character."""
    import polars as pl

    return frame.with_columns(pl.col(pl.String).map_elements(cell, return_dtype=pl.String))


def _write_lines(frame: pl.DataFrame, file: Path) -> None:
    """JSON Lines, in which a terminal finds nothing to obey; read back, every character is there."""
    with file.open("w", encoding="utf-8", newline="") as out:
        for part in frame.iter_slices(10_000):
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
    rows.append(["PB", "95 % interval", *(words.interval(e.ci, 2) if e else words.MISSING for e in estimates)])
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
