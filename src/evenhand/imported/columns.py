"""The columns of a table: what an import lacks is said at once, with the columns there are and what could be it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from evenhand.errors import DataError
from evenhand.judges import JUDGES, refusal_judges
from evenhand.types import AXES, Axis

if TYPE_CHECKING:
    from evenhand.imported.answers import Reading

# What columns are called elsewhere, the most telling names first.
_TELLING: dict[str, tuple[str, ...]] = {
    "identity": (
        "persona", "profile", "segment", "user_type", "usertype", "user_group", "demographic", "demographics",
        "cohort", "audience", "gender", "sex", "age_group", "ethnicity", "race", "religion", "nationality",
        "occupation", "profession", "group", "customer", "person", "who", "user", "plan", "tier", "role",
    ),
    "response": (
        "answer", "output", "completion", "reply", "generation", "generated", "prediction", "assistant", "bot",
        "content", "text", "message",
    ),
    "score": ("score", "rating", "grade", "stars", "points", "mark", "correct", "reward", "accuracy", "quality"),
    "prompt": ("question", "prompt", "query", "instruction", "input", "user_message", "message", "request"),
    "cluster": ("user", "customer", "client", "person", "member", "account", "conversation", "session", "thread"),
}  # fmt: skip
# "question_text" and "expected_answer" are no responses; "persona_id" and "user_type" are who somebody is.
_OTHERS_TEXT = {"question", "prompt", "query", "input", "user", "system", "expected", "correct", "reference", "target"}
_OF_WHOM = {"id", "name", "label", "type"}
_SAID = {"identity": "who the user is", "response": "what was answered", "score": "how good it is",
         "prompt": "what was asked", "cluster": "which human, or conversation"}  # fmt: skip
_YOURS = "YOURS"
_LIKELY: Axis = "utility"
# The first rows tell enough of what a column holds, and so many values are no longer few.
_LOOKED_AT, _FEW, _LISTED, _SHOWN = 1000, 50, 40, 3


class Suggestion(NamedTuple):
    """What could be added to a call so that it works.

    Attributes:
        columns: column of evenhand -> the file's, or "YOURS".
        axis, judges: what could be said of rows that do not; empty where nothing has to be.
        scaled: whether the scores go beyond 0 and 1.
    """

    columns: Mapping[str, str]
    axis: str = ""
    judges: Mapping[str, str] = {}
    scaled: bool = False


def as_options(suggested: Suggestion) -> list[str]:
    """A suggestion for the command line."""
    found = [part for name, column in suggested.columns.items() for part in ("--column", f"{name}={column}")]
    found += ["--axis", suggested.axis] if suggested.axis else []
    found += ["--scale", "WORST:BEST"] if suggested.scaled else []
    return found + [part for suite, judge in suggested.judges.items() for part in ("--judge", f"{suite}={judge}")]


def as_arguments(suggested: Suggestion) -> str:
    """A suggestion for :func:`evenhand.from_table`."""
    found = [f"columns={dict(suggested.columns)}"] if suggested.columns else []
    found += [f"axis={suggested.axis!r}"] if suggested.axis else []
    found += ["scale=(WORST, BEST)"] if suggested.scaled else []
    found += [f"judges={dict(suggested.judges)}"] if suggested.judges else []
    return f"from_table(..., {', '.join(found)})"


@dataclass
class Columns:
    """What columns there are, from the first rows.

    Attributes:
        write: a suggestion -> the whole call with it.
    """

    write: Callable[[Suggestion], str] = field(default=lambda suggested: shlex.join(as_options(suggested)))
    _values: dict[str, set[str]] = field(default_factory=dict)
    _rows: int = 0

    def see(self, values: Mapping[str, Any]) -> None:
        """Look at a row."""
        if self._rows >= _LOOKED_AT:
            return
        self._rows += 1
        for name, value in _flat(values):
            held = self._values.setdefault(name, set())
            if isinstance(value, str | int | float) and value == value and value != "" and len(held) <= _FEW:
                held.add(str(value)[:100])

    def names(self) -> list[str]:
        """All columns; those of objects as "a.b"."""
        return list(self._values)

    def listed(self) -> str:
        """All columns as a sentence."""
        names = self.names()
        return f"The columns are: {', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}."

    def guess(self, wanted: str, taken: Collection[str]) -> str:
        """The column that could be what is wanted, by its name and by what it holds; "" where none is likely."""
        ranked = []
        for name, values in self._values.items():
            place = _place(wanted, name)
            # Where a format made the rows, it said itself what the groups of items are.
            is_known = name in taken or (name == "group" and "request" in self._values)
            if place is not None and not is_known and values and self._fits(wanted, values):
                ranked.append((place, name))
        return min(ranked)[1] if ranked else ""

    def _fits(self, wanted: str, values: set[str]) -> bool:
        numeric = all(_number(value) is not None for value in values)
        if wanted == "cluster":
            return len(values) > _FEW
        if wanted == "identity":
            return not numeric and 2 <= len(values) <= min(_FEW, self._rows / 2)
        return numeric if wanted == "score" else not numeric

    def is_scaled(self, name: str) -> bool:
        """Whether a column has numbers beyond 0 and 1."""
        return any(not 0 <= (_number(value) or 0.0) <= 1 for value in self._values.get(name, ()))

    def described(self, name: str) -> str:
        """A column with some of what it holds, where that is little."""
        values = sorted(self._values[name])
        if len(values) > _FEW or max(map(len, values)) > _LISTED:
            return f"'{name}'"
        return f"'{name}' ({', '.join(values[:_SHOWN])}{', ...' if len(values) > _SHOWN else ''})"


def own_rubric() -> str:
    """How a judge is named that goes by the user's own rubric."""
    return f"rubric:{JUDGES.get('rubric').argument}"


