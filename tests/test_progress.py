"""The rate behind the ETA, with a clock that the tests turn."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from evenhand.runner.progress import Rate


def etas(times: Iterable[float], total: int) -> list[tuple[float, float]]:
    """(time, ETA) wherever one is shown, for answers that come at these times (s)."""
    now = 0.0
    rate = Rate(clock=lambda: now)
    found = []
    for n, now in enumerate(times, 1):
        if known := rate.tick():
            found.append((now, (total - n) / known))
    return found


def assert_near(times: list[float], *, within: float) -> None:
    """Every ETA that is shown lies within a factor of the time that is really left; some are shown early."""
    end = times[-1]
    shown = etas(times, len(times))
    assert shown
    assert shown[0][0] < 0.25 * end
    for now, eta in shown:
        if end - now > 0.1 * end:
            assert (end - now) / within <= eta <= (end - now) * within, (
                f"at {now:.0f} s: {eta:.0f}, not {end - now:.0f}"
            )


@pytest.mark.parametrize("period", [2.0, 20.0, 60.0, 200.0])
def test_bursts_of_a_local_model(period: float) -> None:
    """64 answers within a few milliseconds, then nothing while the next batch is computed."""
    times = [batch * period + row * 0.0001 for batch in range(1, 31) for row in range(64)]
    assert_near(times, within=1.35)


def test_batches_that_take_unlike_times() -> None:
    rng = random.Random(3)
    times, now = [], 0.0
    for _ in range(60):
        now += rng.uniform(10, 30)
        times += [now + row * 0.001 for row in range(64)]
    assert_near(times, within=2.0)


def test_a_server_whose_first_wave_comes_late() -> None:
    """64 calls in flight of 15 to 25 s each: the first answers come together, and say little about the rate."""
    rng = random.Random(1)
    times = []
    for _ in range(64):
        now = 0.0
        for _ in range(20):
            now += rng.uniform(15, 25)
            times.append(now)
    times.sort()
    assert_near(times, within=1.8)
    assert etas(times, len(times))[0][0] >= 30


def test_a_fast_server() -> None:
    assert_near([n / 500 for n in range(1, 20_000)], within=1.1)


def test_a_change_of_pace_is_seen() -> None:
    slow = [n * 1.0 for n in range(1, 301)]
    fast = [300 + n * 0.1 for n in range(1, 3001)]
    shown = [(t, eta) for t, eta in etas([*slow, *fast], 3300) if t > 520]
    assert all((600 - t) / 1.6 <= eta <= (600 - t) * 1.6 for t, eta in shown if t < 595)


def test_nothing_is_shown_before_anything_is_known() -> None:
    assert etas([10.0, 10.001, 10.002], 100) == []
