"""Sentence embeddings: texts as vectors whose products are similarities."""

from evenhand.embeddings.base import ENCODERS, Encoder, embed_all, make_encoder, unit_length
from evenhand.embeddings.vectors import Vectors

__all__ = ["ENCODERS", "Encoder", "Vectors", "embed_all", "make_encoder", "unit_length"]