def judges_for(axis: Axis) -> list[str]:
    """Judges of answers that have neither a score nor a right answer."""
    return [*(refusal_judges(axis) if axis != "fit" else ()), own_rubric()]


def lacking(has: Collection[str], columns: Columns, suite: str, reading: Reading) -> DataError:
    """All that rows do not say and an import needs.

    Args:
        has: what some row says, of "identity", "axis", "score", "response", "prompt" and "target".
        columns: those of the file.
        suite: what the questions are called.
        reading: how they are read, so far.
    """
    taken = reading.columns.values()
    lacks, said, found = [], [], dict[str, str]()

    def guess(name: str) -> str:
        if column := columns.guess(name, {*taken, *found.values()}):
            found[name] = column
            said.append(f"{columns.described(column)} may be {_SAID[name]}.")
        return column

    if "identity" not in has:
        lacks.append("No row says who the user is")
        if not guess("identity"):
            found["identity"] = _YOURS
            said.append("Name the column of who the user is: --column identity=YOURS.")
    if "axis" not in has:
        lacks.append("no row says on which axis it is")
        said.append("Say --axis utility where a useful answer is good, --axis safety where declining is.")
    if not {"score", "response"} & set(has):
        lacks.append("there are neither scores nor responses")
        response, score = guess("response"), guess("score")
        if not response and not score:
            found["response"] = _YOURS
        if not score:
            said.append(
                "Name what was answered, which is judged here (--column response=YOURS), or how good it is "
                "(--column score=YOURS)."
            )
    if "prompt" not in has:
        guess("prompt")
    if "cluster" not in reading.columns:
        guess("cluster")
    axis = "" if "axis" in has else _LIKELY
    measured = next((known for known in AXES if known == (axis or reading.axis)), None)
    # On safety there is a judge for what nobody scored, and so is there for what has a right answer.
    is_open = measured and measured != "safety" and not {"score", "target"} & {*has, *found}
    judges = {suite: judges_for(measured)[0]} if measured and is_open else {}
    suggested = Suggestion(found, axis, judges, columns.is_scaled(found.get("score", "")))
    problem = "; ".join(lacks)
    return DataError(
        f"{problem[:1].upper()}{problem[1:]}.", f"{columns.listed()} {' '.join(said)} Try: {columns.write(suggested)}"
    )


def _place(wanted: str, name: str) -> int | None:
    """How telling a column's name is, 0 for the most; None where it tells nothing."""
    telling = _TELLING[wanted]
    parts = re.sub(r"[^a-z]+", " ", name.casefold()).split()
    if wanted == "response" and _OTHERS_TEXT & set(parts):
        return None
    if (
        wanted in ("identity", "cluster")
        and len(parts) > 1
        and parts[-1] in _OF_WHOM
        and "_".join(parts) not in telling
    ):
        parts.pop()
    # The last word is what a column is ("user_rating" is a rating); what was asked is known by any.
    told = ["_".join(parts), *(parts if wanted == "prompt" else parts[-1:])]
    return min((telling.index(part) for part in told if part in telling), default=None)


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Columns with their values; of objects those that stand in them."""
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += [(f"{name}.{inner}", held) for inner, held in value.items()]
        else:
            found.append((str(name), value))
    return found


def _number(value: str) -> float | None:
    try:
        return {"true": 1.0, "false": 0.0}.get(value.casefold()) if value.isalpha() else float(value)
    except ValueError:
        return None
