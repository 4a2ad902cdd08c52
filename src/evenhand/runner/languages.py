"""In which language identities are told, as far as a study has begun with it, and who can read the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evenhand.errors import SpecError
from evenhand.identities import ENGLISH, Begun, registered
from evenhand.judges import Judge
from evenhand.mitigations import Mitigation
from evenhand.personalizers import Memory, Personalizer, PersonPersonalizer
from evenhand.personalizers.template import SystemTemplate
from evenhand.study import Store
from evenhand.study.notes import LANGUAGES_META
from evenhand.study.reading import CATALOGUES_META
from evenhand.suites import Suite
from evenhand.types import Identity, Item, User

if TYPE_CHECKING:  # the plan is checked here while it is made
    from evenhand.runner.plan import Plan

_ITEM = Item("", "?", "", "?")


def begun_with(store: Store) -> Begun:
    """Whom a study has told of already; nobody where a kill came before it kept from which catalogues they are."""
    if store.meta(CATALOGUES_META) is None and not store.count_trials():
        return Begun()
    versions, told = store.catalogues(), store.identities()
    held = [c.at(versions[c.name]) for c in registered() if c.name in versions]
    known = {identity.name for catalogue in held for identity in catalogue.identities}
    free = {row["name"] for row in told if row["category"] == "custom"}
    return Begun(
        versions,
        free | {part for row in told for part in row["parts"] if part not in known},
        {tuple(row["parts"]): row["name"] for row in told if row["parts"]},
    )


def check_told(store: Store, plan: Plan) -> None:
    """Refuse to tell an identity otherwise than the study did: what was free text has a category in catalogues by now.

    Raises:
        SpecError: it was free text, and the run names it by its category.
    """
    free = {row["name"] for row in store.identities() if row["category"] == "custom"}
    documented = {identity for c in registered() if c.is_documented for identity in c.identities}
    for identity in plan.identities:
        if identity.name in free and identity in documented:
            raise SpecError(
                f"The study {store.directory} told of '{identity.name}' as free text; here it is of the category "
                f"'{identity.category}'.",
                f"Name those of the category one by one and '{identity.name}' among them, or choose another --out.",
            )


def check_languages(
    personalizers: Sequence[Personalizer],
    suites: Sequence[Suite],
    identities: Sequence[Identity],
    mitigation: Mitigation,
) -> None:
    """Refuse what would be told in English, or not be found, where a suite has another language.

    Raises:
        SpecError: a personalizer or mitigation knows English alone; there are no words for an identity.
    """
    people = [identity for identity in identities if not identity.is_baseline]
    for suite in suites:
        if suite.language == ENGLISH:
            continue
        name = suite.language.name
        if not mitigation.any_language:
            raise SpecError(
                f"The mitigation '{mitigation.name}' looks for what is said of the user in English, and the suite "
                f"'{suite.id}' is in {name}: it would do nothing there.",
                "Leave one of them out. Prompt defenses (defense:TEXT), self-check and steer act in any language.",
            )
        for personalizer in personalizers:
            if not personalizer.translated:
                raise SpecError(
                    f"The personalizer '{personalizer.name}' tells in English; the suite '{suite.id}' is in {name}.",
                    "Use system, user, none, profile, or a template of your own.",
                )
            for identity in filter(personalizer.supports, people):
                if isinstance(personalizer, PersonPersonalizer):
                    personalizer.recall_in(suite.language, Memory(User(identity=identity)), _ITEM)
                else:
                    personalizer.messages_in(suite.language, identity, _ITEM.prompt)


def keep_words(store: Store, plan: Plan) -> None:
    """Tell in the words that the study began with, whatever the language says by now.

    Raises:
        SpecError: a suite was asked in another language.
    """
    kept, asked = store.meta(LANGUAGES_META, {}), store.asked_items()
    for loaded in plan.suites:
        suite = loaded.suite
        before = kept.get(suite.id)
        if suite.id in asked and (before["code"] if before else ENGLISH.code) != suite.language.code:
            raise SpecError(
                f"The study {store.directory} asked {suite.id} in {before['name'] if before else ENGLISH.name}, not in "
                f"{suite.language.name}.",
                "Answers to both must not mix: use that language, or choose another --out.",
            )
        if before:
            suite.language = suite.language.as_begun(before)


def hold_words(store: Store, plan: Plan) -> None:
    """Keep in which words suites in other languages than English are told who asks; those of earlier runs stay."""
    held = store.meta(LANGUAGES_META, {})
    for suite in (loaded.suite for loaded in plan.suites if loaded.suite.language != ENGLISH):
        now, before = suite.language.said_of(plan.identities), held.get(suite.id, {})
        tables = {name: {**now[name], **before.get(name, {})} for name in ("categories", "identities")}
        held[suite.id] = {**now, **tables, "translated_by": suite.translated_by}
    if held:
        store.set_meta(LANGUAGES_META, held)


def reading_notes(plan: Plan, judges: Mapping[str, Judge]) -> list[str]:
    """What to say, before anything is asked, of suites in other languages than English.

    Args:
        plan: the study.
        judges: by their names; one that learns only when it is started what it knows has been.
    """
    notes: list[str] = []
    for loaded in plan.suites:
        suite, language = loaded.suite, loaded.suite.language
        if language == ENGLISH:
            continue
        judge = judges[plan.judges[suite.id]]
        if not judge.reads(language.code):
            there = f"of answers in it, it judges {judge.abroad}; the others" if judge.abroad else "answers in it"
            notes.append(
                f"the judge of {suite.id}, {judge.name}, does not know {language.name}: {there} will be missing. "
                f"A language model can judge them (--judge {suite.id}=llm-actions:MODEL, or another rubric)"
            )
        if judge.needs_reference and language.decimal != "." and any(i.target and not i.choices for i in loaded.items):
            notes.append(
                f"numbers in answers to {suite.id} are read as in English (1,000.5), and {language.name} has another "
                "mark before decimals: ask for whole numbers below 1,000, or for options"
            )
        notes += _told_otherwise(plan, suite)
    return notes


def _told_otherwise(plan: Plan, suite: Suite) -> list[str]:
    """What in the conversations of a suite is not in its language."""
    name, free = suite.language.name, [i.name for i in plan.identities if i.category == "custom"]
    untranslated = [text for text in free if text not in suite.language.identities]
    parts = {
        f"the phrases {', '.join(map(repr, untranslated))}": bool(untranslated),
        "what is known of people": any(item.person for loaded in plan.suites for item in loaded.items),
        "the template": any(isinstance(p, SystemTemplate) for p in plan.personalizers),
        f"the mitigation {plan.spec.mitigation}": plan.mitigation.name not in ("none", "steer"),
    }
    said = [part for part, there in parts.items() if there]
    return [f"{suite.id} is in {name}; told there as it is written: {', '.join(said)}"] if said else []
