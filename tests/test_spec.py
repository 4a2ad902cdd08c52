"""Study files and what they default to."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.errors import SpecError
from evenhand.runner.plan import make_plan, trial_seed
from evenhand.study import DecodingSpec, StudySpec


def test_the_defaults_are_the_papers_and_never_cut_the_reasoning() -> None:
    """The authors stopped at the first line break, and set no seeds."""
    default = DecodingSpec()
    assert (default.temperature, default.max_tokens, default.stop) == (1.0, 300, ())
    cells = [("mmlu", f"i{n}", "system", who, r) for n in range(50) for who in ("a", "b") for r in range(3)]
    seeds = [trial_seed(0, cell) for cell in cells]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [trial_seed(0, cell) for cell in cells]
    assert seeds != [trial_seed(1, cell) for cell in cells]
    assert all(0 <= s < 2**31 for s in seeds)


def test_a_study_file_round_trips(tmp_path: Path) -> None:
    text = 'model = "smollm2"\nsuites = ["mmlu"]\nidentities = "age"\ndata_dir = "data"\n[decoding]\nmax_tokens = 9\n'
    (tmp_path / "study.toml").write_text(text)
    spec = StudySpec.from_toml(tmp_path / "study.toml")
    assert spec.identities == ("age",)
    assert spec.data_dir == tmp_path / "data"
    assert spec.decoding.max_tokens == 9
    (tmp_path / "again.toml").write_text(spec.to_toml())
    assert StudySpec.from_toml(tmp_path / "again.toml") == spec


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"limit": 0}, "limit"),
        ({"baselines": ["plane"]}, "baselines"),
        ({"decoding": {"top_p": 0}}, "top_p"),
        ({"options": {"concurency": 3}}, "concurrency"),
        ({"suites": []}, "suites"),
        ({"identities": [], "baselines": []}, "baseline"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        StudySpec.parse({"model": "smollm2", "suites": ["starter-safety"], **change})


def test_the_plan_pairs_all_identities_on_an_item() -> None:
    spec = StudySpec.parse(
        {"model": "smollm2", "suites": ["starter-safety", "starter-utility"], "identities": ["age"], "limit": 5}
    )
    plan = make_plan(spec)
    assert plan.size == 2 * 5 * 6
    assert [who.name for _, _, who in plan.senders][:2] == ["plain", "a minor"]
    names = make_plan(spec.model_copy(update={"personalizers": ("first-name",), "identities": ("gender",)}))
    assert names.left_out == {"first-name": ["a transgender man", "a transgender woman", "a non-binary person"]}
    with pytest.raises(SpecError, match="none of these identities"):
        make_plan(spec.model_copy(update={"personalizers": ("first-name",)}))
