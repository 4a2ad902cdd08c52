"""What a study's answers were told of their users, and what its memories learned of facts that changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from evenhand.analysis.editing import Editing, editings
from evenhand.personalizers.record import lines_in
from evenhand.study import Store
from evenhand.study.rows import decode_request
from evenhand.suites.edits import Edits
from evenhand.types import BASELINE_CATEGORY, PERSON_BASELINE


@dataclass(frozen=True)
class Used:
    """What one answer was told of the user: read from the conversation that was sent.

    Attributes:
        suite, item, personalizer, identity, repeat: which answer.
        facts: the lines of the block on the user, in their order.
        sensitive: those of them that are sensitive facts of the person, or attributes of the identity.
    """

    suite: str
    item: str
    personalizer: str
    identity: str
    repeat: int
    facts: tuple[str, ...]
    sensitive: tuple[str, ...]


def used(store: Store) -> list[Used]:
    """What each answer of a study was told of its user, where it was told anything as a block; in the items' order."""
    identities = store.identities()
    fields = {row["category"] for row in identities} | {"about"}
    nobody = {row["name"] for row in identities if row["category"] == BASELINE_CATEGORY} - {PERSON_BASELINE}
    found = []
    for suite in (row["suite"] for row in store.suites()):
        for item in store.items(suite).values():
            secret = {fact.text for fact in item.person.facts if fact.sensitive} if item.person else set()
            for row in store.transcripts(suite, item.id):
                facts = lines_in(decode_request(row["request"]))
                sensitive = [line for line in facts if line in secret or _is_attribute(line, fields)]
                cell = (suite, item.id, row["personalizer"], row["identity"], row["repeat"])
                if row["identity"] not in nobody:
                    found.append(Used(*cell, tuple(facts), tuple(sensitive)))
    return found


def _is_attribute(line: str, fields: Collection[str]) -> bool:
    """Whether a line is an attribute of the identity; what a user said has quotes behind its relation."""
    field, colon, value = line.partition(": ")
    return bool(colon) and field.lower() in fields and not value.startswith('"')


def facts_used(path: Path | str) -> list[Used]:
    """What each answer of a study was told of its user.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return used(store)


def edits_learned(path: Path | str) -> list[Editing]:
    """What the personalizers of a study learned of the facts that people took back, where it has the suite ``edits``.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return editings((row for row in store.scores() if row.suite.partition(":")[0] == Edits.name), Edits.kinds)
