"""Several mitigations as one job: announced, priced, limited and watched together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evenhand.errors import SpecError
from evenhand.study import Store
from tests.server import Server
from tests.test_growth import invoke

THREE = ("--mitigation", "fairness", "--mitigation", "self-check", "--mitigation", "neutralize")
TRIALS, TOKENS = 4 * 3, 18


@pytest.fixture
def base(server: Server, tmp_path: Path) -> Path:
    out = tmp_path / "base"
    done = invoke(
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--identities",
        "a minor,a man", "--limit", "4", "--out", str(out), "--price-in", "1", "--price-out", "2",
    )  # fmt: skip
    assert done.exit_code == 0
    return out


def test_it_says_beforehand_what_it_takes_and_who_is_running(base: Path, server: Server, tmp_path: Path) -> None:
    calls = server.calls
    dry = invoke("mitigate", str(base), *THREE, "--out", str(tmp_path / "all"), "--dry-run", "--format", "json")
    found = {e["suite"]: e for e in json.loads(dry.stdout)["asked"]}
    assert server.calls == calls
    assert not (tmp_path / "all").exists()
    assert list(found) == [
        "choose: none", "choose: defense:fairness", "choose: self-check", "choose: neutralize", "test: none",
        "test: neutralize", "test: self-check",
    ]  # fmt: skip
    assert {name: e["trials"] for name, e in found.items()} == dict.fromkeys(found, TRIALS)
    assert found["choose: defense:fairness"]["completion_tokens"] == TRIALS * 7
    assert found["test: self-check"]["completion_tokens"] == 2 * TRIALS * 7
    assert found["choose: self-check"]["cost"] == pytest.approx(2 * TRIALS * (11 + 2 * 7) / 1e6)
    assert "mitigation" in invoke("mitigate", str(base), *THREE, "--out", str(tmp_path / "all"), "--dry-run").stdout

    done = invoke("mitigate", str(base), *THREE, "--out", str(tmp_path / "all"))
    assert done.exit_code == 0
    told = done.stderr
    assert "3 mitigations, at most 2 of them to confirm: at most 84 trials left to ask" in told
    rounds = [told.index(f"round 1 of 1, {name}") for name in ("none", "defense:fairness", "neutralize", "self-check")]
    assert rounds == sorted(rounds)  # cheap ones first
    assert "84 trials, 0 of them answered before" in told
    assert len(re.findall("starting", told)) == 1


def test_all_of_them_keep_to_one_limit(base: Path, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "all"
    # Enough for none and the first one, and half of the second.
    limit = TRIALS * TOKENS * 5 // 2
    held = invoke("mitigate", str(base), *THREE, "--out", str(out), "--max-total-tokens", str(limit))
    assert held.exit_code == 1
    assert "budget is spent before the end of: neutralize" in held.stderr
    spent = 0
    for folder in (out / "choose").iterdir():
        with Store.open(folder) as store:
            totals = store.totals()
        spent += int(totals["prompt_tokens"] + totals["completion_tokens"])
    assert 2 * TRIALS * TOKENS < spent <= limit
    calls = server.calls
    done = invoke("mitigate", str(base), *THREE, "--out", str(out), "--max-cost", "1", "--format", "json")
    assert done.exit_code == 0
    assert set(json.loads(done.stdout)["candidates"]) == {"defense:fairness", "self-check", "neutralize"}
    assert server.calls - calls < 7 * TRIALS
    assert "Cost of the mitigated studies" in done.stderr


def test_a_cost_needs_prices(server: Server, tmp_path: Path) -> None:
    line = ["run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--limit", "2"]
    invoke(*line, "--identities", "a minor,a man", "--out", str(tmp_path / "s"))
    with pytest.raises(SpecError, match="price_in"):
        invoke("mitigate", str(tmp_path / "s"), *THREE, "--out", str(tmp_path / "o"), "--max-cost", "1")
