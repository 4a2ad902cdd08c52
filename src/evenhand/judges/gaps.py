"""White space that goes on and on: it says nothing, and patterns that look for words would try every part of it."""

from __future__ import annotations

import re

_LONGEST = 64
_LONG_GAP = re.compile(rf"(\s{{{_LONGEST}}})(\s+)")


def without_long_gaps(text: str) -> str:
    """``text`` with at most 64 blank characters in a row, and a line break where more of them had one. Linear."""
    return _LONG_GAP.sub(lambda gap: gap[1] + ("\n" if "\n" in gap[2] else ""), text)
