"""Rewards: how well an answer suits one user, told from a few of the user's choices."""

from evenhand.rewards.logistic import LogisticReward
from evenhand.rewards.np_btl import Choices, NeuralReward, train

__all__ = ["Choices", "LogisticReward", "NeuralReward", "train"]
