"""Prices: an estimate before, the cost after, and limits that hold."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.runner.spending import Spending, price
from evenhand.study.spec import BudgetSpec
from evenhand.types import Response
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]


def command(server: Server, out: Path, *more: str) -> tuple[str, ...]:
    return (
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--identities",
        "a minor,an adult", "--limit", "20", "--concurrency", "4", "--out", str(out), *more,
    )  # fmt: skip


def test_the_price_of_tokens() -> None:
    budget = BudgetSpec(price_in=0.5, price_out=2)
    assert price(budget, 1_000_000, 500_000) == 0.5 + 1.0
    assert price(BudgetSpec(), 10, 10) is None
    # Without a price of their own, cached tokens cost what the others do.
    assert price(budget, 1_000_000, 500_000, 400_000) == 0.5 + 1.0
    cheaper = BudgetSpec(price_in=0.5, price_out=2, price_cached=0.05)
    assert price(cheaper, 1_000_000, 500_000, 400_000) == pytest.approx(0.6 * 0.5 + 0.4 * 0.05 + 1.0)
    spending = Spending(cheaper, 1_000_000, 0, 400_000)
    spending.started()
    spending.ended([Response("x", prompt_tokens=1_000_000, completion_tokens=500_000, cached_tokens=600_000)])
    assert spending.cached_tokens == 1_000_000
    assert spending.cost == pytest.approx(0.5 + 0.05 + 1.0)


@pytest.mark.parametrize(
    "wrong", [{"price_in": 1}, {"max_cost": 1}, {"price_in": -1, "price_out": 1}, {"price_cached": 1}]
)
def test_half_a_price_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"price|greater"):
        BudgetSpec(**wrong)


@given(st.integers(20, 2000), st.integers(1, 8))
def test_calls_of_one_size_never_pass_the_limit(limit: int, workers: int) -> None:
    spending = Spending(BudgetSpec(max_total_tokens=limit), 0, 0)
    in_flight = spent = 0
    for _ in range(400):
        while in_flight < workers and not spending.must_wait() and spending.allows_another():
            spending.started()
            in_flight += 1
        if not in_flight:
            break
        spending.ended([Response("x", prompt_tokens=13, completion_tokens=7)])
        in_flight -= 1
        spent += 20
    assert spent <= limit
    assert spent > limit - 20  # and nothing is left that another call would fit in


def test_an_estimate_before_and_what_it_cost_after(cli: Cli, server: Server, tmp_path: Path) -> None:
    prices = ("--price-in", "1", "--price-out", "10")
    line = command(server, tmp_path / "study", *prices, "--format", "json")
    (before,) = json.loads(cli(*line, "--dry-run").stdout)
    assert server.calls == 0
    assert (before["trials"], before["completion_tokens"], before["measured"]) == (60, 60 * 300, False)
    assert before["cost"] == pytest.approx((before["prompt_tokens"] + 10 * 60 * 300) / 1e6, rel=1e-4)
    done = cli(*line)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cost"] == pytest.approx(60 * (11 + 70) / 1e6)
    (more,) = json.loads(cli(*line, "--dry-run", "--limit", "30").stdout)
    assert (more["trials"], more["prompt_tokens"], more["completion_tokens"]) == (30, 30 * 11, 30 * 7)
    assert more["measured"]
    assert "about 330" in cli(*command(server, tmp_path / "study", *prices, "--dry-run", "--limit", "30")).stdout


def test_a_run_stops_in_time_and_goes_on_with_a_larger_budget(cli: Cli, server: Server, tmp_path: Path) -> None:
    done = cli(*command(server, tmp_path / "study", "--max-total-tokens", "500"))
    assert done.returncode == 1
    assert "budget is spent" in done.stderr
    assert server.calls * 18 <= 500 < (server.calls + 1) * 18
    assert json.loads(cli("status", str(tmp_path / "study"), "--format", "json").stdout)["runs"] == ["out of budget"]
    done = cli(*command(server, tmp_path / "study", "--price-in", "1", "--price-out", "1", "--max-cost", "0.0009"))
    assert done.returncode == 1
    assert server.calls == 50  # of 18 tokens each; the answers from before count
    done = cli(*command(server, tmp_path / "study"))
    assert done.returncode == 0, done.stderr
    assert server.calls == 60
