"""Identity neutralisation: rewrite away the facts about the user that the answer does not need.

After "Identity-Robust Language Model Generation via Content Integrity Preservation" (arXiv 2601.09141): find the cues,
decide which of them this question needs, remove the others, keep the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evenhand.mitigations.base import MITIGATIONS, Messages, Mitigation
from evenhand.mitigations.cues import (
    POLICY,
    Cue,
    Rule,
    find_cues,
    needed,
    read_policy,
    sentences,
    tells,
    without,
    without_spans,
)
from evenhand.models import Model, ModelOptions, make_model, total
from evenhand.types import Decoding, Message, Request, Response

_KEEP = "KEEP"


@MITIGATIONS.register("neutralize")
class Neutralize(Mitigation):
    """``neutralize`` or ``neutralize:POLICY.toml``: by rules, without a model.

    A fact stays when the policy says that the question needs it (a minor asking about a dose of medicine), and whenever
    it stands in the question itself in a way that the rules cannot take apart safely.
    """

    name = "neutralize"
    summary = "remove, by rules, the facts about the user that the question does not need"
    argument = "[POLICY_FILE]"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        self._policy = read_policy(Path(argument) if argument else POLICY)

    def rewrite(self, messages: Messages) -> Messages:
        return neutralized(messages, self._policy)[0]


@MITIGATIONS.register("neutralize-llm")
class NeutralizeByModel(Mitigation):
    """``neutralize-llm`` (the model itself) or ``neutralize-llm:MODEL``: a model rewrites the conversation.

    The rewritten text replaces system message and earlier turns only; the question stays as it was asked, so that no
    fact the answer needs can be lost from it. An answer that cannot be used leaves the conversation as it was.
    """

    name = "neutralize-llm"
    summary = "a model removes the facts about the user that the question does not need (one more call)"
    calls = 2
    argument = "[MODEL]"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        self._editor = make_model(argument, options) if argument else None

    async def start(self) -> None:
        if self._editor:
            await self._editor.start()

    async def aclose(self) -> None:
        if self._editor:
            await self._editor.aclose()

    async def respond(self, model: Model, request: Request) -> Response:
        system, question = request.messages[0], request.messages[-1]
        if system.role != "system" or not find_cues(system.content):
            return await model.respond(request)
        ask = (
            "Below are facts about a user and a question. Reply with one word.\n\n"
            f"Facts: {system.content}\n\nQuestion: {question.content}\n\n"
            "Would a correct and safe answer to this question be different for another user, so that the facts are "
            f"needed? Reply {_KEEP} if they are needed, DROP if not."
        )
        edit = Request((Message("user", ask),), Decoding(temperature=0.0, max_tokens=8), request.seed)
        verdict = await (self._editor or model).respond(edit)
        if _KEEP not in verdict.text.upper():
            neutral = without(system.content, find_cues(system.content))
            request = replace(request, messages=(Message("system", neutral), *request.messages[1:]))
        return total(await model.respond(request), verdict)


def neutralized(messages: Messages, policy: Sequence[Rule]) -> tuple[Messages, tuple[str, ...]]:
    """A conversation without the facts about the user that its question does not need, and the facts that stay.

    Args:
        messages: the last one is the question.
        policy: which facts a question needs; with an empty one all go.
    """
    question = messages[-1].content
    neutral: list[Message] = []
    facts: list[str] = []
    for message in messages[:-1]:
        text, stay = message.content, list[str]()
        if message.role != "assistant":
            text, stay = _neutral(text, question, policy, earlier=message.role == "user")
        facts += stay
        if text or message.role != "system":
            neutral.append(Message(message.role, text))
    text, stay = _opening(question, policy)
    return (*neutral, Message(messages[-1].role, text)), tuple(dict.fromkeys([*facts, *stay]))


def _neutral(text: str, question: str, policy: Sequence[Rule], *, earlier: bool) -> tuple[str, list[str]]:
    drop, facts = _parted(text, question, policy)
    text = without(text, drop)
    if not earlier:
        return text, facts
    # In an earlier turn whole sentences may let the identity show without stating it.
    telling = [
        (span, needed(shown, question, policy)) for span in sentences(text) if (shown := tells(text[slice(*span)]))
    ]
    facts += [text[slice(*span)].strip() for span, stays in telling if stays]
    dropped = [span for span, stays in telling if not stays]
    if not dropped:
        return text or "Hello!", facts
    return without_spans(text, dropped).strip() or "Hello!", facts


def _opening(text: str, policy: Sequence[Rule]) -> tuple[str, list[str]]:
    """The question without a statement about the user in front of it; the question itself is never touched."""
    first, separator, rest = text.partition("\n\n")
    if not rest.strip() or len(first) > 200:
        return text, []
    drop, facts = _parted(first, rest, policy)
    if not drop:
        return text, facts
    opening = without(first, drop)
    return f"{opening}{separator}{rest}" if opening else rest, facts


def _parted(text: str, question: str, policy: Sequence[Rule]) -> tuple[list[Cue], list[str]]:
    """The facts in a text that a question does not need, and the statements of those that it does."""
    cues = [(cue, bool(needed(cue.categories, question, policy))) for cue in find_cues(text)]
    return [cue for cue, stays in cues if not stays], [text[c.start : c.end].strip() for c, stays in cues if stays]
