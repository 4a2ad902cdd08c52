"""Identity neutralisation: rewrite away the facts about the user that the answer does not need.

After "Identity-Robust Language Model Generation via Content Integrity Preservation" (arXiv 2601.09141): find the cues,
decide which of them this question needs, remove the others, keep the content.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evenhand.mitigations.base import MITIGATIONS, Messages, Mitigation
from evenhand.mitigations.cues import POLICY, find_cues, needed, read_policy, sentences, tells, without
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
        question = messages[-1].content
        kept = []
        for number, message in enumerate(messages):
            if message.role == "assistant":
                kept.append(message)
            elif number == len(messages) - 1:
                kept.append(Message(message.role, self._opening(message.content)))
            else:
                text = self._neutral(message.content, question, earlier=message.role == "user")
                kept.append(Message(message.role, text))
        return tuple(m for m in kept if m.content or m.role != "system")

    def _neutral(self, text: str, question: str, *, earlier: bool) -> str:
        cues = [c for c in find_cues(text) if not needed(c.categories, question, self._policy)]
        text = without(text, cues)
        if not earlier:
            return text
        # In an earlier turn whole sentences may let the identity show without stating it.
        telling = [
            (a, b)
            for a, b in sentences(text)
            if (found := tells(text[a:b])) and not needed(found, question, self._policy)
        ]
        if not telling:
            return text or "Hello!"
        for a, b in reversed(telling):
            text = text[:a] + text[b:]
        return text.strip() or "Hello!"

    def _opening(self, text: str) -> str:
        """The question without a statement about the user in front of it; the question itself is never touched."""
        first, separator, rest = text.partition("\n\n")
        if not rest.strip() or len(first) > 200:
            return text
        cues = [c for c in find_cues(first) if not needed(c.categories, rest, self._policy)]
        if not cues:
            return text
        opening = without(first, cues)
        return f"{opening}{separator}{rest}" if opening else rest


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
