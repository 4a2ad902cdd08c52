"""Long texts that a pattern or a loop could stumble over, and all that reads what models, servers and users wrote.

``python -m tests.long_texts`` tries all kinds of them, longer, and takes minutes; the tests try those that tell most.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from evenhand.embodied.goals import read_behavior, read_virtualhome
from evenhand.embodied.plans import read_plan
from evenhand.embodied.transitions import read_model
from evenhand.errors import EvenhandError
from evenhand.evolving.writing import instruction_in
from evenhand.fences import between, fenced
from evenhand.identities.naming import named
from evenhand.judges import JUDGES, Judge, make_judge
from evenhand.judges.abroad import declines_in, helps_in, languages_known
from evenhand.judges.articles import drafted
from evenhand.judges.grades import Scale
from evenhand.judges.language import english_of, language_of
from evenhand.judges.programs import find_code
from evenhand.judges.rubrics import ActionRubric
from evenhand.judges.tally import tallies_in
from evenhand.judges.winners import spoken_winner
from evenhand.masking import masker
from evenhand.mitigations.cues import find_cues, shipped_policy, without
from evenhand.mitigations.ensemble import medoid, settled
from evenhand.mitigations.neutralize import neutralized
from evenhand.models.complaints import complaint_of
from evenhand.models.endings import declined_category
from evenhand.models.http import RetryableError, decoded, error_message
from evenhand.people import telling
from evenhand.personalizers.fermi import option_in
from evenhand.personalizers.knowledge.graph import normal
from evenhand.personalizers.knowledge.statements import content_words, statements, takes_back
from evenhand.personalizers.knowledge.tuning import _listed
from evenhand.personalizers.persona.patches import PatchError, read_patch
from evenhand.personalizers.persona.rules import clauses
from evenhand.personalizers.record import lines_in
from evenhand.reasoning import split_reasoning
from evenhand.types import Item, Message, Response, Session
from evenhand.visible import cell, markdown, printable, visible
from evenhand.wording import reading_grade, words

Read = Callable[[str], object]

LETTERS = Item(
    "i", "q", "g", "What is it?", "B", ("A", "B", "C", "D"), {"options": ["alpha", "beta ray", "gamma", "delta"]}
)
WORDS = Item("i", "q", "g", "Is it so?", "Yes", ("Yes", "No"))
PLAIN = Item("i", "How do I ask a gay man out?", "g", "How do I ask a gay man out?", "18", extra={"seconds": (1, 2)})
# Its programs are run; what it reads is tried by itself.
_RUNS = ("code", "code-unisolated")
_ITEMS = {"choice": (LETTERS, WORDS), "answer": (LETTERS, PLAIN), "lm-eval": (LETTERS,)}

# What a text begins with, and what goes on and on behind it.
QUICK: tuple[tuple[str, str], ...] = (
    *(("", unit) for unit in ' \n-*."“([{<`>0aé'),
    *(("", unit) for unit in ("a ", "A, ", "1,", "(a", '{"a":', "**a", "12 hours ", "so ", "\nQ: ", "a@")),
    *(("", unit) for unit in ("The answer is ", "answer: ", "#### ", "I'm sorry, but ", "I cannot help. ")),
    *(
        ("", unit)
        for unit in (
            "<|im_start|>",
            "<think>",
            "{}<think>",
            "```\n",
            "def f():\n",
            '{"',
            "I am gay. ",
            "- Age: ",
            ":effect (",
        )
    ),
    *(("The answer is ", unit) for unit in (" ", "0", "*", "<|im_start|>", "</s>\n")),
    *((start, " ") for start in ("```", "not 0", "- Age: a")),
)
KINDS: tuple[tuple[str, str], ...] = tuple(
    dict.fromkeys(
        (
            *QUICK,
            *(
                ("", unit)
                for unit in (",", "'", "A", " \n", "a\n", "1 ", "- ", "[[", "is ", ">>> f()\n", '{"a": 1} ', "Score: ")
            ),
            *((start, unit) for start in ("The answer is ", "```") for unit in "\n0*("),
            *((start, " ") for start in ("Score:", "\\boxed{")),
            *(("", unit) for unit in "_#Aß是\t:;!?’‘«|=+$~/\\)]}&@%^IBx。؟١…—✅×½\x00\u200b\ud800"),
            *(
                ("", unit)
                for unit in (
                    "1/",
                    "<a ",
                    "A ",
                    "\n-",
                    "\n\n",
                    "1.",
                    "* ",
                    "> ",
                    "[a",
                    "{a",
                    "\\(",
                    "<a",
                    "</a>",
                    "`a` ",
                    '"a" ',
                )
            ),
            *(
                ("", unit)
                for unit in ("not ", "very ", "and ", "the ", "one ", "one-", "minus ", "1 and ", "but ", "if:#")
            ),
            *(
                ("", unit)
                for unit in ("the answer is (", "answer:", "answer is B ", "Final answer ", "$$", "\\a", "...", ".)")
            ),
            *(
                ("", unit)
                for unit in ("sorry ", "As an AI ", "it is important to ", "Thank you but ", "I respect people, ")
            ),
            *(("", unit) for unit in ("</think>", "<think></think>", "~~~\n", "```", "````", "`def ", "\r", "#user ")),
            *(
                ("", unit)
                for unit in ("def f(", "x = [\n", "1. def f():\n", "import a\n", "<code>", "@a\n", "+a\n", "= 1 ")
            ),
            *(
                ("", unit)
                for unit in ('{"changes": [', "{'a': ", '"answer": "', "\\boxed{", "\\frac{", "\\text{", "1-5 ")
            ),
            *(
                ("", unit)
                for unit in ("I am a ", "As a gay man, ", "My name is ", "a gay ", "gay-", "race:a ", "he or ")
            ),
            *(
                ("", unit)
                for unit in ("http://", "a.b@c", "4/5 ", "answer A is better. ", "[[1]] ", "better: ", "‘a’a ")
            ),
            *(
                ("", unit)
                for unit in ("No siento ", "Lo siento, ", "Ich kann ", "(:action a ", "please contact ", "violat")
            ),
            *(
                (start, unit)
                for start in ("(", "<think>", "answer: ", "answer A ", '"', "{", "if a", "a\n")
                for unit in " \na0*-_(:#"
            ),
            *(
                (start, " ")
                for start in ("not", "\\frac", "1", "I", "<answer", "[", ",", "-", "</code", "async", "gay")
            ),
        )
    )
)


def long_text(start: str, unit: str, size: int, mark: str = "") -> str:
    """A text of ``size`` characters that goes on and on and ends otherwise; ``mark`` makes it another one."""
    return start + (unit * (size // len(unit) + 1))[:size] + f"\x01{mark}"


@cache
def readers() -> dict[str, Read]:
    """All that reads texts of others, by name; each is called with a text, and may refuse it."""
    return {**_judges(), **_judged_further(), **_OF_MODELS, **_OF_USERS, **_OF_SERVERS}


def _judges() -> dict[str, Read]:
    found: dict[str, Read] = {"find_code": find_code}
    for entry in JUDGES.entries():
        if entry.member is None or entry.member.argument or entry.name in _RUNS or entry.usable != "yes":
            continue
        judge = make_judge(entry.name)
        _at_once(judge.start())
        found |= {f"{entry.name}, {item.target}": _judging(judge, item) for item in _ITEMS.get(entry.name, (PLAIN,))}
    return found


def _judging(judge: Judge, item: Item) -> Read:
    return lambda text: _at_once(judge.judge(item, Response(text)))


def _at_once(coroutine: Any) -> object:
    """What a coroutine returns that waits for nothing."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
        raise AssertionError("it waits for something")
    return None


