"""Counts over all answers of a store.

Ten million are counted in seconds where nothing but an index is read, in the order in which it lies, and where nothing
is sorted: a grouping that no index has in order sorts every row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from evenhand.study.conversations import ConversationReader
from evenhand.types import BASELINE_CATEGORY

# The answer of a failed cell.
_ANSWERED = """SELECT 1 FROM trials t WHERE (t.suite, t.item, t.personalizer, t.identity, t.repeat) =
    (f.suite, f.item, f.personalizer, f.identity, f.repeat)"""
# Judgements of the suites' own judges, looked through before the answers that they are of: for what few of them have.
_FROM_JUDGEMENTS = """judgements j CROSS JOIN trials t ON t.id = j.trial
    CROSS JOIN suites s ON s.suite = t.suite AND s.judge = j.judge"""


class CountingReader(ConversationReader):
    """The queries of a store that look through all its answers.

    Args:
        connection: to its file.
    """

    def personalizers(self) -> list[str]:
        """Personalizers with answers, the oldest first."""
        # Baselines are asked through none.
        query = f"""SELECT DISTINCT personalizer FROM (SELECT DISTINCT personalizer, identity FROM trials) t
            JOIN identities n ON n.name = t.identity
            WHERE personalizer != 'none' OR category != '{BASELINE_CATEGORY}'"""  # noqa: S608 - constant
        names = [row[0] for row in self._db.execute(query)]
        if len(names) < 2:
            return names
        firsts = ", ".join("min(CASE WHEN personalizer = ? THEN id END)" for _ in names)
        people = f"""SELECT name FROM identities WHERE category != '{BASELINE_CATEGORY}'"""  # noqa: S608 - constant
        query = f"""SELECT {firsts} FROM trials WHERE identity IN (SELECT name FROM identities)
            AND (personalizer != 'none' OR identity IN ({people}))"""  # noqa: S608 - constants and marks
        first = dict(zip(names, self._db.execute(query, names).fetchone(), strict=True))
        return sorted(names, key=first.__getitem__)

    def judges_in_use(self) -> dict[str, str]:
        """Suite -> its judge, of suites that have answers."""
        query = "SELECT suite, judge FROM suites s WHERE EXISTS (SELECT 1 FROM trials t WHERE t.suite = s.suite)"
        return dict(self._db.execute(query))

    def judges_heard(self, suite: str) -> list[str]:
        """All judges that have judged answers of a suite, its own and others."""
        query = "SELECT DISTINCT j.judge FROM judgements j JOIN trials t ON t.id = j.trial WHERE t.suite = ? ORDER BY 1"
        return [judge for (judge,) in self._db.execute(query, (suite,))]

    def judge_versions(self) -> dict[str, list[str]]:
        """Suite -> versions of its judge that its judgements come from."""
        there = Counter(judge for judge, _ in self._db.execute("SELECT DISTINCT judge, version FROM judgements"))
        query = """SELECT DISTINCT j.version FROM trials t JOIN judgements j ON j.trial = t.id AND j.judge = ?
            WHERE t.suite = ?"""
        found: dict[str, list[str]] = {}
        for suite, judge in sorted(self.judges_in_use().items()):
            # Of a judge with one version the first judgement that is met tells it, and no other is looked at.
            most = "LIMIT 1" if there[judge] == 1 else ""
            rows = self._db.execute(f"{query} {most}", (judge, suite)) if judge in there else ()
            if versions := sorted(version for (version,) in rows):
                found[suite] = versions
        return found

    def asked_items(self) -> dict[str, int]:
        """Suite -> how many of its items have an answer."""
        return dict(self._db.execute("SELECT suite, count(DISTINCT item) FROM trials GROUP BY suite"))

    def count_by_item(self, suite: str) -> dict[str, int]:
        """Item -> responses that are not to be asked again."""
        found = dict(self._db.execute("SELECT item, count(*) FROM trials WHERE suite = ? GROUP BY item", (suite,)))
        for cut_suite, item, *_ in self._cut:
            if cut_suite == suite:
                found[item] -= 1
        return found

    def cells_held(self, suite: str) -> frozenset[tuple[str, str, int]]:
        """(personalizer, identity, repeat) that any item of a suite has a response from."""
        query = "SELECT DISTINCT personalizer, identity, repeat FROM trials WHERE suite = ?"
        return frozenset(self._db.execute(query, (suite,)))

    def count_trials(self) -> int:
        return int(self._value("SELECT count(*) FROM trials") or 0)

    def count_by(self, column: Literal["suite", "identity"]) -> dict[str, int]:
        """Suite or identity -> responses."""
        return dict(self._db.execute(f"SELECT {column}, count(*) FROM trials GROUP BY 1"))  # noqa: S608 - constants

    def count_failed(self) -> int:
        """Cells whose calls all failed so far."""
        query = f"""SELECT count(*) FROM (SELECT DISTINCT suite, item, personalizer, identity, repeat FROM failures f
            WHERE NOT EXISTS ({_ANSWERED}))"""  # noqa: S608 - constant
        return int(self._value(query) or 0)

    def failure_reasons(self) -> dict[str, int]:
        """Error -> number of still failing cells, the most frequent first."""
        query = f"""SELECT error, count(*) FROM failures f WHERE NOT EXISTS ({_ANSWERED})
            GROUP BY error ORDER BY 2 DESC"""  # noqa: S608 - constant
        return dict(self._db.execute(query))

    def count_unanswered(self) -> dict[str, tuple[int, int]]:
        """Suite -> responses that are empty or were cut before they gave an answer, and all its responses."""
        query = f"""SELECT t.suite, count(*) FROM {_FROM_JUDGEMENTS}
            WHERE j.label IN ('cut', 'empty', 'truncated') GROUP BY 1"""  # noqa: S608 - constant
        without = dict(self._db.execute(query))
        judged = self.judges_in_use()
        return {suite: (without.get(suite, 0), n) for suite, n in self.count_by("suite").items() if suite in judged}

    def count_unscored(self) -> dict[tuple[str, str], dict[tuple[str, str], int]]:
        """(suite, its judge) -> (identity, label) -> responses that the judge gave no score."""
        query = f"""SELECT s.suite, s.judge, t.identity, j.label, count(*) FROM {_FROM_JUDGEMENTS}
            WHERE j.score IS NULL GROUP BY t.suite, t.identity, j.label"""  # noqa: S608 - constant
        found: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        for suite, judge, identity, label, n in self._db.execute(query):
            found.setdefault((suite, judge), {})[identity, label] = n
        return found

    def count_scored(self) -> int:
        """Responses with a score by their suite's judge."""
        query = """SELECT count(*) FROM trials t JOIN suites s ON s.suite = t.suite
            JOIN judgements j ON j.trial = t.id AND j.judge = s.judge WHERE j.score IS NOT NULL"""
        return int(self._value(query) or 0)

    def _value(self, query: str, values: Sequence[Any] = ()) -> Any:
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None
