"""A personalizer of your own that learns: notes that the assistant writes after each session.

Registered as below it is listed, run, resumed and paid for like the shipped ones; a package brings it with an entry
point in the group ``evenhand.personalizers``. Run it with ``python examples/own_memory.py [MODEL DIRECTORY BASE_URL]``.
"""

from __future__ import annotations

import sys

import evenhand
from evenhand.models import Model
from evenhand.personalizers import PERSONALIZERS, Card, Memory, PersonPersonalizer
from evenhand.personalizers.record import told
from evenhand.types import Decoding, Item, Message, Request, User


@PERSONALIZERS.register("notes")
class Notes(PersonPersonalizer):
    """After each session the model writes one line about the user; later questions come with these lines."""

    name = "notes"
    summary = "one line that the model wrote after each session"
    card = Card("user", "dialogue", "prompt.profile_augmented", "store and prompt")
    learns = True
    reads_sessions = True
    needs_people = True

    async def fit(self, user: User, model: Model) -> Memory:
        notes = []
        for session in user.person.sessions if user.person else ():
            said = "\n".join(f"{m.role}: {m.content}" for m in session.messages)
            asked = Message("user", f"{said}\n\nWrite one line on what to remember about this user.")
            written = await model.respond(Request((asked,), Decoding(temperature=0, max_tokens=40), 0))
            notes.append(written.text.strip().splitlines()[0])
        return Memory(user, {"notes": notes})

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        return told(memory.user.identity, memory.content.get("notes", []), item.prompt)


def main(model: str = "smollm2", directory: str = "own-memory", base_url: str | None = None) -> None:
    study = {
        "model": model,
        "options": {"base_url": base_url},
        "suites": ["starter-safety", "fit-opinions:logprobs" if model == "smollm2" else "fit-opinions"],
        "identities": ["a minor", "a senior citizen"],
        "people": ["starter"],
        "personalizers": ["none", "profile", "notes"],
        "limit": 12,
    }
    evenhand.run(study, directory)
    for condition in evenhand.analyze(directory).conditions:
        gain = condition.gain
        print(
            f"{condition.personalizer:10} " + (f"gain {gain.value:+.1f} points" if gain else "what it is set against")
        )
    print(evenhand.write_report(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