def _judged_further() -> dict[str, Read]:
    """Judges whose items hold what they look for."""
    facts = {"must": [["nut*"], ["?peanut*"]], "must_not": ["!nut*", "your-~-allerg*"]}
    extra = {**facts, "sensitive": ["He is allergic to peanuts and takes insulin daily."]}
    item = Item("i", "q", "g", "What can I eat?", extra=extra)
    untold = Item(
        "i", "q", "g", "Who am I?", "A", ("A", "B"), {"options": ["unknown", "a gay man"], "untold": "unknown"}
    )
    named_judges = (("uses-fact", item), ("keeps-private", item), ("imprint", untold))
    return {name: _judging(make_judge(name), which) for name, which in named_judges}


def _each(*reads: Read) -> Read:
    """One reader of several."""
    return lambda text: [read(text) for read in reads]


def _refusing(read: Read) -> Read:
    """A reader that may say that it cannot read a text."""

    def reading(text: str) -> object:
        with contextlib.suppress(EvenhandError, PatchError, RetryableError, ValueError):
            return read(text)
        return None

    return reading


_OF_MODELS: dict[str, Read] = {
    "reasoning": split_reasoning,
    "reasoning, cut": lambda text: split_reasoning(text, finished=False),
    "language": _each(language_of, english_of),
    "phrases abroad": _each(
        *(lambda text, c=code: (declines_in(c, text), helps_in(c, text)) for code in languages_known())
    ),  # type: ignore[misc]
    "grades": _each(
        *(scale.spoken for scale in (Scale(1, 5), Scale(classes=("good one", "bad"), good=frozenset(["bad"]))))
    ),
    "a grade in a field": _each(Scale(1, 5).grade),
    "winner": spoken_winner,
    "rubric": ActionRubric().read,
    "tally": tallies_in,
    "article": lambda text: drafted(text, ""),
    "goals": _each(read_virtualhome, read_behavior),
    "plan": read_plan,
    "actions": read_model,
    "patch": _refusing(read_patch),
    "instruction": instruction_in,
    "between tags": lambda text: between("instruction", text),
    "option": lambda text: option_in(text, ["alpha", "beta ray"]),
    "relation": normal,
    "listed": _listed,
    "wording": _each(words, reading_grade),
    "likeness": lambda text: (medoid([text, text + " a", "b"]), settled([text, "b"], 3)),
}
_OF_USERS: dict[str, Read] = {
    "cues": lambda text: without(text, find_cues(text)),
    "neutral": lambda text: neutralized((Message("user", text), Message("user", "And now?")), shipped_policy()),
    "mask": masker(["a night nurse"]),
    "identities named": named,
    "statements": lambda text: list(statements(Session((Message("user", text),), feedback=text))),
    "taken back": lambda text: (takes_back(text, "I live in Rome."), content_words(text)),
    "clauses": lambda text: list(clauses(text)),
    "facts told": lambda text: telling.tells(text, "He is allergic to peanuts and takes insulin daily."),
    "lines of a record": lambda text: lines_in((Message("system", text), Message("user", "And now?"))),
    "fence": lambda text: fenced("answer", text),
    "shown": _each(visible, printable, cell, markdown),
}
_OF_SERVERS: dict[str, Read] = {
    "body": _refusing(lambda text: decoded(text.encode("utf-8", "replace"))),
    "complaint": _refusing(lambda text: complaint_of(text.encode("utf-8", "replace"))),
    "complaint in JSON": _refusing(lambda text: _complained(json.dumps({"error": {"message": text}}).encode())),
}


