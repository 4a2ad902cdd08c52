"""What identifies the exact weights of a local model."""

from __future__ import annotations

import hashlib
from pathlib import Path


def weights_revision(commit: object, path: str, adapter: str | None) -> str:
    """The hub's commit, or a digest of the folder; with that of the adapter behind a "+"."""
    base = str(commit) if commit else _folder_digest(Path(path))
    return f"{base}+{_folder_digest(Path(adapter))}" if adapter else base


def _folder_digest(folder: Path) -> str:
    """A digest of a model folder: contents of its small files, names and sizes of the large ones."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(p for p in folder.glob("*") if p.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size};".encode())
        if size < 1 << 20:
            digest.update(file.read_bytes())
    return f"local-{digest.hexdigest()}"
