"""What happened while a study was run that a reader of its numbers must know."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from evenhand.judges.base import LANGUAGES_UNKNOWN, abroad_of
from evenhand.judges.winners import PAIRS, order_notes
from evenhand.personalizers import learner_of
from evenhand.study.reading import Reader
from evenhand.types import GARBLED, IN_LANGUAGE, TOO_SLOW

ADJUSTMENTS = "adjustments"
LIMITS = "max_tokens"
# Where an imported study's answers are from, and how they were read.
IMPORT_META = "import"
# Suite -> the words in which it was told who asks, where it is in another language than English.
LANGUAGES_META = "languages"
UNPAIRED = "unpaired"
# Under this key an item of an unpaired study has what its answer is balanced for.
COVARIATES = "covariates"

_SAID = {
    "system": "The server takes no system message ({said}): its text stood in the user's turn, a blank line between.",
    "api": "The model is served by the Responses API alone ({said}), and was asked through it.",
}


def study_notes(store: Reader) -> list[str]:
    """Sentences about how the study was asked, the weightiest first."""
    adjusted = adjustment_notes(store.meta(ADJUSTMENTS, {}))
    told = [*import_notes(store), *language_notes(store), *translation_notes(store), *memory_notes(store)]
    return [*told, *adjusted, *_limit_notes(store)]


def is_imported(store: Reader) -> bool:
    """Whether the answers were brought along: then no more can be asked."""
    return store.meta(IMPORT_META) is not None


def is_unpaired(store: Reader) -> bool:
    """Whether different people asked their own questions: then no two identities can be set side by side."""
    return bool(store.meta(IMPORT_META, {}).get("design") == UNPAIRED)


def import_notes(store: Reader) -> list[str]:
    """What must be known of answers that were brought along."""
    notes: list[str] = store.meta(IMPORT_META, {}).get("notes", [])
    return notes


def memory_notes(store: Reader) -> list[str]:
    """What the study's personalizers say of how their memories were learned."""
    contents: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for (personalizer, _, _), content in store.memories():
        contents[personalizer].append(content)
    learners = {reference: learner_of(reference) for reference in contents}
    return [note for name, learner in learners.items() if learner for note in learner.notes(contents[name])]


def language_notes(store: Reader) -> list[str]:
    """Which answers the study's judges cannot read, a sentence or three per suite that has some."""
    notes = []
    unscored = store.count_unscored()
    # Looking through all judgements takes a while where there are millions.
    asked, versions = (store.count_by("suite"), store.judge_versions()) if unscored else ({}, {})
    for (suite, judge), found in unscored.items():
        languages: Counter[str] = Counter()
        people: Counter[str] = Counter()
        for (identity, label), n in found.items():
            if label.startswith(IN_LANGUAGE):
                languages[label.removeprefix(IN_LANGUAGE)] += n
                people[identity] += n
        if languages:
            notes.append(_language_note(suite, judge, languages, people, asked[suite], versions.get(suite, ())))
        if garbage := sum(n for (_, label), n in found.items() if label == GARBLED):
            notes.append(f"{garbage:,} of {asked[suite]:,} answers to {suite} are garbage, and missing.")
        if slow := sum(n for (_, label), n in found.items() if label == TOO_SLOW):
            notes.append(f"{slow:,} of {asked[suite]:,} answers to {suite} kept the judge busy for too long: missing.")
    return notes


def translation_notes(store: Reader) -> list[str]:
    """Who put what was told into other languages, and who has read it: a sentence for each who did."""
    makers: defaultdict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for suite, words in store.meta(LANGUAGES_META, {}).items():
        makers[words["made_by"], words["reviewed_by"], words["translated_by"]][suite] = words["name"]
    notes = []
    for (made_by, reviewed_by, items_by), suites in makers.items():
        *first, last = dict.fromkeys(suites.values())
        names = f"{', '.join(first)} and {last}" if first else last
        told = f"Who asks is told in {names} in {', '.join(suites)}"
        maker = f"as {made_by} put it" if made_by else "and who put it so is not said"
        read = f"{reviewed_by} reviewed it" if reviewed_by else "no native speaker has reviewed it"
        items = f" The items were translated by {items_by}." if items_by else ""
        notes.append(f"{told}, {maker}; {read}.{items}")
    return [*notes, *_same_questions(store)]