def _complained(raw: bytes) -> object:
    complaint = complaint_of(raw)
    return (
        complaint.about(["temperature", "top_k"]),
        complaint.is_about_system_role,
        complaint.wants_responses_api,
        declined_category(400, raw),
        error_message(raw),
    )


@dataclass(frozen=True)
class Growth:
    """What a reader needs for a text and for one of four times the length, in seconds of the processor."""

    reader: str
    start: str
    unit: str
    once: float
    four_times: float

    def __str__(self) -> str:
        grown = f"{self.four_times / self.once:.1f} times as long for 4 times the length ({self.four_times:.3f} s)"
        return f"{self.reader}: {self.start!r} and then {self.unit!r}: {grown}"


# Below so many seconds nobody waits, and a clock cannot tell what grows. In linear time the ratio is 4, in quadratic
# time 16.
FLOOR, MOST = 0.015, 8.0


def too_slow(readers: Mapping[str, Read], kinds: Iterable[tuple[str, str]], size: int) -> Iterator[Growth]:
    """Readers that need more than :data:`MOST` times as long for a text of ``size`` characters as for a quarter of it.

    What is measured is the time of this thread on a processor, the least of several, so that load makes no difference.
    """
    marks = itertools.count()

    def seconds(read: Read, kind: tuple[str, str], length: int) -> float:
        text = long_text(*kind, length, str(next(marks)))  # another one each time: judges remember
        began = time.thread_time()
        read(text)
        return time.thread_time() - began

    for (name, read), kind in itertools.product(readers.items(), kinds):
        if seconds(read, kind, size) < FLOOR:
            continue
        once, four_times = (min(seconds(read, kind, n) for _ in range(4)) for n in (size // 4, size))
        if four_times >= FLOOR and four_times > MOST * once:
            yield Growth(name, *kind, once, four_times)


def main() -> None:
    """Print what takes more than linear time."""
    slow = list(map(str, too_slow(readers(), KINDS, 16_000)))
    print("\n".join(slow) or f"{len(readers())} readers, {len(KINDS)} kinds of texts: linear time")


if __name__ == "__main__":
    main()
