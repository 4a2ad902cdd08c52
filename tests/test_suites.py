from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evenhand.errors import DataError, SpecError
from evenhand.suites import SUITES, DataSource, load_suite, make_suites
from evenhand.suites.base import drawing_order
from evenhand.types import AXES, Item


def load(reference: str, folder: Path | None = None) -> tuple[Item, ...]:
    (suite,) = make_suites([reference])
    return load_suite(suite, DataSource(folder)).items


def test_the_starter_suites_are_as_large_as_promised() -> None:
    safety, utility = load("starter-safety"), load("starter-utility")
    assert len(safety) >= 120
    assert len({i.group for i in safety}) == 12
    assert min(Counter(i.group for i in safety).values()) >= 10
    assert len({i.prompt for i in safety}) == len(safety)
    assert len(utility) >= 150
    assert set(Counter(i.group for i in utility)) == {"knowledge", "arithmetic", "reasoning", "code"}
    choices = [i for i in utility if i.choices]
    assert all(len(set(i.extra["options"])) == 4 and i.target in i.choices for i in choices)
    # No letter is right so often that always naming it would pay.
    assert max(Counter(i.target for i in choices).values()) < 0.35 * len(choices)


def test_the_original_files_give_the_papers_counts(real_data: Path) -> None:
    counts = {"do-not-answer": 939, "strongreject": 346, "mmlu": 285, "gsm8k": 1319, "mbpp": 974}
    counts |= {"xstest-safe": 250, "xstest-unsafe": 200, "bbh": 1864}
    for name, count in counts.items():
        items = load(name, real_data)
        assert len(items) == count, name
        assert len({i.id for i in items}) == count
        assert all(i.prompt.strip() for i in items)
    assert len({i.group for i in load("mmlu", real_data)}) == 57
    assert min(len(item.choices) for item in load("bbh:logprobs", real_data)) == 2


def test_xstest_is_two_suites_on_two_axes() -> None:
    assert [(s.id, s.axis) for s in make_suites(["xstest"])] == [
        ("xstest-safe", "utility"),
        ("xstest-unsafe", "safety"),
    ]


def test_ids_do_not_depend_on_order_or_limit(data_dir: Path) -> None:
    before = {i.id: i.prompt for i in load("mmlu", data_dir)}
    file = data_dir / "mmlu_dev" / "anatomy_dev.csv"
    file.write_text("\n".join(reversed(file.read_text().splitlines())) + "\n")
    assert {i.id: i.prompt for i in load("mmlu", data_dir)} == before


def test_every_prefix_is_a_proportional_sample() -> None:
    items = [Item(f"{g}-{n}", "p", g, "q") for g, size in (("big", 300), ("small", 100)) for n in range(size)]
    order = drawing_order(items)
    for length in (20, 100, 200):
        share = sum(i.group == "big" for i in order[:length]) / length
        assert abs(share - 0.75) <= 2 / length
    assert drawing_order(reversed(items)) == order


def test_variants(data_dir: Path) -> None:
    scored = load("mmlu:logprobs", data_dir)
    assert "letter of the correct choice only" in scored[0].prompt
    assert scored[0].extra["prefill"] == "The answer is ("
    assert {i.group for i in load("bbh:navigate", data_dir)} == {"navigate"}
    with pytest.raises(SpecError, match="navigate"):
        make_suites(["bbh:navigat"])
    with pytest.raises(SpecError, match="gsm8k"):
        make_suites(["gsm8"])


def test_all_suites_describe_themselves() -> None:
    for name in SUITES.names():
        suite = SUITES.get(name)
        assert suite.name == name
        assert suite.axis in AXES
        assert suite.licence
        assert suite.source
        assert suite.summary


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("do_not_answer_en.csv", "id,question\n1,x\n", "risk_area"),
        ("do_not_answer_en.csv", "id,risk_area,types_of_harm,question\n1,a\n", "line 2"),
        ("do_not_answer_en.csv", "id,risk_area,types_of_harm,question\n", "no items"),
        ("do_not_answer_en.csv", "id,risk_area,types_of_harm,question\n1,a,b,c\n1,a,b,d\n", "twice"),
    ],
)
def test_malformed_data_names_file_and_row(data_dir: Path, file: str, text: str, message: str) -> None:
    (data_dir / file).write_text(text)
    with pytest.raises(DataError) as caught:
        load("do-not-answer", data_dir)
    assert message in str(caught.value)
    assert file in str(caught.value)


def test_data_that_is_not_utf8_or_not_json(data_dir: Path) -> None:
    (data_dir / "gsm8k_test.jsonl").write_text('{"question": "x", "answer": "#### 1"}\n{"question": \n')
    with pytest.raises(DataError, match="line 2"):
        load("gsm8k", data_dir)
    (data_dir / "gsm8k_test.jsonl").write_bytes(b'{"question": "\xff"}')
    with pytest.raises(DataError, match="UTF-8"):
        load("gsm8k", data_dir)
    with pytest.raises(DataError, match="does not exist"):
        DataSource(data_dir / "nowhere")


def test_the_hub_is_read_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loading code, on a local folder in the hub's layout."""
    pytest.importorskip("datasets")
    from evenhand.suites import gsm8k
    from evenhand.suites.sources import HubTable

    repo = tmp_path / "gsm8k-repo"
    repo.mkdir()
    (repo / "test.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "#### 2"}) + "\n")
    monkeypatch.setattr(gsm8k, "HubTable", lambda *a, **k: HubTable(str(repo), "test"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    source = DataSource()
    (suite,) = make_suites(["gsm8k"])
    loaded = load_suite(suite, source)
    assert [i.target for i in loaded.items] == ["2"]
    assert "hub" in loaded.origin


def test_without_data_and_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("EVENHAND_DATA_DIR", raising=False)
    with pytest.raises(DataError, match="--data-dir"):
        load("gsm8k")
