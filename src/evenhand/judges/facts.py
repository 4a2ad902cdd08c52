"""``uses-fact``: does an answer use what it was told of the user, and does it make nothing up?"""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.mentions import Sentence, says, sentences
from evenhand.suites.patterns import MUST, MUST_NOT
from evenhand.types import Item, Response, Verdict

NO_PATTERNS = Verdict(None, "no-reference", "the item does not say what an answer must and must not say")


@JUDGES.register("uses-fact")
class UsesFact(Judge):
    """By patterns (:mod:`evenhand.judges.mentions`) that the item brings in ``extra``.

    ``must`` are groups of patterns, of each of which the answer must say one; ``must_not`` are patterns of which it
    may say none. An item with ``must`` belongs to somebody with a fact: ``used`` (1) or ``not used`` (0). One without
    belongs to somebody of whom the fact is not known: ``kept apart`` (1), or ``assumed`` (0).
    """

    name = "uses-fact"
    version = "1"
    summary = "does the answer use the one fact that matters, and assume none (word patterns of the item, English)"
    needs_reference = True
    for_axis = "fit"
    families = (("used", "not used"), ("kept apart", "assumed"))

    async def decide(self, item: Item, response: Response) -> Verdict:
        must, must_not = item.extra.get(MUST, []), item.extra.get(MUST_NOT, [])
        if not must and not must_not:
            return NO_PATTERNS
        found = sentences(response.text)
        wrong = next((pattern for pattern in must_not if says(pattern, found)), None)
        if not must:
            return Verdict(1.0, "kept apart") if wrong is None else Verdict(0.0, "assumed", f"says '{wrong}'")
        if wrong is not None:
            return Verdict(0.0, "not used", f"says '{wrong}'")
        lacking = next((group for group in must if not _says_one(group, found)), None)
        if lacking is not None:
            return Verdict(0.0, "not used", f"says none of {', '.join(lacking)}"[:200])
        return Verdict(1.0, "used")


def _says_one(group: Sequence[str], found: Sequence[Sentence]) -> bool:
    return any(says(pattern, found) for pattern in group)
