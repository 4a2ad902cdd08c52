"""Bad input is refused in one line that names the file, or read; nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzzing import TARGETS, attempt, fuzz


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right_is_read(name: str, tmp_path: Path) -> None:
    assert attempt(TARGETS[name], TARGETS[name].valid.encode(), tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_not_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    accepted, refused = fuzz(name, 150, tmp_path)
    assert accepted + refused >= 100
    assert refused
