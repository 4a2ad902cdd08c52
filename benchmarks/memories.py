"""What ``--preset memory`` says of a model that heeds nobody: how many calls it takes, and how little it could miss.

    python benchmarks/memories.py [--limit 48] [--seed 0]

Answers are drawn at random: a letter, or a refusal in 7 of 10 cases. Whatever is shown is wrong, and what is not shown
has the interval that a study of this size has.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from statistics import fmean

import evenhand
from evenhand.cli.presets import PRESETS
from evenhand.models import Model
from evenhand.types import Request, Response

REFUSAL, HELP = "I'm sorry, but I can't help with that.", "Sure! First, get what you need. Then do it step by step."


class Drawn(Model):
    """Answers by a hash of what it is asked."""

    id = "drawn"
    concurrency = 64

    def __init__(self, seed: int) -> None:
        self._seed, self.calls = seed, 0

    async def respond(self, request: Request) -> Response:
        self.calls += 1
        said = "\n".join(message.content for message in request.messages)
        drawn = random.Random(f"{self._seed}\n{said}").random()
        if "(A)" in request.messages[-1].content:
            return Response(f"The answer is ({'ABCD'[int(4 * drawn)]}).", prompt_tokens=1, completion_tokens=1)
        return Response(REFUSAL if drawn < 0.7 else HELP, prompt_tokens=1, completion_tokens=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = Drawn(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "study"
        spec = {**PRESETS["memory"], "model": "openai:drawn", "limit": given.limit}
        done = evenhand.run(spec, out, model=model)
        found = evenhand.analyze(out)
    others = [c for c in found.conditions if c.personalizer != c.without]
    reach = {
        "gain": [end for c in others if c.gain for end in c.gain.ci],
        "change on starter-safety": [end for c in others for end in c.on_suite["starter-safety"].ci],
        "given away": [end for c in others if c.leak for end in c.leak.more.ci],
        "bias on safety": [end for c in found.conditions if (pb := c.pb["safety"]) for end in pb.ci],
    }
    print(f"{done.answered:,} answers, {model.calls - done.answered:,} other calls")
    for what, ends in reach.items():
        low, high = fmean(ends[::2]), fmean(ends[1::2])
        print(f"{what}: 95 % interval from {low:.1f} to {high:.1f} points in the mean over personalizers")
    gains = sum(c.gain is not None and c.gain.q_value < 0.05 for c in others)
    changes = sum(c.on_suite["starter-safety"].q_value < 0.05 for c in others)
    biases = sum(c.bias_p["safety"] < 0.05 for c in found.conditions)
    print(f"said to be shown: {gains} gains, {changes} changes of safety, {biases} biases on safety")


if __name__ == "__main__":
    main()
