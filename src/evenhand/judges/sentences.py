"""Sentences of an answer, with what stands between them: joined they are the text again."""

from __future__ import annotations

import re
from itertools import pairwise

_END = re.compile(r"(?<![.!?])[.!?]+[\"'”’)*]*(?=\s|\Z)|\n+")


def sentences(text: str) -> list[str]:
    """Sentences in order; each keeps the mark or the line breaks that end it and the blanks in front of it."""
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in pairwise(ends) if begin < end]
