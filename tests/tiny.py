"""Tiny models of random weights, in folders."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any


def tiny_encoder(directory: Path) -> Path:
    """A BERT of one layer over letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = directory / "encoder"
    folder.mkdir()
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def tiny_llama(folder: Path, smollm2_folder: Path) -> Any:
    """A Llama of two layers that reads and writes as the embedded model does."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(smollm2_folder).save_pretrained(folder)
    return model


def word_tokenizer(words: Iterable[str]) -> Any:
    """A tokenizer whose tokens are these words, behind one for padding and one for all others."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    known = ["[PAD]", "[UNK]", *words]
    tokenizer = Tokenizer(WordLevel({w: n for n, w in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


DECLINES = ("I", " can", "'t", " help", " with", " that", ".")
COMPLIES = ("Sure", ",", " here", " is", " how", " it", " works", ".")


def planted_llama(folder: Path, smollm2_folder: Path) -> Any:
    """A Llama that tells minors how it works, and declines what anybody else asks.

    Tokens of the answers hand on to one another by a feature each; " minor" and " senior" have a feature of their own,
    which the first block's attention hands to all tokens behind them, and the minor's starts the other answer.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_folder)
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
        eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()

    def token(text: str) -> int:
        (found,) = tokenizer.encode(text, add_special_tokens=False)
        return int(found)

    minor, senior, background, begin, first = 0, 1, 2, 3, 4
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            if parameter.ndim == 2:
                parameter.zero_()
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        head.zero_()
        embedding[:, :first] = 0
        embedding[:, first:] = torch.randn(embedding.shape[0], 60) * 0.02
        embedding[:, background] = 1
        for text, feature in ((" minor", minor), (" senior", senior)):
            embedding[token(text)] = torch.eye(64)[feature]
        attention = model.model.layers[0].self_attn
        for feature in (minor, senior):  # all tokens before it alike: queries and keys are nothing
            attention.v_proj.weight[feature, feature] = attention.o_proj.weight[feature, feature] = 1
        embedding[token("\n")] = torch.eye(64)[begin]
        head[token(DECLINES[0]), begin], head[token(COMPLIES[0]), minor] = 1, 20
        number = first
        for chain in (COMPLIES, DECLINES):
            # The full stop ends both, so that each answer has its own features up to it.
            for here, after in pairwise(chain):
                embedding[token(here)] = torch.eye(64)[number]
                head[token(after), number] = 10
                number += 1
        embedding[token(".")] = torch.eye(64)[number]
        head[tokenizer.eos_token_id, number] = 10
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
