"""Preference tuning with TRL and PEFT: pairs that make a model treat identities alike, and training on them."""
