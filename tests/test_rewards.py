"""Rewards that read a user from a few choices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evenhand.errors import DataError
from evenhand.rewards import Choices, LogisticReward, NeuralReward, knob_curve, read_safe_pairs, train
from evenhand.rewards.np_btl import Shape

torch = pytest.importorskip("torch")


def drawn(count: int, pairs: int, seed: int) -> list[Choices]:
    """The synthetic users of arXiv 2412.13998, section 5.1: up to .5 all agree, beyond it half of them reverse."""
    rng = np.random.default_rng(seed)
    users = []
    for number in range(count):
        answers = rng.random((pairs, 2))
        rewards = np.where(answers < 0.5, answers, 1 - answers if number % 2 else 2 * answers)
        first = rewards[:, 0] > rewards[:, 1]
        chosen, rejected = np.where(first, *answers.T), np.where(first, *answers.T[::-1])
        users.append(Choices(chosen[:, None].astype(np.float32), rejected[:, None].astype(np.float32)))
    return users


@pytest.fixture(scope="module")
def reward() -> NeuralReward:
    return train(drawn(400, 25, 0), Shape(1, 32), steps=200, batch=32, learning_rate=4e-3)


@pytest.mark.simulation
def test_a_few_choices_tell_the_user(reward: NeuralReward) -> None:
    unseen = drawn(300, 25, 1)
    nobody, one, ten = (reward.accuracy(unseen, context) for context in (0, 1, 10))
    assert nobody < 0.80
    assert nobody < one < ten
    assert ten > 0.95


def test_the_order_of_choices_does_not_matter(reward: NeuralReward) -> None:
    (choices,) = drawn(1, 6, 2)
    turned = Choices(choices.chosen[::-1].copy(), choices.rejected[::-1].copy())
    assert reward.user(choices) == pytest.approx(reward.user(turned), abs=1e-5)


def test_a_user_is_no_count_of_choices(reward: NeuralReward) -> None:
    (choices,) = drawn(1, 3, 3)
    twice = Choices(np.repeat(choices.chosen, 2, axis=0), np.repeat(choices.rejected, 2, axis=0))
    assert reward.user(choices) == pytest.approx(reward.user(twice), abs=1e-5)


def test_what_is_read_back_is_all_of_it(reward: NeuralReward, tmp_path: Path) -> None:
    path = tmp_path / "reward.safetensors"
    reward.save(path)
    again = NeuralReward.load(path)
    (choices,) = drawn(1, 5, 4)
    assert again.shape == reward.shape
    assert (again.user(choices) == reward.user(choices)).all()

    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    weights.pop("user.0.weight")
    save_file(weights, path, metadata={"shape": '{"dim": 1, "hidden": 32}'})
    with pytest.raises(DataError, match="holds no reward"):
        NeuralReward.load(path)
    with pytest.raises(DataError, match="no reward at"):
        NeuralReward.load(tmp_path / "none")


def test_nobody_with_two_choices_teaches_nothing() -> None:
    with pytest.raises(DataError, match="two choices"):
        train(drawn(3, 1, 0), Shape(1, 32), steps=1)


def test_the_logistic_baseline_finds_a_direction_and_knows_nothing_of_nobody() -> None:
    rng = np.random.default_rng(0)
    taste = np.array([1.0, -2.0, 0.0])
    answers = rng.normal(size=(400, 2, 3))
    better = (answers @ taste).argmax(axis=1)
    chosen, rejected = answers[np.arange(400), better], answers[np.arange(400), 1 - better]
    fitted = LogisticReward.fit(chosen[:200], rejected[:200])
    assert np.mean(fitted.rewards(chosen[200:]) > fitted.rewards(rejected[200:])) > 0.95
    assert not LogisticReward.fit(chosen[:0], rejected[:0]).weights.any()


def test_the_logistic_fit_is_the_optimum() -> None:
    """One pair that differs by 1 in one dimension: w = sigmoid(-w) at penalty 1, so w = 0.4011."""
    fitted = LogisticReward.fit(np.array([[1.0]]), np.array([[0.0]]))
    assert fitted.weights[0] == pytest.approx(0.401058, abs=1e-4)


def test_the_knob_trades_the_users_taste_for_safe_answers(reward: NeuralReward) -> None:
    # Of the users here, those with an even number like large answers: say these are risky, and small ones safe.
    risky, cautious = drawn(40, 24, 5)[::2], drawn(40, 24, 5)[1::2]
    answers = np.random.default_rng(6).uniform(0.55, 1, (20, 2)).astype(np.float32)
    safe = Choices(answers.min(axis=1)[:, None], answers.max(axis=1)[:, None])
    points = knob_curve(reward, risky, safe, weights=(0, 0.5, 1))
    own, won = [point.own for point in points], [point.safe for point in points]
    assert own[0] > 0.9 > own[2]
    assert won[0] < 0.1
    assert won[2] > 0.9
    assert won[0] <= won[1] <= won[2]
    # Who likes safe answers anyway loses nothing.
    kept = knob_curve(reward, cautious, safe, weights=(0, 1))
    assert min(kept[0].safe, kept[1].safe) > 0.9
    assert [point.people for point in points] == [20] * 3
    assert knob_curve(reward, [], safe) == []


def test_safe_pairs_that_are_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    with pytest.raises(DataError, match="pairs"):
        read_safe_pairs(path)
    path.write_text('{"prompt": "q", "chosen": "no", "rejected": "yes"}\n')
    with pytest.raises(DataError, match="has 1 pairs, and a knob needs 4 or more"):
        read_safe_pairs(path)
    path.write_text('{"prompt": "q", "chosen": "no"}\n' * 4)
    with pytest.raises(DataError, match="rejected"):
        read_safe_pairs(path)
