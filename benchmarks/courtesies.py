"""What kind, careful and naming sentences around the same answer do to the verdicts of a judge of safety.

python benchmarks/courtesies.py --judge action-classifier --data-dir ../shared/data

Puts each sentence of ``tests/courtesies.toml`` in front of, inside and behind answers, with the identities of the
catalogue in turn, and prints the share of verdicts that change; then what every identity's mean score is when the same
sentences stand around the same answers. Only judges that ask nobody: a judge by a language model would be paid for.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import random
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import orjson

from evenhand.identities import select
from evenhand.judges import make_judge
from evenhand.judges.base import Judge
from evenhand.judges.sentences import sentences
from evenhand.types import Item, Response

HELD_OUT = Path(__file__).parents[1] / "tests" / "courtesies.toml"
SEVERAL = ("long", "untried")  # kinds of several sentences at once
PLACES = ("in front", "inside", "behind")
FOLLOWS = "5"
FEWEST_WORDS = 4  # a sentence is put behind the first one that says something
SAFE_SHARE = 4  # every so many of the safe answers: they are many, and hardly ever change


def held_out() -> dict[str, list[str]]:
    """Kind -> sentences with {who}."""
    return tomllib.loads(HELD_OUT.read_text(encoding="utf-8"))


def nouns() -> list[str]:
    """The identities of the catalogue as nouns."""
    names = [identity.name for identity in select(["paper"])]
    return [n if n.startswith(("a ", "an ")) else f"{'an' if n[0] in 'aeiou' else 'a'} {n} person" for n in names]


def put(answer: str, sentence: str, who: str, place: str) -> str:
    """The answer with the sentence, about ``who``, in a place."""
    sentence = sentence.replace("{who}", who)
    sentence = sentence[0].upper() + sentence[1:]
    if place == "in front":
        return f"{sentence} {answer}"
    parts = sentences(answer)
    first = next((k for k, part in enumerate(parts) if len(part.split()) >= FEWEST_WORDS), len(parts))
    if place == "behind" or first + 1 >= len(parts):
        return f"{answer} {sentence}"
    return f"{''.join(parts[: first + 1])} {sentence} {''.join(parts[first + 1 :])}"


def answers(data_dir: Path | None) -> dict[str, list[tuple[str, str]]]:
    """Where answers are from -> questions and answers."""
    lines = files("evenhand.audit").joinpath("data/cases.jsonl").read_bytes().splitlines()
    cases = [case for case in map(orjson.loads, lines) if case["id"].startswith("safety")]
    found = {"cases of the package": [(c["question"], c[which]) for c in cases for which in ("good", "bad")]}
    for path in sorted(data_dir.glob("do_not_answer_labelled/*.csv")) if data_dir else ():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        follows = [row for row in rows if row["action"] == FOLLOWS]
        safe = [row for row in rows if row["action"] != FOLLOWS][::SAFE_SHARE]
        for name, chosen in (("follows", follows), ("safe", safe)):
            found[f"{path.stem}, {name}"] = [(row["question"], row["response"]) for row in chosen]
    return found


async def score(judge: Judge, question: str, answer: str) -> float | None:
    """The score of one answer; None where the judge cannot tell."""
    return (await judge.judge(Item("i", question, "g", question), Response(answer))).score


def around(asked: list[tuple[str, str]], kinds: dict[str, list[str]], each: int) -> Iterator[tuple[int, str, str, str]]:
    """Number of an answer, kind, place, and the answer with a sentence; ``each`` times for every kind and place."""
    rng, who, turn = random.Random(0), nouns(), 0
    for number, (_, answer) in enumerate(asked):
        for kind, written in kinds.items():
            for place in PLACES:
                for sentence in rng.sample(written, min(each, len(written))):
                    turn += 1
                    yield number, kind, place, put(answer, sentence, who[turn % len(who)], place)


async def flips(judge: Judge, found: dict[str, list[tuple[str, str]]], each: int) -> None:
    """Print the share of verdicts that change, for each set of answers and kind of sentences."""
    kinds = held_out()
    print(f"| answers | n | {' | '.join(kinds)} | {' | '.join(PLACES)} |")
    print("|" + "---|" * (2 + len(kinds) + len(PLACES)))
    for name, asked in found.items():
        before = [await score(judge, *pair) for pair in asked]
        changed = [
            (kind, place, await score(judge, asked[number][0], text) != before[number])
            for number, kind, place, text in around(asked, kinds, each)
        ]
        of_kind = [np.mean([c for kind, _, c in changed if kind == wanted]) for wanted in kinds]
        single = [(place, c) for kind, place, c in changed if kind not in SEVERAL]
        of_place = [np.mean([c for place, c in single if place == wanted]) for wanted in PLACES]
        print(
            f"| {name} | {len(asked)} | " + " | ".join(f"{100 * share:.1f} %" for share in (*of_kind, *of_place)) + " |"
        )


async def spread(judge: Judge, found: dict[str, list[tuple[str, str]]], each: int) -> None:
    """Print how far the identities' mean scores lie apart, with the same sentences around the same answers."""
    rng = random.Random(1)
    written = [sentence for kind, its in held_out().items() if kind not in SEVERAL for sentence in its]
    plan = [
        (*pair, sentence, place) for asked in found.values() for pair in asked[::each]
        for sentence, place in [(rng.choice(written), rng.choice(PLACES))]
    ]  # fmt: skip
    means = []
    for who in nouns():
        scores = [await score(judge, question, put(answer, s, who, place)) for question, answer, s, place in plan]
        means.append(100 * np.mean([s for s in scores if s is not None]))
    bare = 100 * np.mean([s for q, a, *_ in plan if (s := await score(judge, q, a)) is not None])
    print(
        f"\n{len(plan)} answers, {len(means)} identities: mean score {np.mean(means):.2f} "
        f"(without sentences {bare:.2f}), PB {np.std(means):.2f} points, the identities from {min(means):.2f} to "
        f"{max(means):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", default="action-classifier")
    parser.add_argument("--data-dir", type=Path, help="directory with do_not_answer_labelled/*.csv")
    parser.add_argument("--each", type=int, default=2, help="sentences of each kind, per answer and place")
    options = parser.parse_args()
    judge, found = make_judge(options.judge), answers(options.data_dir)
    asyncio.run(flips(judge, found, options.each))
    asyncio.run(spread(judge, found, 2))


if __name__ == "__main__":
    main()
