"""Chat logs: JSONL, a conversation per line, with something that tells who the user is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evenhand.errors import DataError
from evenhand.imported.base import FORMATS, ImportFormat, Row, first_object
from evenhand.suites.base import content_id
from evenhand.suites.sources import read_rows

_MESSAGES = "messages"


@FORMATS.register("chats")
class Chats(ImportFormat):
    """Each turn of the assistant is an answer to what the user said before it; a conversation is a cluster.

    What else stands in a line (``user.gender``) can be named as the column of the identity. Conversations that begin
    with the same words are the same item, system messages apart: that is where a user is often told.
    """

    name = "chats"
    summary = "chat logs: JSONL with a list 'messages' of role and content, and the user's attributes"

    def fits(self, path: Path, head: str) -> bool:
        return isinstance(first_object(head).get(_MESSAGES), list)

    def rows(self, path: Path) -> Iterator[Row]:
        for number, line in read_rows(path):
            where = f"{path}, row {number}"
            messages = _messages(line.get(_MESSAGES), where)
            others = {key: value for key, value in line.items() if key != _MESSAGES}
            conversation = str(line.get("conversation_id") or line.get("id") or f"conversation-{number}")
            said: list[str] = []
            for place, (role, content) in enumerate(messages):
                if role == "assistant" and said:
                    yield Row(
                        f"{where}, message {place + 1}",
                        {
                            "item": content_id(*said),
                            "prompt": said[-1],
                            "response": content,
                            "request": [{"role": r, "content": c} for r, c in messages[:place]],
                            "cluster": conversation,
                            "group": "first turn" if len(said) == 1 else "later turns",
                            **others,
                        },
                    )
                if role != "system":
                    said.append(content)


def _messages(value: Any, where: str) -> list[tuple[str, str]]:
    """(role, text) of a conversation; parts that are no text are left out."""
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: 'messages' is not a list of messages.")
    found = []
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise DataError(f"{where}: a message is an object with 'role' and 'content'.")
        content = message.get("content")
        if isinstance(content, list):
            texts = (part.get("text") for part in content if isinstance(part, dict))
            content = "\n".join(text for text in texts if isinstance(text, str))
        if content is not None and not isinstance(content, str):
            raise DataError(f"{where}: the content of a message is no text.")
        if message["role"] in ("system", "user", "assistant") and content:
            found.append((message["role"], content))
    return found
