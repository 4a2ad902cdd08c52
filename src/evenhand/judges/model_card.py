"""The languages that a model's card names, from files that are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evenhand.judges.language import language_names

_CARD = "README.md"


def card_languages(path: str) -> frozenset[str] | None:
    """The languages of a model as its card's metadata has them (ISO 639-1 codes); nothing is downloaded.

    Args:
        path: a folder, or a name of the hub whose card is in its cache.

    Returns:
        None where there is no card, it does not say, or names what is no language that can be told apart.
    """
    from huggingface_hub import ModelCard, try_to_load_from_cache

    found = str(Path(path) / _CARD) if Path(path).is_dir() else try_to_load_from_cache(path, _CARD)
    if not isinstance(found, str) or not Path(found).is_file():
        return None
    try:
        said = ModelCard.load(found, ignore_metadata_errors=True).data.to_dict().get("language")
    except Exception:  # whatever somebody wrote into a card, the classifier works without it
        return None
    names = [said] if isinstance(said, str) else said if isinstance(said, Sequence) else []
    # A region or a script behind the code makes no other language here ("zh-CN", "pt_BR").
    codes = {str(name).strip().lower().replace("_", "-").partition("-")[0] for name in names}
    return frozenset(codes) if codes and codes <= language_names().keys() else None
