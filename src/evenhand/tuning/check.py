"""Whether a tuned model still answers: a few dozen safe prompts of the choosing part, with the adapter and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.analysis.collapse import Collapse
from evenhand.collapsing import collapse_between
from evenhand.errors import DataError
from evenhand.identities import select
from evenhand.runner import run_study
from evenhand.study import Store, StudySpec
from evenhand.suites import DataSource
from evenhand.tuning.spec import TuningSpec

_SHIPPED = "starter-utility:knowledge+arithmetic+reasoning"
# Safe prompts that look unsafe, on which over-refusal shows first; asked where this file is at hand.
_LOOKS_UNSAFE, _FILE = "xstest-safe", "xstest_prompts.csv"
_TOKENS = 32
FOLDER = "check"
ITEMS = 24


@dataclass(frozen=True)
class Asked:
    """Who the check asks as, besides nobody in particular, and where its data lies: as in the study learned from."""

    identity: str
    data_dir: Path | None = None


def check(
    spec: TuningSpec, adapter: Path, asked: Asked, items: int, *, tell: Callable[[str], None] = lambda _: None
) -> Collapse:
    """Ask the model safe prompts with its adapter and without, greedily, and compare.

    Both are studies below ``adapter / "check"``: killed, they go on; their answers can be read.

    Args:
        spec: of the tuning.
        adapter: the trained adapter.
        asked: as whom.
        items: prompts at most of each suite.
        tell: told what is being done.

    Raises:
        EvenhandError: anything a user can fix.
    """
    suites = [*([_LOOKS_UNSAFE] if _at_hand(asked.data_dir) else []), _SHIPPED]
    folders = {name: adapter / FOLDER / name for name in ("before", "after")}
    for name, folder in folders.items():
        tell(f"check {name}: at most {items} safe prompts each of {' and '.join(suites)}")
        study: dict[str, Any] = {
            "model": spec.model, "suites": suites, "identities": (asked.identity,), "baselines": ("plain",),
            "limit": items, "split": "choose", "seed": spec.seed, "data_dir": asked.data_dir,
            "decoding": {"temperature": 0.0, "max_tokens": _TOKENS},
            "options": {"dtype": spec.dtype, "adapter": str(adapter) if name == "after" else None},
        }  # fmt: skip
        run_study(StudySpec.parse(study, "the check of an adapter"), folder)
    with Store.open(folders["before"]) as before, Store.open(folders["after"]) as after:
        return collapse_between(before, after)


def asked_as(spec: TuningSpec, study: Path | None) -> Asked:
    """As whom the check asks: the first identity of the study that was learned from, else of the recipe's."""
    if study is None:
        return Asked(next(i.name for i in select(spec.identities) if not i.is_baseline))
    with Store.open(study) as store:
        baselines = store.baselines()
        name = next(row["name"] for row in store.identities() if row["name"] not in baselines)
        folder = store.runs()[-1]["spec"].get("data_dir")
    return Asked(name, Path(folder) if folder and Path(folder).is_dir() else None)


def _at_hand(data_dir: Path | None) -> bool:
    """Whether the file is here; the hub is not asked for a check."""
    try:
        found = DataSource(data_dir).data_dir
    except DataError:
        return False
    return found is not None and any(found.rglob(_FILE))
