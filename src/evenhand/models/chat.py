"""Turns a conversation into the tokens a local model reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evenhand.errors import ModelError
from evenhand.reasoning import closing_tag, is_trace_tag, opens_trace
from evenhand.types import Message, Request

_SENTINEL = "evenhand-system-role-probe"
_MARK = "evenhand-template-probe"
# Shorter beginnings (in tokens) are read again with each question.
_WORTH_KEEPING = 96
# Conversations whose beginning is remembered as tokens.
_MOST_BEGUN = 4096
_MARKUP = re.compile(r"<\|[^|<>]*\|>|<</?[A-Za-z_]+>>|</?[A-Za-z_]+>|\[/?[A-Z_]+\]")
_ROLE = re.compile(r"^\W*(?:system|developer|user)\b\W*?(?:\n|:|$)", re.IGNORECASE)


class ChatFormat:
    """Renders messages with a tokenizer's chat template.

    Templates without a system role (they raise, or drop the message) get the system text and the user's turn in one
    user message, a blank line between. Tokenizers without a template (base models) get a plain transcript.

    Args:
        tokenizer: a transformers tokenizer.

    Attributes:
        has_template, has_system_role: what the tokenizer's template knows.
        adds: the text that its template puts in front of a conversation without a system message; "" for none.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.has_template: bool = bool(getattr(tokenizer, "chat_template", None))
        self.has_system_role: bool = self.has_template and self._probe_system_role()
        self.adds: str = self._probe_addition() if self.has_template else ""
        self._tags_are_special: bool = any(map(is_trace_tag, getattr(tokenizer, "all_special_tokens", ())))
        self._opened: dict[str | None, str] = {}
        self._begun: dict[tuple[Message, ...], list[int]] = {}

    def tokens(self, messages: Sequence[Message], prefill: str = "", effort: str | None = None) -> list[int]:
        """Token ids of the conversation, up to where the assistant's answer starts (after ``prefill``).

        Args:
            messages: the conversation.
            prefill: how the assistant's turn begins.
            effort: of reasoning, for templates that know it.
        """
        text = self.text(messages, effort) + prefill
        # A template writes its own special tokens; adding them again would double the first one.
        ids = self._tokenizer(text, add_special_tokens=not self.has_template)["input_ids"]
        if not ids:
            raise ModelError("The tokenizer turned a prompt into no tokens at all.", "Check the model's files.")
        return list(ids)

    def beginning(self, messages: Sequence[Message], tokens: Sequence[int]) -> int:
        """How many of a conversation's tokens its last turn leaves as they are: what other questions share with it.

        0 where that is not worth keeping apart.

        Args:
            messages: the conversation.
            tokens: of it, as :meth:`tokens` gives them.
        """
        if len(messages) < 2 or not self.has_system_role:
            return 0
        told = tuple(messages[:-1])
        if told not in self._begun:
            if len(self._begun) > _MOST_BEGUN:
                self._begun.clear()
            try:
                self._begun[told] = self.tokens(told)
            except Exception:  # templates raise whatever Jinja or their authors chose, as for no turn of a user
                self._begun[told] = []
        shared = min(_shared(self._begun[told], tokens), len(tokens) - 1)
        return shared if shared >= _WORTH_KEEPING else 0

    def choice_tokens(self, request: Request) -> tuple[list[int], list[int]]:
        """The prompt of a request with choices, and each choice's first token that tells it from the others.

        Raises:
            ModelError: two choices do not differ in that token.
        """
        effort = request.decoding.reasoning_effort
        # Behind an open trace the choices would be the first word of a thought.
        thought = self.opened_trace(effort)
        prefill = (f"\n{closing_tag(thought)}\n\n" if thought else "") + request.prefill
        prompt = self.tokens(request.messages, prefill, effort)
        written = [self.tokens(request.messages, prefill + choice, effort) for choice in request.choices]
        shortest = min(map(len, written))
        columns = zip(*written, strict=False)
        shared = next((n for n, column in enumerate(columns) if len(set(column)) > 1), shortest)
        if shared < len(prompt):
            # The choice merges with the end of the prefill ("is" + " Yes"): score it after what they share.
            prompt = written[0][:shared]
        firsts = [w[shared] for w in written if len(w) > shared]
        if len(set(firsts)) < len(written):
            raise ModelError(
                f"The choices {', '.join(request.choices)} do not differ in their first token for this model.",
                "Use the suite without ':logprobs'.",
            )
        return prompt, firsts

    def text_tokens(self, request: Request) -> tuple[list[int], list[list[int]]]:
        """The prompt of a request with whole choices, and the tokens that each of them adds to it."""
        effort = request.decoding.reasoning_effort
        thought = self.opened_trace(effort)
        prefill = (f"\n{closing_tag(thought)}\n\n" if thought else "") + request.prefill
        prompt = self.tokens(request.messages, prefill, effort)
        written = [self.tokens(request.messages, prefill + choice, effort) for choice in request.choices]
        # A choice may merge with the end of the prefill: all are scored from where the first of them differs.
        shared = min(_shared(prompt, tokens) for tokens in written)
        return prompt[:shared], [tokens[shared:] for tokens in written]

    def answer(self, tokens: Sequence[int], effort: str | None = None) -> str:
        """The text of generated tokens, with the tag that the template opened a trace with before them."""
        text = self._tokenizer.decode(tokens, skip_special_tokens=not self._tags_are_special)
        return self.opened_trace(effort) + str(text)

    def opened_trace(self, effort: str | None = None) -> str:
        """The tag with which the template opens a trace for the model, or ""."""
        if effort not in self._opened:
            self._opened[effort] = opens_trace(self.text([Message("user", "Hello.")], effort))
        return self._opened[effort]

    def text(self, messages: Sequence[Message], effort: str | None = None) -> str:
        """The conversation as text, with the generation prompt."""
        if not self.has_template:
            return _transcript(messages)
        if not self.has_system_role:
            messages = merge_system(messages)
        return self._render(messages, effort)

    def _render(self, messages: Sequence[Message], effort: str | None = None) -> str:
        turns = [m.to_dict() for m in messages]
        # Variables that a template does not know are ignored by it.
        known = {} if effort is None else {"reasoning_effort": effort, "enable_thinking": effort != "none"}
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **known))

    def _probe_system_role(self) -> bool:
        try:
            return _SENTINEL in self._render([Message("system", _SENTINEL), Message("user", "Hello.")])
        except Exception:  # templates raise whatever Jinja or their authors chose
            return False

    def _probe_addition(self) -> str:
        """What stands before the user's first turn, apart from markup."""
        user = Message("user", _SENTINEL)
        try:
            before = self._render([user]).partition(_SENTINEL)[0]
            if self.has_system_role:
                given = self._render([Message("system", _MARK), user]).partition(_SENTINEL)[0]
                head, _, tail = given.partition(_MARK)
                middle = before[len(head) : len(before) - len(tail)]
                # A system message stands exactly where one would have been given.
                if middle.strip() and before == head + middle + tail:
                    return self._words(head + middle)
            later = self._render([Message("user", "A"), Message("assistant", _MARK), user])
            between = later.rpartition(_MARK)[2].partition(_SENTINEL)[0]
        except Exception:  # a template that refuses turns; what it writes before the first one is markup or words
            between = ""
        before, between = self._unmarked(before), self._unmarked(between)
        # What opens every turn of the user is no addition to the first.
        while between and not before.endswith(between):
            between = between[1:]
        return self._words(before[: len(before) - len(between)])

    def _words(self, text: str) -> str:
        """The text without special tokens and the role's name."""
        return _ROLE.sub("", self._unmarked(text).strip()).strip()

    def _unmarked(self, text: str) -> str:
        for token in sorted(getattr(self._tokenizer, "all_special_tokens", ()), key=len, reverse=True):
            text = text.replace(token, "\n")
        return _MARKUP.sub("\n", text)


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two texts share from their beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))


def merge_system(messages: Sequence[Message]) -> list[Message]:
    """Put the system text in front of the first user turn, a blank line between."""
    if not messages or messages[0].role != "system":
        return list(messages)
    system, first, *rest = messages
    return [Message("user", f"{system.content}\n\n{first.content}"), *rest]


def _transcript(messages: Sequence[Message]) -> str:
    names = {"user": "User: ", "assistant": "Assistant: ", "system": ""}
    return "\n\n".join(f"{names[m.role]}{m.content}" for m in messages) + "\n\nAssistant:"
