"""Where a model's thoughts end and its answer begins, in a text that holds both.

Servers without a parser for it, and local models, give the trace of a reasoning model as part of the answer: between
tags of several vocabularies, without the opening one where the chat template writes it, without the closing one where
the token limit cut the thoughts.
"""

from __future__ import annotations

import re
from bisect import bisect, bisect_left
from dataclasses import dataclass
from itertools import accumulate

from evenhand.json_text import json_objects

_NAMES = (
    r"(?:seed:)?think(?:ing)?|thoughts?|thought[_ ]process|reasoning|reflection|scratchpad|ant_?thinking"
    r"|(?:inner|internal)[_ ]?(?:monologue|thoughts?)"
)
# Bounded repetitions only: a tag is looked for in every answer, however long and hostile.
_TAG = re.compile(
    rf"(?:<|&lt;)(?P<angle>/?)\s?(?:{_NAMES})(?:\s[^<>]{{0,80}})?(?:>|&gt;)"
    r"|\[(?P<square>/?)(?:think(?:ing)?|thoughts?|reasoning)\]"
    r"|◁(?P<diamond>/?)think▷"
    r"|(?P<open><\|(?:begin_of_thought|start_thinking|think(?:ing)?)\|>|<\|channel\|>(?:analysis|commentary)"
    r"[^<>\n]{0,80}<\|message\|>|<unused94>)"
    r"|(?P<close><\|(?:end_of_thought|end_thinking|/think(?:ing)?|end)\|>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>|<unused95>)",
    re.IGNORECASE,
)
_FIRST = "<&[◁"
# What stands around answers in vocabularies that mark them as well.
_WRAPPER = re.compile(
    r"<\|(?:begin_of_solution|end_of_solution|start_response|end_response|return)\|>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
# Tags whose special tokens were dropped when the text was decoded, and a trace announced in words.
_SPELLED = (
    re.compile(r"\Aanalysis(?=[A-Z\"'])(?P<trace>.*?)(?:assistantfinal|\Z)", re.DOTALL),
    re.compile(r"\A\s*Here is my thought process:(?P<trace>.*?)(?:Here is my (?:response|answer):|\Z)", re.DOTALL),
)
_FENCE = re.compile(r"^(?:```|~~~)", re.MULTILINE)
# A tag behind one of these is talked about.
_QUOTING = "`'\"“‘«\\(="
_MAY_OPEN = re.compile(r"(?:\A|\n|[.!?:>])\s{0,80}\Z")
_LOOK_BACK = 100


@dataclass(frozen=True, slots=True)
class Split:
    """An answer without its thoughts.

    Attributes:
        answer: what is left for people and judges.
        reasoning: the trace, without its tags.
    """

    answer: str
    reasoning: str


def split_reasoning(text: str, *, finished: bool = True) -> Split:
    """Take the thoughts out of ``text``.

    Tags that are quoted, or that stand in a code block or a JSON object, are part of the answer. A trace that was
    opened at the start and never closed is all there is: the answer is empty.

    Args:
        text: what the model wrote.
        finished: whether it ended by itself; a trace that begins behind an answer and is cut leaves no answer either.
    """
    for spelled in _SPELLED:
        if (match := spelled.match(text)) is not None:
            return Split(text[match.end() :].strip(), match["trace"].strip())
    tags = _tags(text)
    # An object is an answer, and thoughts do not begin like one.
    if not tags or text.lstrip().startswith("{"):
        return Split(text, "")
    return _walk(text, tags, finished)


def opens_trace(text: str) -> str:
    """The tag with which ``text`` (a prompt, as a chat template ends it) opens a trace for the model, or ""."""
    end = text[-_LOOK_BACK:]
    tags = list(_TAG.finditer(end))
    if not tags or _closes(tags[-1]) or end[tags[-1].end() :].strip():
        return ""
    return tags[-1][0]


def closing_tag(opening: str) -> str:
    """What ends the trace that a tag of :func:`opens_trace` begins, "" where the vocabulary has no mirror image."""
    if opening[:1] in "<[◁" and not opening.startswith(("<|", "<unused")):
        name = re.split(r"[\s>\]▷]", opening[1:], maxsplit=1)[0]
        return f"{opening[0]}/{name}{opening[-1]}"
    return ""


def is_trace_tag(token: str) -> bool:
    """Whether a tokenizer's token is a tag of a trace, so that it must not be dropped from the text."""
    return _TAG.fullmatch(token) is not None or token in ("<|channel|>", "<|message|>")


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag["close"] or tag["angle"] or tag["square"] or tag["diamond"])


def _tags(text: str) -> list[re.Match[str]]:
    # Every tag begins with one of these, and most answers have none of them.
    if not any(first in text for first in _FIRST):
        return []
    # Other vocabularies end a turn with <|end|>; only in this one it ends thoughts.
    channels = "<|channel|>" in text
    tags = [
        tag
        for tag in _TAG.finditer(text)
        if not (tag.start() and text[tag.start() - 1] in _QUOTING) and (channels or tag[0].lower() != "<|end|>")
    ]
    # The texts of an object may quote anything.
    objects = [(begin, end) for begin, end, _ in json_objects(text)] if tags else []
    begins = [begin for begin, _ in objects]

    def is_quoted(tag: re.Match[str]) -> bool:
        before = bisect_left(begins, tag.start())
        return before > 0 and tag.start() < objects[before - 1][1]

    return [tag for tag in tags if not is_quoted(tag)]


def _walk(text: str, tags: list[re.Match[str]], finished: bool) -> Split:
    """Cut the traces out: a trace ends where as many tags have closed as opened, or at the last tag that closes."""
    answer, trace = list[str](), list[str]()
    fences = [fence.start() for fence in _FENCE.finditer(text)]
    at, place, mentioned = 0, 0, 0
    while place < len(tags):
        tag = tags[place]
        before = text[max(0, tag.start() - _LOOK_BACK) : tag.start()]
        if _closes(tag):
            # Its opening tag was the template's, unless the answer spoke of one.
            if mentioned and not before.rstrip(" ").endswith("\n"):
                mentioned -= 1
            else:
                trace.append(text[at : tag.start()])
                at = tag.end()
            place += 1
            continue
        if _in_code(fences, tag.start()) or not _MAY_OPEN.search(before):
            mentioned += 1
            place += 1
            continue
        end = _end_of_trace(tags, place)
        if end is None:
            if finished and text[at : tag.start()].strip():
                break  # the answer goes on to speak of the tag
            return Split("", f"{text[: tag.start()]}{text[tag.end() :]}".strip())
        answer.append(text[at : tag.start()])
        trace.append(text[tag.end() : tags[end].start()])
        at, place = tags[end].end(), end + 1
    left = "".join((*answer, text[at:]))
    if not trace and not _WRAPPER.search(left):
        return Split(text, "")
    return Split(_WRAPPER.sub("", left).strip(), "\n\n".join(part.strip() for part in trace if part.strip()))


def _end_of_trace(tags: list[re.Match[str]], start: int) -> int | None:
    depths = accumulate(-1 if _closes(tags[n]) else 1 for n in range(start, len(tags)))
    end = next((n for n, depth in enumerate(depths, start) if depth == 0), None)
    if end is not None:
        return end
    # Thoughts that mention the opening tag: one more of it than of the closing one.
    return next((n for n in range(len(tags) - 1, start, -1) if _closes(tags[n])), None)


def _in_code(fences: list[int], position: int) -> bool:
    """Whether a place lies between the two lines of a code block."""
    before = bisect(fences, position)
    return before % 2 == 1 and before < len(fences)
