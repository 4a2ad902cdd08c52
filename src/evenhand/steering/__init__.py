"""Activation steering: who the user is said to be, taken out of a local model's activations while it answers."""

from evenhand.steering.directions import Chosen, Directions
from evenhand.steering.hook import steering
from evenhand.steering.reference import SteerReference, parse_layers
from evenhand.steering.subspace import Layer

__all__ = ["Chosen", "Directions", "Layer", "SteerReference", "parse_layers", "steering"]
