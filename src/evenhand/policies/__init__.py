"""Policies: a local model whose answers follow a user whom it reads from a few choices."""

from evenhand.policies.film import Film, filmed
from evenhand.policies.network import POLICY_FILE, WEIGHTS_FILE, Policy, PolicyShape, build_policy, read_policy

__all__ = ["POLICY_FILE", "WEIGHTS_FILE", "Film", "Policy", "PolicyShape", "build_policy", "filmed", "read_policy"]
