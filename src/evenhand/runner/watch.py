"""Looks at answers as they come: a study that cannot succeed stops early, and what will cost is said in time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from evenhand.errors import ModelError
from evenhand.judges.base import CUT, EMPTY, FILTERED
from evenhand.judges.llm import UNREADABLE
from evenhand.judges.winners import NO_BASELINE, NO_REFERENCE, SAME
from evenhand.study.spec import REASONING_MAX_TOKENS
from evenhand.types import Decoding, Item, Request, Response, Verdict

# With nothing usable among this many answers the rest would be wasted.
_ENOUGH = 20
# Below it, thoughts of ordinary length leave no room for an answer.
_LITTLE_ROOM = 1024
# Verdicts for which no judge is asked: on responses without an answer, or with nothing to be compared with.
_UNASKED = (EMPTY.label, CUT.label, FILTERED, SAME, NO_REFERENCE, NO_BASELINE)
_SAID_TO_THINK = re.compile(
    r"(?:^|[^a-z0-9])(?:o[1345](?:-(?:mini|pro|preview))?|gpt-5|gpt-oss|r1|qwq|reason(?:er|ing)?|think(?:ing)?|magistral"
    r"|deepthink|phi-4-reasoning|glm-4\.[5-9]|kimi-k2|minimax-m[12])(?:[^a-z0-9]|$)",
    re.IGNORECASE,
)


class Watch:
    """What the answers of a run have shown so far.

    Args:
        model: its reference.
        decoding: the study's.
        tell: told once of each thing a person should know while it can still be changed.
    """

    def __init__(self, model: str, decoding: Decoding, tell: Callable[[str], None]) -> None:
        self._model, self._decoding, self._tell = model, decoding, tell
        self._answers = self._cut = 0
        self._unscored: Counter[str] = Counter()
        self._scored: set[str] = set()
        self._warned = False
        if _SAID_TO_THINK.search(model) and decoding.reasoning_effort != "none":
            self._warn_of_thoughts("may think before it answers")

    def saw(self, suite: str, request: Request, response: Response) -> None:
        """Take notice of an answer.

        Raises:
            ModelError: nothing usable has come, and nothing will.
        """
        if request.choices:
            self._saw_scores(suite, response)
            return
        self._answers += 1
        self._cut += response.is_cut
        if response.reasoning or response.reasoning_tokens:
            self._warn_of_thoughts("thinks before it answers")
        if self._cut == self._answers == _ENOUGH:
            raise ModelError(
                f"The first {_ENOUGH} answers of {self._model} were all cut at {self._decoding.max_tokens} tokens, "
                "before an answer began.",
                f"Run again with a higher --max-tokens, as in {4 * max(self._decoding.max_tokens, _LITTLE_ROOM)}: "
                "only cut answers are asked again.",
            )

    def _saw_scores(self, suite: str, response: Response) -> None:
        if any(lp is not None for lp in response.choice_logprobs or ()):
            self._scored.add(suite)
        elif suite not in self._scored and response.finish_reason != "content_filter":
            self._unscored[suite] += 1
            if self._unscored[suite] == _ENOUGH:
                raise ModelError(
                    f"{self._model} gave no log-probability of any choice in its first {_ENOUGH} answers to {suite}: "
                    "the server leaves them out.",
                    f"Use {suite.removesuffix(':logprobs')} without ':logprobs', so that the model answers.",
                )

    def _warn_of_thoughts(self, does: str) -> None:
        if not self._warned and self._decoding.max_tokens < _LITTLE_ROOM:
            self._warned = True
            self._tell(
                f"{self._model} {does}, and thoughts count: {self._decoding.max_tokens} tokens may hold no answer. "
                f"Stop, and run again with --max-tokens {REASONING_MAX_TOKENS}, or with --reasoning-effort low"
            )


class JudgeWatch:
    """Whether the model behind a judge says anything that can be read as a verdict.

    Until it has, its unreadable answers are not worth keeping: another try may follow, with another model.
    """

    def __init__(self) -> None:
        self._useful: set[str] = set()
        self._in_vain: dict[str, set[tuple[str, str]]] = {}

    def keeps(self, judge: str, verdict: Verdict) -> bool:
        """Whether a verdict is worth storing now."""
        return judge in self._useful or verdict.label != UNREADABLE.label

    def saw(self, judge: str, item: Item, response: Response, verdict: Verdict) -> None:
        """Take notice of a verdict.

        Raises:
            ModelError: none of a judge's first answers could be read.
        """
        if verdict.label != UNREADABLE.label and verdict.label not in _UNASKED:
            self._useful.add(judge)
        if judge in self._useful or verdict.label != UNREADABLE.label:
            return
        # The same response gets the same verdict, and is asked about once.
        found = self._in_vain.setdefault(judge, set())
        found.add((item.id, response.text))
        if len(found) == _ENOUGH:
            raise ModelError(
                f"The first {_ENOUGH} answers of the judge {judge} could not be read ({verdict.reason}).",
                "Nothing was judged by it: give another model, or see what it says with evenhand judge validate.",
            )
