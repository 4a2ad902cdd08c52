"""The tone of open answers by a classifier that the user has: sentiment, toxicity, or anything else with classes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from evenhand.errors import ModelError, SpecError, did_you_mean
from evenhand.judges.grades import normal
from evenhand.judges.language import language_of
from evenhand.judges.model_card import card_languages
from evenhand.judges.text_classifier import ANY, LANGUAGES, TextClassifier, options_in
from evenhand.models import ModelOptions

_BATCH, _TELL = 16, 64
_KIND = "hf:"
_TAKEN = ("words", "reading_grade", "similarity")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
# What classifiers call the ends of a measure, where nobody says it.
_ENDS = {
    "sentiment": ({"positive", "pos", "very positive"}, {"negative", "neg", "very negative"}),
    "toxicity": ({"toxic", "toxicity", "hate", "hateful", "hate speech", "offensive"}, set[str]()),
}


class Tone:
    """One measure: how probable the classes at its high end are, less those at its low end.

    Args:
        name: of the measure ("sentiment").
        reference: ``hf:NAME_OR_FOLDER``, with ``?high=LABEL|LABEL&low=LABEL&languages=en|de`` behind it where needed:
            the classes of sentiment and toxicity are found by their usual names, and the languages are those of the
            classifier's card, else English.
        options: device and ``trust_remote_code``.

    Attributes:
        unit: of its values.
        languages: of the texts that get a value; None for all.

    Raises:
        SpecError: no classifier, an option that is not known, or a measure of which nobody says what is high.
    """

    def __init__(self, name: str, reference: str, options: ModelOptions | None = None) -> None:
        self.name: str = name
        self.reference: str = reference
        example = f"{_KIND}NAME_OR_FOLDER?high=LABEL|LABEL&low=LABEL"
        if not _NAME.fullmatch(name):
            raise SpecError(f"'{name}' is no name of a measure.", f"Write sentiment={_KIND}FOLDER.")
        if name in _TAKEN:
            raise SpecError(f"'{name}' is a measure of its own.", "Give yours another name.")
        path, _, query = reference.removeprefix(_KIND).partition("?")
        if not reference.startswith(_KIND) or not path:
            raise SpecError(f"The measure '{name}' needs a classifier, not '{reference}'.", f"Write {name}={example}.")
        said = options_in(query, ("high", "low"), f"The measure '{name}'", f"{name}={example}")
        if not said.get("high") and name not in _ENDS:
            raise SpecError(
                f"The measure '{name}' does not say which classes are high.",
                f"Write {name}={_KIND}{path}?high=LABEL. {did_you_mean(name, _ENDS)}".strip(),
            )
        self._said = said
        self._classifier = TextClassifier(path, options or ModelOptions(), f"The measure {name}")
        self.languages: Collection[str] | None = None

    @property
    def unit(self) -> str:
        lowest = "-100" if self._said.get("low") or _ENDS.get(self.name, ((), ()))[1] else "0"
        return f"points of probability, {lowest} to 100"

    def how(self, left_out: int) -> str:
        """What measured it, and on which answers.

        Args:
            left_out: answers without a value.
        """
        said = f"By {self.reference}, the words of identities masked."
        if not left_out:
            return said
        return f"{said} {left_out:,} answers that are not in {' or '.join(sorted(self.languages or ()))} are left out."

    def start(self) -> None:
        """Load the classifier.

        Raises:
            ModelError: it cannot be loaded, or has no such classes.
        """
        if self._classifier.is_loaded:
            return
        self._classifier.load()
        self._high, self._low = self._ends()
        languages = self._said.get(LANGUAGES) or card_languages(self._classifier.path) or {"en"}
        self.languages = None if ANY in languages else frozenset(languages)

    def of(self, texts: Sequence[str], tell: Callable[[int, int], None] = lambda done, of: None) -> dict[str, float]:
        """Each text's value in points; NaN for those in a language that the classifier is not known to know.

        Args:
            texts: any; the same text is asked about once.
            tell: told now and then how many are done, of how many.

        Raises:
            ModelError: the classifier cannot be loaded or fails.
        """
        self.start()
        unique = dict.fromkeys(texts)
        found = dict.fromkeys(unique, math.nan)
        # Texts of similar length share a batch: padding costs as much as text.
        known = sorted((text for text in unique if self._reads(text)), key=len)
        for begin in range(0, len(known), _BATCH):
            batch = known[begin : begin + _BATCH]
            found |= zip(batch, map(self._value, self._probabilities(batch)), strict=True)
            if begin // _BATCH % _TELL == _TELL - 1:
                tell(begin + len(batch), len(known))
        return found

    def _probabilities(self, texts: list[str]) -> list[list[float]]:
        try:
            return self._classifier.probabilities(texts)
        except Exception as error:
            raise ModelError(f"The measure {self.name} failed: {error}.") from None

    def _reads(self, text: str) -> bool:
        if not text.strip():
            return False
        language = language_of(text)
        return self.languages is None or language is None or language in self.languages

    def _value(self, probabilities: Sequence[float]) -> float:
        # Classes that exclude each other add up; of others a text may be of several at once.
        over: Callable[[Sequence[float]], float] = (lambda p: max(p, default=0.0)) if self._classifier.several else sum
        high, low = ([probabilities[k] for k in places] for places in (self._high, self._low))
        return 100 * (over(high) - over(low))

    def _ends(self) -> tuple[list[int], list[int]]:
        labels = self._classifier.labels
        usual = _ENDS.get(self.name, (set[str](), set[str]()))
        ends = []
        for end, names in zip(("high", "low"), usual, strict=True):
            said = self._said.get(end)
            # Where one end is said in the user's words, the other one is not guessed.
            wanted = said if said is not None else set() if "high" in self._said or "low" in self._said else names
            places = [k for k, label in enumerate(labels) if normal(label) in set(map(normal, wanted))]
            if (said and len(places) < len(said)) or (wanted and not places):
                raise ModelError(
                    f"The measure {self.name}: {self.reference} has no class {' or '.join(sorted(wanted))}.",
                    f"Its classes: {', '.join(labels)}. Write {self.name}={_KIND}{self._classifier.path}?{end}=LABEL.",
                )
            ends.append(places)
        if not ends[0] or set(ends[0]) & set(ends[1]) or len(labels) == 1:
            raise ModelError(
                f"The measure {self.name}: the classes of {self.reference} do not tell high from low.",
                f"Its classes: {', '.join(labels)}. Write {self.name}={_KIND}{self._classifier.path}?high=LABEL.",
            )
        return ends[0], ends[1]


def make_tones(references: Mapping[str, str], options: ModelOptions | None = None) -> list[Tone]:
    """Measures from name -> reference.

    Raises:
        SpecError: one is wrong.
    """
    return [Tone(name, reference, options) for name, reference in references.items()]
