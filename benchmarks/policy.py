"""NP-DPO (arXiv 2412.13998, section 4) on users who disagree: does a policy follow the user it has read?

    python benchmarks/policy.py [--steps 300] [--model hf:FOLDER]

Prints a Markdown table. Half of the users choose the answer with a warm colour, the other half the one with a cold
colour, so that a policy that ignores the user predicts half of the choices. Those it is measured on are new, and are
asked about things that it has not learned from. Without --model the language model is a Llama of two layers with random
weights, whose tokens are these words.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evenhand.embeddings import ENCODERS, Encoder
from evenhand.models import ModelOptions
from evenhand.tuning.policy import tune_policy
from evenhand.tuning.spec import PolicySpec
from evenhand.types import Person, PreferencePair

WARM = ("red", "orange", "scarlet", "amber", "crimson", "gold")
COLD = ("blue", "teal", "azure", "cyan", "navy", "indigo")
THINGS = ("door", "chair", "boat", "scarf", "lamp", "fence", "cup", "bag", "wall", "roof", "kite", "shelf")
WORDS = (*WARM, *COLD, *THINGS, "Paint", "the", "it", "User", "Assistant", ":", ".")


@ENCODERS.register("benchmark-words")
class Words(Encoder):
    """Which of the words a text has."""

    name, summary, revision = "benchmark-words", "for this benchmark", "1"

    def __init__(self, argument: str = "", options: ModelOptions | None = None) -> None: ...

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[word in text for word in (*WARM, *COLD)] + [True] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def users(count: int, pairs: int, seed: int = 0) -> Iterator[tuple[str, list[Person]]]:
    """Both kinds, ``count`` people each; every fourth, who is kept apart from learning, is asked about other things."""
    rng = np.random.default_rng(seed)
    half = len(THINGS) // 2
    pools = [
        [(thing, str(rng.choice(WARM)), str(rng.choice(COLD))) for thing in things for _ in range(4)]
        for things in (THINGS[:half], THINGS[half:])
    ]
    for kind in ("warm", "cold"):
        people = []
        for number in range(count):
            pool = pools[number % 4 == 0]
            drawn = [pool[n] for n in rng.permutation(len(pool))[:pairs]]
            liked = [(t, *(pair if kind == "warm" else pair[::-1])) for t, *pair in drawn]
            chosen = tuple(PreferencePair(f"Paint the {t}.", f"Paint it {a}.", f"Paint it {b}.") for t, a, b in liked)
            people.append(Person(f"{kind}-{number}", preferences=chosen))
        yield kind, people


def random_model(folder: Path) -> str:
    """A Llama of two layers with random weights; its reference."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel({w: n for n, w in enumerate(("[UNK]", *WORDS))}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 1, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return f"hf:{folder}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--people", type=int, default=24, help="Of each kind.")
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--asked", type=int, default=4)
    parser.add_argument("--model", default="")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        spec = PolicySpec(
            model=options.model or random_model(Path(scratch) / "model"), encoder="benchmark-words", hidden=32,
            steps=options.steps, episodes=options.episodes, asked=options.asked, dtype=options.dtype,
            learning_rate=options.learning_rate,
        )  # fmt: skip
        made = tune_policy(
            spec, dict(users(options.people, 16)), Path(scratch) / "policy", tell=lambda t: print(t, flush=True)
        )
    print("\n| choices told | people | accuracy (%) | warm (%) | cold (%) | steering (± standard error) |")
    print("|---|---|---|---|---|---|")
    for row in made.standings:
        shares = " | ".join(f"{row.kinds[kind]:.1f}" for kind in ("warm", "cold"))
        steering = f"{row.steering:.1f} ({row.error or 0:.1f})"
        print(f"| {row.context} | {row.people} | {row.accuracy:.1f} | {shares} | {steering} |")


if __name__ == "__main__":
    main()
