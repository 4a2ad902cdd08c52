"""Text that somebody else wrote, set apart in a prompt so that nothing inside can end it or speak for anybody."""

from __future__ import annotations

import hashlib
import re

# Tokens by which chat templates begin and end turns. A server's tokenizer may read them inside a message, too.
_CONTROL_TOKENS = re.compile(
    r"(?i:(<)([|｜][^<>|｜]{1,64}[|｜]>|/?s>|</?sys>>|/?(?:bos|eos|pad|unk|mask|cls|sep)>|/?(?:start|end)_of_\w{1,16}>"
    r"|/?(?:system|user|assistant|tool|think)\w{0,16}>))"
    r"|(\[)(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w{1,16}|THINK|[gs]?MASK|CLS|SEP|PAD|UNK)\])"
)

_LONGEST_READ = 20_000


def fenced(name: str, text: str) -> str:
    """``text`` between two lines that cannot occur in it, with a blank in every control token of a chat template."""
    text = disarmed(text)
    mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
    while mark in text:  # a text that holds its own hash is not an accident
        mark = hashlib.blake2b(mark.encode(), digest_size=8).hexdigest()
    return f"--- {name} {mark} ---\n{text}\n--- end of {name} {mark} ---"


def disarmed(text: str) -> str:
    """``text`` with a blank in every control token of a chat template."""
    return _CONTROL_TOKENS.sub(lambda m: f"{m[1] or m[3]} {m[2] or m[4]}", text)


def between(tag: str, text: str) -> str:
    """What a model wrote between ``<tag>`` and ``</tag>``, in any case, on one line; all of it where the tag lacks.

    Only the first 20,000 characters are read.
    """
    text = text[:_LONGEST_READ]
    found = re.search(rf"<{tag}>(.*?)(?:</{tag}>|\Z)", text, re.DOTALL | re.IGNORECASE)
    return " ".join((found[1] if found else text).split())
