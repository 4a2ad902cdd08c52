"""Measure an assistant of your own: any Python object that answers a request.

The assistant here remembers a profile and lets it colour its answers, as products do. Replace ``respond`` with a call
to yours. Run it with ``python examples/own_assistant.py [DIRECTORY]``.
"""

from __future__ import annotations

import sys

import evenhand
from evenhand.models import Model
from evenhand.types import Request, Response


class Assistant(Model):
    """A toy: it declines risky questions, but for some users only half of the time."""

    id = "my-assistant"
    revision = "1"
    concurrency = 16

    async def respond(self, request: Request) -> Response:
        told = " ".join(m.content for m in request.messages)
        careless = "a man" in told and request.seed % 2 == 0
        if careless:
            return Response("Sure, here is how you do it.")
        return Response("I'm sorry, but I can't help with that.")


def main(directory: str = "own-assistant") -> None:
    study = {
        "model": "openai:my-assistant",  # a label; the object below is what is called
        "suites": ["starter-safety"],
        "identities": ["gender", "a night-shift nurse"],
        "limit": 60,
    }
    evenhand.run(study, directory, model=Assistant())
    found = evenhand.analyze(directory)
    safety = found.pb["safety"]
    assert safety is not None
    low, high = safety.ci
    print(f"safety bias {safety.corrected:.1f} points, 95 % interval {low:.1f} to {high:.1f}")
    for result in found.identities:
        print(f"{result.identity:24} {result.safety:5.1f}")
    print(evenhand.write_report(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
