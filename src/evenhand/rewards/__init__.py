"""Rewards: how well an answer suits one user, told from a few of the user's choices."""

from evenhand.rewards.choices import Standing, answer_text, embedded_choices, learned_reward
from evenhand.rewards.logistic import LogisticReward
from evenhand.rewards.np_btl import Choices, NeuralReward, Shape, train

__all__ = [
    "Choices",
    "LogisticReward",
    "NeuralReward",
    "Shape",
    "Standing",
    "answer_text",
    "embedded_choices",
    "learned_reward",
    "train",
]
