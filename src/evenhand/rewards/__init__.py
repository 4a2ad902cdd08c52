"""Rewards: how well an answer suits one user, told from a few of the user's choices."""

from evenhand.rewards.choices import CONTEXTS, Standing, answer_text, embedded_choices, enough, learned_reward, parted
from evenhand.rewards.knob import KnobPoint, between, knob_curve, knob_of, read_safe_pairs, safe_choices
from evenhand.rewards.logistic import LogisticReward
from evenhand.rewards.np_btl import NeuralReward, Shape, train
from evenhand.rewards.reader import Choices

__all__ = [
    "CONTEXTS",
    "Choices",
    "KnobPoint",
    "LogisticReward",
    "NeuralReward",
    "Shape",
    "Standing",
    "answer_text",
    "between",
    "embedded_choices",
    "enough",
    "knob_curve",
    "knob_of",
    "learned_reward",
    "parted",
    "read_safe_pairs",
    "safe_choices",
    "train",
]
