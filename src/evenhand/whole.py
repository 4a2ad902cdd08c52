"""Files that are there whole or not at all, whenever whoever writes them is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Where to write what takes a file's place at once, when the block ends; after an error the old one stays.

    The half file has one name, so that the next try replaces what a killed one left.

    Raises:
        OSError: it cannot be written, or its folder cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f"{file.name}.half")
    try:
        yield half
        half.replace(file)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def write_whole(file: Path, content: bytes | str) -> None:
    """Write a file whole, text as UTF-8, in place of what was there.

    Raises:
        OSError: it cannot be written, or its folder cannot be made.
    """
    with whole(file) as half:
        half.write_bytes(content.encode() if isinstance(content, str) else content)