def _same_questions(store: Reader) -> list[str]:
    """What it means for an axis that suites ask the same in several languages."""
    told = set(store.meta(LANGUAGES_META, {}))
    if not told:
        return []
    # Ids alone may be numbers that any suite has.
    asked = {
        suite: {(key, item.group, item.target) for key, item in store.items(suite).items()}
        for suite in store.asked_items()
    }
    together = [
        suite
        for suite, items in asked.items()
        if any(items & others for other, others in asked.items() if other != suite and {suite, other} & told)
    ]
    if not together:
        return []
    return [
        f"{', '.join(together)} ask the same questions in several languages. Together they are less evidence than as "
        "many questions: the interval of their axis is too narrow, and its p too small; those of each suite are not."
    ]


def comparison_notes(store: Reader) -> list[str]:
    """What judges that compare two answers made of their order, a sentence or two per suite that has one."""
    notes: list[str] = []
    baselines = store.baselines()[:1]
    judges = store.judges_in_use()
    for suite, versions in store.judge_versions().items():
        if any(version.startswith(PAIRS) for version in versions):
            rows = store.scores({suite: judges[suite]})
            floor = rows.where(rows.column("identity").is_in(baselines)).counts("label")
            notes += [f"{suite}: {note}" for note in order_notes(rows.counts("label"), floor)]
    return notes


def _language_note(
    suite: str, judge: str, languages: Counter[str], people: Counter[str], asked: int, versions: Iterable[str]
) -> str:
    count, (most, n) = languages.total(), people.most_common(1)[0]
    named = ", ".join(f"{name} ({k:,})" for name, k in languages.most_common())
    # What is judged of them is picked by what it says: no random part of the answers.
    abroad = abroad_of(judge)
    picked = f" Of such answers it judges {abroad}, and scores lean that way where there are many." if abroad else ""
    unsaid = any(LANGUAGES_UNKNOWN in version for version in versions)
    knows = "is not known to know (say so with ?languages=...)" if unsaid else "does not know"
    return (
        f"The judge of {suite}, {judge}, {knows} {named}: {count:,} of {asked:,} answers are missing for that, "
        f"most of them for {most} ({n:,}).{picked} A language model can judge them: evenhand judge again."
    )


def stopping_note(level: float) -> str:
    """What an adaptive study's stopping means for its numbers, whose intervals have this level."""
    return (
        f"The study stopped when it was precise enough. Its intervals have a level of {100 * level:.4g} %, so that "
        "with the looks on the way they hold in 95 %. Where few items show a difference, a study that stopped early "
        "met fewer of them than there are: its estimate rather lies low, which its interval allows for."
    )


def looked_note(level: float) -> str:
    """What it means for a study's numbers that its gate's looks may have ended it; intervals have this level."""
    return (
        f"The gate's looks may have ended this study. Its intervals have a level of {100 * level:.4g} %, so that over "
        "all looks they hold in 95 %. The estimates are not corrected for stopping: they lean towards what ended the "
        "study, low after a pass and high after a failure."
    )


def adjustment_notes(adjustments: Mapping[str, str]) -> list[str]:
    """What a model left out or asked otherwise -> a sentence each.

    Args:
        adjustments: as :meth:`evenhand.models.Model.adjustments` gives them.
    """
    left_out = "The server does not take {name} ({said}): it was left out, and the server's own value holds."
    return [_SAID.get(name, left_out).format(name=name, said=said) for name, said in adjustments.items()]


def _limit_notes(store: Reader) -> list[str]:
    limits = store.meta(LIMITS, [])
    if len(limits) < 2:
        return []
    steps = ", then ".join(f"from {before:,} to {after:,}" for before, after in itertools.pairwise(limits))
    return [f"max_tokens was raised {steps}: {store.count_replaced():,} answers that it had cut were asked again."]
