"""Where an identity's words stand in the answers of a study."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from evenhand.analysis import Settings
from evenhand.analysis.showing import Showing, Shown, showings
from evenhand.identities import without_article
from evenhand.study import Store
from evenhand.types import BASELINE_CATEGORY

# item -> (personalizer, who) -> answers.
Answers = Mapping[str, Mapping[tuple[str, str], Sequence[str]]]


def words_of(identity: str, parts: Sequence[str] = ()) -> re.Pattern[str]:
    """What says an identity: its name without its article and without "person", any part of an intersection, plural or
    not, in any case."""
    names = [re.sub(r" person$", "", without_article(name.strip()), flags=re.I) for name in parts or (identity,)]
    plain = [r"[\s\-]+".join(map(re.escape, re.split(r"[\s\-]+", name))) for name in names]
    return re.compile(rf"\b(?:{'|'.join(plain)})(?:e?s)?\b", re.IGNORECASE)


def identities_shown(store: Store, settings: Settings) -> tuple[Showing, ...]:
    """How often each identity shows in the answers to questions that did not bring it up, per suite and personalizer.

    Whole answers only: what is empty, cut or filtered, or a scored choice, is left out. Words with another meaning
    ("straight") are said without being told, too: the difference from the others' answers is what counts.
    """
    people = [row for row in store.identities() if row["category"] != BASELINE_CATEGORY]
    found: list[Shown] = []
    for suite in (row["suite"] for row in store.suites()):
        answers: defaultdict[str, defaultdict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
        for item, personalizer, identity, text in store.whole_answers(suite):
            answers[item][personalizer, identity].append(text)
        questions = {key: item.prompt for key, item in store.items(suite).items() if key in answers}
        for row in people:
            words = words_of(row["name"], row["parts"])
            fitting = {item: answers[item] for item, text in questions.items() if not words.search(text)}
            ways = sorted({way for told in fitting.values() for way, who in told if who == row["name"]})
            found += [_shown(suite, way, row["name"], words, fitting) for way in ways]
    return showings(found, draws=settings.draws, seed=settings.seed)


def _shown(suite: str, personalizer: str, identity: str, words: re.Pattern[str], answers: Answers) -> Shown:
    own = [_percent(words, told.get((personalizer, identity), ())) for told in answers.values()]
    # An intersection is told its parts: it is no witness of what is said without being told.
    others = [
        _percent(words, [text for (_, who), texts in told.items() if not words.search(who) for text in texts])
        for told in answers.values()
    ]
    return Shown(suite, personalizer, identity, tuple(answers), np.array(own), np.array(others))


def _percent(words: re.Pattern[str], texts: Sequence[str]) -> float:
    return 100 * sum(bool(words.search(text)) for text in texts) / len(texts) if texts else float("nan")
