"""Write the people of ``starter`` into the package, from the texts that lie here.

    python training/people/write.py

``opinions.toml`` and ``preferences.toml`` hold the shared pools of questions and requests; ``persons/*.toml`` the
people, who name what they answer by the pools' keys: ``holiday=cabin`` is an opinion, ``stain:steps>warm`` a
preference of one answer over another. ``states`` says which facts a session tells; it is for the tests and does not
reach the catalogue. The same texts give the same bytes.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import orjson

SOURCES = Path(__file__).parent
PEOPLE = Path(__file__).parents[2] / "src" / "evenhand" / "people" / "data" / "starter.jsonl"
SENSITIVE = ("health", "family")
"""Topics of facts that are sensitive of everybody; a person's own ``sensitive`` adds to them."""

Table = dict[str, Any]


def written_people() -> list[Table]:
    """The tables of ``persons/*.toml``, in the order of their files."""
    return [person for path in sorted((SOURCES / "persons").glob("*.toml")) for person in _read(path)["person"]]


def written_questions() -> Table:
    """The tables of ``opinions.toml`` by key; the first and second belong together, the third and fourth, and so on."""
    return _read(SOURCES / "opinions.toml")


def people() -> list[Table]:
    """Everybody as the catalogue holds them: ``name``, ``facts``, ``sessions``, ``opinions`` and ``preferences``.

    Raises:
        KeyError: A person names a question, an option, a request or an answer that the pools lack.
    """
    questions, requests = written_questions(), _read(SOURCES / "preferences.toml")
    return [_person(written, questions, requests) for written in written_people()]


def as_jsonl(people: list[Table]) -> bytes:
    """One person per line."""
    return b"".join(orjson.dumps(person, option=orjson.OPT_APPEND_NEWLINE) for person in people)


def _read(path: Path) -> Table:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _person(written: Table, questions: Table, requests: Table) -> Table:
    return {
        "name": written["name"],
        "facts": _facts(written),
        "sessions": [_session(s) for s in written["sessions"]],
        "opinions": [
            _opinion(text, questions, held_out) for text, held_out in _halves(written["known"], written["held"])
        ],
        "preferences": [
            _preference(text, requests, held_out)
            for text, held_out in _halves(written["known_pairs"], written["held_pairs"])
        ],
    }


def _halves(known: str, held: str) -> list[tuple[str, bool]]:
    return [(text, False) for text in known.split()] + [(text, True) for text in held.split()]


def _facts(written: Table) -> list[Table]:
    sensitive = {*SENSITIVE, *written.get("sensitive", ())}
    return [{"text": text, "topic": topic, "sensitive": topic in sensitive} for topic, text in written["facts"].items()]


def _session(written: Table) -> Table:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(written["turns"])]
    return {"messages": messages, "feedback": written["feedback"]}


def _opinion(text: str, questions: Table, held_out: bool) -> Table:
    name, answer = text.split("=")
    question = questions[name]
    options: dict[str, str] = question["options"]
    return {
        "question": question["question"],
        "options": list(options.values()),
        "answer": options[answer],
        "held_out": held_out,
    }


def _preference(text: str, requests: Table, held_out: bool) -> Table:
    name, _, pair = text.partition(":")
    chosen, rejected = pair.split(">")
    request = requests[name]
    return {
        "prompt": request["prompt"],
        "chosen": request[chosen],
        "rejected": request[rejected],
        "held_out": held_out,
    }


if __name__ == "__main__":
    PEOPLE.parent.mkdir(parents=True, exist_ok=True)
    found = people()
    PEOPLE.write_bytes(as_jsonl(found))
    print(f"{len(found)} people written to {PEOPLE}")
