"""Which words of a sentence it denies: "without peanuts", "peanuts should be avoided", "peanut-free". English."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.judges.word_phrases import Marks

# Deny what follows, up to a word that begins something else.
_DENYING = Marks(
    *("no", "not", "never", "nor", "neither", "without", "non", "virgin", "minus", "unlike", "lack*", "wary", "beware"),
    *("avoid*", "skip*", "omit*", "exclud*", "leave", "leaving", "left-out", "remov*", "ditch*", "eliminat*"),
    *("refrain*", "replac*", "swap*", "substitut*", "forbid*", "cut-out", "cut-back", "limit", "limiting", "rules-out"),
    *("steer-clear", "away-from", "clear-of", "instead-of", "rather-than", "in-place-of", "other-than", "free-from"),
    *("free-of", "stop-taking", "stop-using", "unsafe", "contraindicat*", "off-limits", "allergic", "may-contain"),
    *("might-contain", "can-contain", "often-contain", "trace-of", "traces-of"),
    *("traditionally", "typically", "usually", "normally"),
)
# In these, words that deny do not.
_IDLE = Marks(
    *("no-problem", "no-doubt", "no-worries", "no-matter", "no-wonder", "no-longer", "not-only", "not-just"),
    *("without-knowing", "without-more", "without-further", "why-not"),
)
# What follows stands by itself again.
_RESTORING = Marks(
    *("but", "however", "instead", "though", "while", "whereas", "so", "therefore"),
    *("because", "since", "given", "due", "considering"),
)
# Behind a comma these begin a new thing to do.
_BEGINNING = frozenset(
    {
        *("use", "using", "add", "try", "choose", "go", "take", "pick", "serve", "order", "make", "opt", "get", "buy"),
        *("stick", "have", "eat", "cook", "top", "drizzle", "sprinkle", "toss", "stir", "mix", "garnish", "consider"),
        *("book", "ask", "look", "then", "just", "please", "i", "you", "we", "it", "here", "there", "this", "these"),
        *("that", "my", "your"),
    }
)
# Deny what stands before them in their part of the sentence.
_DENYING_BACK = Marks(
    *("is-not", "are-not", "was-not", "can-not", "should-not", "must-not", "may-not", "do-not", "does-not"),
    *("would-not", "will-not", "not-recommended", "not-suitable", "not-safe", "not-option", "no-good", "to-avoid"),
    *("avoided", "skipped", "omitted", "excluded", "removed", "replaced", "swapped", "left-out", "is-out", "are-out"),
    *(
        "ruled-out",
        "out-of-question",
        "off-limits",
        "off-table",
        "banned",
        "forbidden",
        "contraindicated",
        "unsafe",
        "unsuitable",
    ),
    *("dangerous", "risky", "is-bad", "are-bad", "harm*", "damag*", "worsen*", "hard-on", "hurt*", "toxic*"),
    *("interact*", "increase*-~-risk", "raise*-~-risk", "struggle*", "suffer*", "allerg*", "intoleran*"),
)
_BEFORE_FREE = frozenset({"is", "are", "be", "feel", "for", "of", "your"})
_EXCHANGING = ("replac", "swap", "substitut")
_EXCHANGED_FOR = frozenset({"with", "for", "by"})


class Denials:
    """Walks over a sentence and says of each word whether it is denied.

    Args:
        words: of the sentence.
        begins_denied: whether what stands above it denies it.

    Attributes:
        denied: of the words gone over.
    """

    def __init__(self, words: Sequence[str], begins_denied: bool) -> None:
        self.denied: list[bool] = []
        self._words = words
        self._denying, self._restoring = _DENYING.starts(words), _RESTORING.starts(words)
        for idle in _IDLE.ranges(words):
            self._denying.difference_update(idle)
        self._denying_back = {found[-1] for found in _DENYING_BACK.ranges(words)}
        self._by = "the heading" if begins_denied else ""  # the word that denies what follows
        self._by_place = 0
        self._denied_to = 0  # what stands before is denied already, back to its part
        self._parts = [0]  # where the parts of the sentence begin
        self._is_behind_break = False

    def break_off(self, sign: str) -> None:
        """Go over a sign that divides the sentence; a comma may divide a list, all of which is denied."""
        self._by = self._by if sign == "," else ""
        self._parts.append(len(self.denied))
        self._is_behind_break = True

    def word(self) -> None:
        """Go over the next word."""
        place = len(self.denied)
        word, before = self._words[place], self._words[place - 1] if place else ""
        if word == "which" and self._is_behind_break:
            self._parts.pop()  # it goes on about what stands before
        if place in self._restoring:
            self._by = ""
            self._parts.append(place)
        elif word in _BEGINNING and (self._is_behind_break or before == "and"):
            self._by = ""
        elif word in _EXCHANGED_FOR and self._by.startswith(_EXCHANGING):
            self._exchange(word)
        if place in self._denying:
            self._by, self._by_place = word, place
        self.denied.append(bool(self._by))
        if place in self._denying_back:
            start = max(self._parts[-1], self._denied_to)
            self.denied[start:place] = [True] * (place - start)
            self._denied_to = place
        elif word == "free" and place and before not in _BEFORE_FREE:
            self.denied[place - 1] = True
        self._is_behind_break = False

    def _exchange(self, word: str) -> None:
        """Go on to the second part of an exchange; only "substitute NEW for OLD" names the new one first."""
        if not (self._by.startswith("substitut") and word == "for"):
            self._by = ""
            return
        start = self._by_place + 1
        self.denied[start:] = [False] * (len(self.denied) - start)
        self._by_place = len(self.denied)
