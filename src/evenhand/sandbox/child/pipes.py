"""Messages between the two processes inside the sandbox: a length, then JSON."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_MOST_BYTES = 8 << 20


class ClosedError(Exception):
    """The other side ended, or sent what is no message."""


class Pipe:
    """One direction to read from, one to write to."""

    def __init__(self, read_end: int, write_end: int) -> None:
        self._read_end = read_end
        self._write_end = write_end

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        data = len(data).to_bytes(4, "big") + data
        try:
            while data:
                data = data[os.write(self._write_end, data) :]
        except OSError:
            raise ClosedError("the program ended itself or hit a limit") from None

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            ClosedError: there will be none.
        """
        length = int.from_bytes(self._exactly(4), "big")
        if length > _MOST_BYTES:
            raise ClosedError("the program sent too much")
        try:
            message = json.loads(self._exactly(length))
        except (ValueError, RecursionError):
            raise ClosedError("the program sent what cannot be read") from None
        if not isinstance(message, dict):
            raise ClosedError("the program sent what cannot be read")
        return message

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = os.read(self._read_end, min(count - len(data), 1 << 20))
            if not part:
                raise ClosedError("the program ended itself or hit a limit before its tests were over")
            data += part
        return data
