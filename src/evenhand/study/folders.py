"""Studies below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evenhand.study.store import STORE_FILE

_DEPTH = 4


def studies_below(root: Path) -> Iterator[Path]:
    """Directories with a store, not below one another, and not through links; the folder itself if it is one."""
    for place, folders, files in os.walk(root):
        here = Path(place)
        if STORE_FILE in files:
            yield here
        if STORE_FILE in files or len(here.relative_to(root).parts) >= _DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
