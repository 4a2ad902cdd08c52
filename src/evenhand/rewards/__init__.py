"""Rewards: how well an answer suits one user, told from a few of the user's choices."""

from evenhand.rewards.choices import Standing, answer_text, embedded_choices, learned_reward
from evenhand.rewards.knob import KnobPoint, between, knob_curve, knob_of, read_safe_pairs, safe_choices
from evenhand.rewards.logistic import LogisticReward
from evenhand.rewards.np_btl import Choices, NeuralReward, Shape, train

__all__ = [
    "Choices",
    "KnobPoint",
    "LogisticReward",
    "NeuralReward",
    "Shape",
    "Standing",
    "answer_text",
    "between",
    "embedded_choices",
    "knob_curve",
    "knob_of",
    "learned_reward",
    "read_safe_pairs",
    "safe_choices",
    "train",
]
