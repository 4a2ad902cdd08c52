"""Sequence classifiers of the Hugging Face hub, or of a folder: what is said of one, and what it says of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evenhand.errors import ModelError, SpecError
from evenhand.extras import importing
from evenhand.judges.language import language_names
from evenhand.models import ModelOptions

ANY = "any"
LANGUAGES = "languages"
_MAX_TOKENS = 2048


def options_in(query: str, names: Sequence[str], who: str, example: str) -> dict[str, set[str]]:
    """What stands behind the question mark of a reference ("good=fine|great&languages=en"): option -> its values.

    Args:
        query: without the question mark.
        names: of the options that there are, "languages" besides.
        who: whose they are, for messages.
        example: how to write them.

    Raises:
        SpecError: an option or a language that is not known.
    """
    known = (*names, LANGUAGES)
    found: dict[str, set[str]] = {}
    for part in re.split(rf"&(?=(?:{'|'.join(known)})=)", query) if query else []:
        name, _, values = part.partition("=")
        if name not in known:
            raise SpecError(f"{who} has no option '{name}'.", f"Write {example}.")
        found[name] = {value.strip() for value in values.split("|") if value.strip()}
    if unknown := found.get(LANGUAGES, set()) - {*language_names(), ANY}:
        raise SpecError(
            f"{who} names no language by '{min(unknown)}'.",
            f"Write two letters each, such as en|de, or {ANY}. Known: {', '.join(sorted(language_names()))}.",
        )
    return found


class TextClassifier:
    """A classifier of texts. Nothing is loaded before :meth:`load`.

    Args:
        path: its name or folder.
        options: device and ``trust_remote_code``.
        who: whose it is, for messages ("The judge hf:NAME").

    Attributes:
        labels: its classes, once loaded.
        revision: the hub's commit, or "".
        several: whether a text may be of several classes at once.
    """

    def __init__(self, path: str, options: ModelOptions, who: str) -> None:
        self.path = path
        self.labels: list[str] = []
        self.revision: str = ""
        self.several: bool = False
        self._options, self._who = options, who
        self._max_tokens = _MAX_TOKENS
        self._tokenizer: Any = None
        self._model: Any = None

    @property
    def is_loaded(self) -> bool:
        return self._model is not None

    def load(self) -> None:
        """Read it from its folder, the hub's cache, or the hub.

        Raises:
            ModelError: it cannot be loaded.
        """
        with importing("local", self._who):
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        trust = self._options.trust_remote_code
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self.path, trust_remote_code=trust)
            self._model = AutoModelForSequenceClassification.from_pretrained(
                self.path, trust_remote_code=trust, use_safetensors=None if trust else True
            )
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{self._who} cannot be loaded: {first}", "Check its name or path.") from None
        device = self._options.device
        if device != "auto":
            self._model.to(device)
        self._model.eval()
        config = self._model.config
        self.labels = [str(config.id2label[k]) for k in range(config.num_labels)]
        self.several = getattr(config, "problem_type", None) == "multi_label_classification"
        positions = getattr(config, "max_position_embeddings", None) or _MAX_TOKENS
        # Roberta-like models keep the first two positions for themselves.
        self._max_tokens = min(_MAX_TOKENS, positions - 2)
        self.revision = (getattr(config, "_commit_hash", None) or "")[:12]

    def best(self, texts: list[str]) -> list[tuple[int, float]]:
        """The likeliest class of each text, by its place, and its probability."""
        best = self._logits(texts).softmax(-1).max(-1)
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def probabilities(self, texts: list[str]) -> list[list[float]]:
        """The probability of each class for each text, shape (texts, classes)."""
        logits = self._logits(texts)
        found: list[list[float]] = (logits.sigmoid() if self.several else logits.softmax(-1)).tolist()
        return found

    def _logits(self, texts: list[str]) -> Any:
        import torch

        inputs = self._tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=self._max_tokens)
        with torch.inference_mode():
            return self._model(**inputs.to(self._model.device)).logits.float()
