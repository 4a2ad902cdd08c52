"""Evolving a defense: instructions for everybody, improved on what the best of them still get wrong."""

from evenhand.evolving.evolution import Evolution, evolve
from evenhand.evolving.spec import EvolutionSpec

__all__ = ["Evolution", "EvolutionSpec", "evolve"]
