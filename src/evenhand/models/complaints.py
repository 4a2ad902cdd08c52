"""What a server will not take: which parameter of a request an error speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from evenhand.errors import one_line

# A value out of range is the user's to mend; only what the server does not know at all is left out.
_UNKNOWN = re.compile(
    r"(?:un|not )support"
    r"|(?:does|do|is|are|was)(?: not|n['’]t) (?:support|allow|permit|accept|recogni|available|enabled|valid)"
    r"|unknown|unrecogni[sz]ed|unexpected|un(?:permitted|allowed)|not (?:allowed|permitted|accepted|available|enabled)"
    r"|no longer (?:supported|available)|extra (?:inputs|fields)|additional propert"
    r"|invalid (?:parameter|argument|field)"
    r"|only the default|deprecated|cannot (?:be (?:used|set|specified)|find field)|incompatible|must not be|is disabled"
    r"|unsupported_(?:parameter|value)|unknown_parameter|extra_forbidden",
    re.IGNORECASE,
)
_SYSTEM_ROLE = re.compile(
    r"\b(?:system|developer)\b['\"` _]{0,3}(?:role|message|prompt|instruction)"
    r"|\broles?\b[^.]{0,60}\b(?:system|developer)\b|\bmessages?\[0\]\.role|\binvalid role\b",
    re.IGNORECASE,
)
_ONLY_TURNS = re.compile(
    r"only (?:'?user'?|\"user\")[^.]{0,20}\bassistant\b|roles must alternate|must start with (?:a )?'?user",
    re.IGNORECASE,
)
_RESPONSES_API = re.compile(r"v1/responses|responses (?:api|endpoint)", re.IGNORECASE)


@dataclass(frozen=True)
class Complaint:
    """What an error says.

    Attributes:
        message: in the server's words, one line.
        parameter: the field it names apart from them, or "".
        code: its code or type, or "".
    """

    message: str
    parameter: str = ""
    code: str = ""

    @property
    def text(self) -> str:
        return f"{self.message} {self.parameter} {self.code}"

    def about(self, names: Iterable[str]) -> str | None:
        """Which of the parameters ``names`` the server says it does not know; None for any other complaint."""
        if not _UNKNOWN.search(self.text):
            return None
        wanted = list(names)
        if (last := re.split(r"[.\[\]/]", self.parameter)[-1]) in wanted:
            return last
        places = {name: place for name in wanted if (place := _mentioned(name, self.message)) is not None}
        return min(places, key=lambda name: places[name]) if places else None

    @property
    def is_about_system_role(self) -> bool:
        """Whether the server takes no system message."""
        return bool(_ONLY_TURNS.search(self.text) or (_SYSTEM_ROLE.search(self.text) and _UNKNOWN.search(self.text)))

    @property
    def wants_responses_api(self) -> bool:
        """Whether the model is served by OpenAI's Responses API alone."""
        return bool(_RESPONSES_API.search(self.message))


def complaint_of(raw: bytes) -> Complaint:
    """What the body of an error says, in any of the shapes that servers use."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Complaint(one_line(raw[:2000].decode(errors="replace")))
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return Complaint(one_line(str(error)))
    message = next((error[key] for key in ("message", "msg", "detail", "errors") if error.get(key)), None)
    if isinstance(message, list):
        # Validators name the place and the problem of each field.
        parts = [m if isinstance(m, dict) else {"msg": m} for m in message]
        message = "; ".join(f"{'.'.join(map(str, part.get('loc', ())))} {part.get('msg', part)}" for part in parts)
    return Complaint(
        one_line(str(message if message is not None else error)),
        str(error.get("param") or ""),
        f"{error.get('code') or ''} {error.get('type') or ''}".strip(),
    )


def _mentioned(name: str, text: str) -> int | None:
    """Where ``text`` speaks of a parameter, also as "top-k" or "topK"."""
    pattern = r"(?<![A-Za-z0-9_])" + "[_ -]?".join(map(re.escape, name.split("_"))) + r"(?![A-Za-z0-9_])"
    found = re.search(pattern, text, re.IGNORECASE)
    return found.start() if found else None
