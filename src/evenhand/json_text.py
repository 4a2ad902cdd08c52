"""JSON objects that stand in what a model wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

# How often the text may be read over in vain: braces that begin no object cost a pass over what is behind them.
_PASSES = 20


def json_objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The outermost objects in ``text`` in order: where each begins, where it ends, and what it says.

    Takes linear time: a text that keeps beginning objects and never ends them is given up.
    """
    decoder, start, in_vain = json.JSONDecoder(strict=False), text.find("{"), 0
    while start >= 0 and in_vain <= _PASSES * len(text):
        end = start + 1
        try:
            found, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            # An unterminated text is reported where it begins, and was read to the end.
            in_vain += (len(text) if "Unterminated" in error.msg else error.pos) - start
        except (ValueError, RecursionError):
            in_vain += len(text) - start
        else:
            yield start, end, found
        start = text.find("{", end)
