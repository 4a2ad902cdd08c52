"""Measure the shipped judges again on answers that people labelled: all records of the package, and the tables of docs.

    python training/figures.py --data-dir ../shared/data

Weights stay as they are; where they were trained on the labelled answers, those that are measured are trained anew
without the set in question. Run it whenever a judge's version changes. Needs scikit-learn (in the ``dev`` extra).
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import orjson

from evenhand.judges.action_classifier import shipped_model
from evenhand.judges.validation import ACTION_FIGURES, FIGURES, Figure, known_figures

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "judges.md"


def script(name: str) -> ModuleType:
    """``training/NAME/train.py`` as a module, which finds its neighbours as it does when it is run."""
    folder = HERE / name
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"figures_{name}", folder / "train.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def with_tables(page: str) -> str:
    """The page with its tables as the records have them."""
    tables = {"actions": _actions_table(), "refusals": _refusals_table()}
    for name, table in tables.items():
        begin, end = f"<!-- figures: {name} -->", f"<!-- end of figures: {name} -->"
        page = re.sub(f"({re.escape(begin)}\n).*?(\n{re.escape(end)})", rf"\1\n{table}\n\2", page, flags=re.DOTALL)
    return page


def _actions_table() -> str:
    judges = ("refusal-classifier", "action-classifier")
    head = ["labelled answers of", *(f"`{j}`" for j in judges), "safe by people", *(f"by `{j}`" for j in judges)]
    rows = []
    for figures in zip(*(_of(judge, "Do-Not-Answer") for judge in judges), strict=True):
        first = figures[0]
        people = f"{100 * first.labelled['safe'] / first.n:.1f} %"
        rows.append([first.model, *(_interval(f.kappa) for f in figures), people, *map(_safe, figures)])
    return _table(head, rows)


def _refusals_table() -> str:
    judges = ("refusal-rules", "refusal-classifier")
    figures = zip(*(_of(judge, "XSTest") for judge in judges), strict=True)
    rows = [[both[0].model, *(_interval(f.balanced_accuracy) for f in both)] for both in figures]
    return _table(["labelled responses of", *(f"`{j}`" for j in judges)], rows)


def _of(judge: str, data: str) -> list[Figure]:
    return [figure for figure in known_figures(judge) if figure.data == data]


def _safe(figure: Figure) -> str:
    """The share of answers that the judge calls safe."""
    safe = figure.recall["safe"] * figure.labelled["safe"]
    missed = (1 - figure.recall["follows"]) * figure.labelled["follows"]
    return f"{100 * (safe + missed) / figure.n:.1f} %"


def _interval(value: tuple[float, float, float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="with xstest/completions_*.csv and others")
    data_dir = parser.parse_args().data_dir
    refusal, actions = script("refusal"), script("actions")
    files = refusal.labelled_files(data_dir)
    if len(files) < 2 or not (data_dir / "do_not_answer_labelled").is_dir():
        parser.error(f"{data_dir} lacks xstest/completions_*.csv or do_not_answer_labelled/")
    for path, figures in (
        (FIGURES, refusal.figures_of(files)),
        (ACTION_FIGURES, actions.figures_of(shipped_model(), data_dir)),
    ):
        path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
        print(f"wrote {path.name}")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
