"""People for tests: small records, each of which differs from the others."""

from __future__ import annotations

from pathlib import Path

import orjson

from evenhand.people import plain_person, read_person
from evenhand.types import Person

_PETS = ("two greyhounds", "a tortoise", "a parrot", "a rabbit")
_JOBS = ("as a baker", "as a surveyor", "at a ferry port", "with maps")


def person(number: int) -> Person:
    """One of four people."""
    likes = number % 2
    return read_person(
        {
            "name": f"p{number}",
            "facts": [
                {"text": f"Keeps {_PETS[number % 4]}.", "topic": "home"},
                {"text": f"Works {_JOBS[number % 4]}.", "topic": "job", "sensitive": True},
            ],
            "sessions": [
                {
                    "messages": [
                        {"role": "user", "content": f"I keep {_PETS[number % 4]}. What do they eat?"},
                        {"role": "assistant", "content": "It depends on their size."},
                    ],
                    "feedback": "Shorter, please." if likes else "",
                }
            ],
            "opinions": [
                {"question": "Sea or hills?", "options": ["Sea", "Hills"], "answer": ("Sea", "Hills")[likes]},
                {
                    "question": "Early or late?",
                    "options": ["Early", "Late"],
                    "answer": ("Early", "Late")[likes],
                    "held_out": True,
                },
            ],
            "preferences": [
                {"prompt": "Plan my day.", "chosen": f"Plan {number}.", "rejected": "A plan.", "held_out": True}
            ],
        },
        f"person {number}",
    )


def write_people(path: Path, count: int = 4) -> Path:
    """A catalogue of them, as JSONL."""
    path.write_bytes(b"\n".join(orjson.dumps(plain_person(person(n))) for n in range(count)))
    return path
