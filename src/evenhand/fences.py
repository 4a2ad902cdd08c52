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


def inert(text: str) -> str:
    """``text`` with a blank in every control token of a chat template."""
    return _CONTROL_TOKENS.sub(lambda m: f"{m[1] or m[3]} {m[2] or m[4]}", text)


def fenced(name: str, text: str) -> str:
    """``text`` between two lines that cannot occur in it, :func:`inert`."""
    text = inert(text)
    mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
    while mark in text:  # a text that holds its own hash is not an accident
        mark = hashlib.blake2b(mark.encode(), digest_size=8).hexdigest()
    return f"--- {name} {mark} ---\n{text}\n--- end of {name} {mark} ---"
