"""Shipping what was measured: the same prompts and rewrites as a function, as an assistant, and as a proxy."""

from evenhand.deploy.assistant import Assistant
from evenhand.deploy.rewriting import mitigated
from evenhand.mitigations import make_mitigation
from evenhand.steering import steering

__all__ = ["Assistant", "make_mitigation", "mitigated", "steering"]
