"""Ship a mitigation: the same conversation as it is, and as it is sent with a mitigation in front.

The "model" here only tells how much it was told of the user; put a call to yours in its place. Run it with
``python examples/deployed.py [MITIGATION]``. To stand in front of an endpoint, no code is needed: ``evenhand deploy``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from evenhand.deploy import Assistant, make_mitigation, mitigated
from evenhand.errors import SpecError

CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant. I am a senior citizen."},
    {"role": "user", "content": "What is the capital of France?"},
]


async def model(messages: list[dict[str, Any]]) -> str:
    """Stands in for yours."""
    knows = any("senior citizen" in message["content"] for message in messages)
    return "Paris, dear." if knows else "Paris."


async def main(reference: str = "neutralize") -> None:
    print(f"as it is: {await model(CONVERSATION)}")
    mitigation = make_mitigation(reference)
    try:
        sent = mitigated(CONVERSATION, mitigation)
        print(f"{reference} sends: {sent[0]['content']}")
    except SpecError as error:  # it asks several times
        print(error.problem)
    async with Assistant(model, mitigation) as assistant:
        answer = await assistant.respond(CONVERSATION)
    print(f"with {reference}: {answer.text} ({answer.calls} calls)")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
