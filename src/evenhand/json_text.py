"""JSON objects that stand in what a model wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# How often the text may be read over in vain: braces that begin no object cost a pass over what is behind them.
_PASSES = 20
# An error is told with its line, so that what stands before it is gone over as well: so much faster than it is decoded.
_FASTER = 64
_BEGIN = re.compile(r"\{(?=[ \t\r\n]*[\"}])")


def json_objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The outermost objects in ``text`` in order: where each begins, where it ends, and what it says.

    Takes linear time: a text that keeps beginning objects and never ends them is given up.
    """
    decoder, found_at, in_vain = json.JSONDecoder(strict=False), _BEGIN.search(text), 0
    while found_at and in_vain <= _PASSES * len(text):
        start = found_at.start()
        end = start + 1
        try:
            found, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            # An unterminated text is reported where it begins, and was read to the end.
            in_vain += (len(text) if "Unterminated" in error.msg else error.pos) - start + error.pos // _FASTER
        except (ValueError, RecursionError):
            in_vain += len(text) - start
        else:
            yield start, end, found
        found_at = _BEGIN.search(text, end)
