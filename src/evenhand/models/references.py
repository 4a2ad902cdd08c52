"""What somebody meant who wrote a model's name without its kind, or a server's address that is not its root."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from yarl import URL

# What clients put behind the root, and what a root has in its path.
_CALL = re.compile(r"/(chat|completions|responses|models|embeddings|api/(chat|generate|tags))(/.*)?$")
_VERSION = re.compile(r"/(v\d|openai)")
_EMBEDDED = "HuggingFaceTB/SmolLM2-135M-Instruct"
_FILES = {".py": "python", ".toml": "http"}


def root_hint(base_url: str) -> str:
    """What to write for --base-url where nothing is found below it: a sentence, "" where it looks like a root."""
    url = URL(base_url)
    path = _CALL.sub("", url.path.rstrip("/"))
    if not _VERSION.search(path):
        path = f"{path}/v1"
    root = url.with_path(path).with_query(url.query)
    return "" if path == url.path.rstrip("/") else f"--base-url is the API's root. Write --base-url {root}."


def meant(reference: str, kinds: Sequence[str], base_url: str | None = None) -> str:
    """What to write instead of a reference whose kind is unknown: a sentence.

    Args:
        reference: as it was written ("gpt-4o-mini", "openai/gpt-4o", "llama3.2:3b").
        kinds: those that there are.
        base_url: the server that was named beside it, if any.
    """
    kind, colon, name = reference.partition(":")
    if near := difflib.get_close_matches(kind.lower(), kinds, n=1, cutoff=0.8):
        return f"Did you mean {near[0]}{colon}{name}?"
    for ending, known in _FILES.items():
        if ending in (Path(kind).suffix, Path(reference).suffix):
            return f"For an assistant of your own, write {known}:{reference}."
    if reference and Path(reference).is_dir():
        return f"For a model in a folder, write hf:{reference}."
    first, slash, rest = reference.partition("/")
    if slash and first.lower() in kinds:
        near_server = f" (or openai:{reference}, if that is its name on your server)" if base_url else ""
        return f"Write {first.lower()}:{rest}{near_server}."
    of_server = f"For a model behind an OpenAI-compatible server, write openai:{reference}"
    if slash and not colon and not base_url:
        return f"For a Hugging Face model, write hf:{reference}. {of_server} with --base-url."
    return f"{of_server}; others: {', '.join(f'{k}:' for k in kinds if k != 'smollm2')} and smollm2."


def shown_name(model: str) -> str:
    """A model's name for people, from its reference, without where it lies on this machine."""
    return hub_name(model) or Path(model.partition(":")[2]).name


def hub_name(model: str) -> str | None:
    """A model's name on the hub; None for a folder, and where it is none of the hub."""
    if model == "smollm2":
        return _EMBEDDED
    name = model.partition(":")[2]
    return name if name.count("/") == 1 and not Path(name).exists() and not name.startswith((".", "/", "~")) else None
