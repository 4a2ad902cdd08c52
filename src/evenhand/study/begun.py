"""Which studies have begun below a folder."""

from __future__ import annotations

from pathlib import Path

from evenhand.study.store import STORE_FILE, Store


def begun_below(folder: Path, pattern: str) -> list[Path]:
    """Directories of studies that a run has begun, in order; a kill may have come before that.

    Args:
        folder: where to look.
        pattern: of directories in it.

    Raises:
        StoreError: one of them is damaged.
    """
    found = sorted(file.parent for file in folder.glob(f"{pattern}/{STORE_FILE}"))
    return [directory for directory in found if _has_begun(directory)]


def _has_begun(directory: Path) -> bool:
    if not Store.is_begun(directory):
        return False
    with Store.open(directory) as store:
        return bool(store.runs())
