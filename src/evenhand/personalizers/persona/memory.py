"""``persona-memory``: AI PERSONA (arXiv 2412.13103), a profile that is learned from sessions, field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.errors import SpecError
from evenhand.models import Model
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory, PersonPersonalizer
from evenhand.personalizers.persona.dictionary import Dictionary
from evenhand.personalizers.persona.sessions import batches
from evenhand.personalizers.persona.updates import Update, by_model, by_rules
from evenhand.personalizers.record import told
from evenhand.types import Item, Message, User

_EVERY = 3
_TOKENS = 800


@PERSONALIZERS.register("persona-memory")
class PersonaMemory(PersonPersonalizer):
    """After every third session the model changes the profile by a patch; later questions come with the profile.

    The identity is known from the start, as from an account: the updater is told it, no patch can change it, and every
    question comes with it. So all that differs between identities is what was learned under them, and how the model
    reacts. What the sessions tell is learned; facts, opinions and preferences of the record are not read.

    Args:
        options: between colons: ``rules`` (learned by rules, without a call), ``every=K`` (sessions in an update),
            ``tokens=N`` (of the model's patch; thoughts count), ``discreet`` (sensitive entries are kept, not told).

    Raises:
        SpecError: there is no such option, or its number is none.
    """

    name = "persona-memory"
    summary = "a profile that the model keeps of the person, changed after every third session (AI PERSONA)"
    states = False
    card = Card("user", "dialogue", "prompt.profile_augmented", "store and prompt")
    argument = "[OPTIONS]"
    needs_people = True
    learns = True
    reads_sessions = True

    def __init__(self, options: str = "") -> None:
        self.rules, self.discreet = False, False
        numbers = {"every": _EVERY, "tokens": _TOKENS}
        for option in filter(None, options.split(":")):
            name, _, value = option.partition("=")
            if option == "rules":
                self.rules = True
            elif option == "discreet":
                self.discreet = True
            elif name in numbers and value.isascii() and value.isdigit() and int(value) > 0:
                numbers[name] = int(value)
            else:
                raise SpecError(
                    f"The personalizer 'persona-memory' has no option '{option}'.",
                    "Write rules, every=K, tokens=N or discreet, with colons between: persona-memory:rules:every=1.",
                )
        self.every, self.tokens = numbers["every"], numbers["tokens"]

    async def fit(self, user: User, model: Model) -> Memory:
        dictionary = Dictionary()
        updates: list[Update] = []
        for batch in batches(user.person.sessions if user.person else (), self.every):
            if self.rules:
                dictionary, update = by_rules(dictionary, batch)
            else:
                dictionary, update = await by_model(dictionary, batch, user.identity, model, self.tokens)
            updates.append(update)
        if not updates:
            return Memory(user)
        return Memory(user, {"fields": dictionary.plain(), "updates": [update.plain() for update in updates]})

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        entries = Dictionary.read(memory.content.get("fields", {})).walk()
        lines = [_line(path, e.value) for path, e in entries if not (self.discreet and e.sensitive)]
        return told(memory.user.identity, lines, item.prompt)

    def remembered(self, content: Mapping[str, Any]) -> Sequence[str]:
        return [_line(path, entry.value) for path, entry in Dictionary.read(content.get("fields", {})).walk()]

    def shown(self, content: Mapping[str, Any]) -> Sequence[str]:
        lines = [
            f"{path}: {entry.value} [from {', '.join(entry.sources)}{'; sensitive' if entry.sensitive else ''}]"
            for path, entry in Dictionary.read(content.get("fields", {})).walk()
        ]
        for number, update in enumerate(map(Update.read, content.get("updates", ())), 1):
            lines += _history(number, update)
        return lines

    def counts(self, content: Mapping[str, Any]) -> Mapping[str, int]:
        updates = [Update.read(update) for update in content.get("updates", ())]
        return {
            "updates": len(updates),
            "edits": sum(len(update.edits) for update in updates),
            "without a word of their source": sum(not edit.echoes for update in updates for edit in update.edits),
            "patches refused": sum(len(update.refused) for update in updates if update.by == "model"),
            "kept as was": sum(update.kept for update in updates),
        }

    def notes(self, contents: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        updates = [Update.read(update) for content in contents for update in content.get("updates", ())]
        lost = [update for update in updates if update.kept]
        if not lost:
            return ()
        reason, _ = Counter(update.refused[-1] for update in lost).most_common(1)[0]
        return (
            f"{self.name}: {len(lost):,} of {len(updates):,} updates were no patch that could be used, and the profile "
            f"was kept as it was (most often: {reason}). persona-memory:rules learns without patches.",
        )


def _line(path: str, value: str) -> str:
    return f"{path.partition('/')[2].capitalize()}: {value}"


def _history(number: int, update: Update) -> list[str]:
    """One line for an update, one for each edit and each reason to refuse a patch."""
    sessions = ", ".join(map(str, update.sessions))
    outcome = "kept as it was" if update.kept else f"{len(update.edits)} edits" if update.edits else "nothing to change"
    lines = [f"update {number} (sessions {sessions}; by {update.by}): {outcome}"]
    lines += [f"  refused: {reason}" for reason in update.refused]
    for edit in update.edits:
        was = f" (was: {edit.was})" if edit.op == "replace" else ""
        source = edit.source if edit.echoes else f"{edit.source}, which has no word of it"
        lines.append(f"  {edit.op} {edit.path}: {edit.value or edit.was}{was} [from {source}]")
    return lines
