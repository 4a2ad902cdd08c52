"""Training an adapter with TRL's DPO trainer and PEFT's LoRA; self-play is DPO in rounds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from evenhand.analysis.collapse import Collapse
from evenhand.collapsing import CHECK, recorded_collapse
from evenhand.errors import DataError, EvenhandError, SpecError
from evenhand.extras import importing, require
from evenhand.loops import run_async
from evenhand.models import ModelOptions, make_model, respond_all
from evenhand.study.splits import ADAPTER_FILE
from evenhand.tuning.building import build_pairs
from evenhand.tuning.check import ITEMS, asked_as, check
from evenhand.tuning.encoding import encode
from evenhand.tuning.pairs import Pair, Preference, encode_pairs
from evenhand.tuning.rowwise import WEIGHT, rowwise_trainer
from evenhand.tuning.spec import TuningSpec
from evenhand.types import Decoding, Request, Response
from evenhand.whole import write_whole

_ANSWER_TOKENS = 64
_TELL_EVERY_S = 10.0
# Adapters are small, and a step may take a minute.
_SAVE_STEPS = 10
_CHECKPOINTS = "checkpoints"
_CURVES = ("loss", "kl", "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected")


@dataclass(frozen=True)
class Tuned:
    """What a tuning run made.

    Attributes:
        adapter: its directory, for ``--adapter``.
        pairs: how many were learned from, all iterations together.
        steps: optimiser steps.
        curve: one entry per logged step: iteration, step, loss, reward margin and accuracy.
        new: whether it was trained now, or was there already.
        collapse: whether it still answers safe prompts; None where that could not be looked at.
    """

    adapter: Path
    pairs: int
    steps: int
    curve: list[dict[str, float]]
    new: bool
    collapse: Collapse | None = None


def tune(
    spec: TuningSpec,
    out: Path,
    *,
    study: Path | Sequence[Path] | None = None,
    preferences: Sequence[Preference] = (),
    check_items: int = ITEMS,
    tell: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """Train an adapter, or go on with an unfinished one.

    The adapter's directory is ``out / HASH``, a hash of settings and pairs: other settings never overwrite it. A run
    that was killed goes on from its last checkpoint, a finished one is returned as it is.

    Args:
        spec: settings.
        out: where adapters live.
        study: one or more on the tuning split, for recipes that learn from studies.
        preferences: general preference data, for the paper's recipes.
        check_items: safe prompts at most of each suite, on which a collapse is looked for; 0 for none.
        tell: told what is being done.

    Raises:
        EvenhandError: anything a user can fix.
    """
    pairs = build_pairs(spec, study, preferences)
    encoded = encode_pairs(pairs)
    adapter = out / spec.digest(encoded)
    done = adapter / ADAPTER_FILE
    if done.exists():
        data = orjson.loads(done.read_bytes())
        found = recorded_collapse(adapter)
        if found is None:
            found = _checked(spec, adapter, study, check_items, tell)
            _record(done, data, found)
        return Tuned(adapter, data["pairs"], data["steps"], data["curve"], new=False, collapse=found)
    require("tune", "Tuning")
    adapter.mkdir(parents=True, exist_ok=True)
    write_whole(adapter / "pairs.jsonl", encoded)
    curve: list[dict[str, float]] = []
    learned = steps = 0
    previous: Path | None = None
    for iteration in range(1, spec.iterations + 1):
        folder = adapter / f"iteration-{iteration}"
        state = folder / "curve.json"
        if not state.exists():
            chosen = pairs if iteration == 1 else _replayed(spec, pairs, previous, tell)
            tell(f"iteration {iteration} of {spec.iterations}: {len(chosen)} pairs")
            logged, count = _train(spec, chosen, folder, previous, tell)
            write_whole(state, orjson.dumps({"curve": logged, "steps": count, "pairs": len(chosen)}))
        # Not before the state is kept: a kill in between would leave neither.
        shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
        data = orjson.loads(state.read_bytes())
        curve += [{"iteration": float(iteration), **entry} for entry in data["curve"]]
        learned, steps = learned + data["pairs"], steps + data["steps"]
        previous = folder
    assert previous is not None
    for file in previous.iterdir():
        if file.is_file() and file.name != "curve.json":
            shutil.copy2(file, adapter / file.name)
    items: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.item and pair.item not in items.setdefault(pair.suite, []):
            items[pair.suite].append(pair.item)
    record = {
        "spec": spec.model_dump(mode="json"), "pairs": learned, "steps": steps, "curve": curve, "items": items,
    }  # fmt: skip
    found = _checked(spec, adapter, study, check_items, tell)
    _record(done, record, found)
    return Tuned(adapter, learned, steps, curve, new=True, collapse=found)


def _checked(
    spec: TuningSpec, adapter: Path, study: Path | Sequence[Path] | None, items: int, tell: Callable[[str], None]
) -> Collapse | None:
    """What the check of an adapter found; a check that cannot be made must not lose the adapter."""
    if not items:
        return None
    first = study if isinstance(study, Path) else next(iter(study or ()), None)
    try:
        return check(spec, adapter, asked_as(spec, first), items, tell=tell)
    except EvenhandError as error:
        tell(f"the adapter could not be checked for a collapse: {error}")
        return None


def _record(file: Path, record: dict[str, Any], found: Collapse | None) -> None:
    """Write an adapter's record, with what its check found."""
    kept = record if found is None else {**record, CHECK: asdict(found)}
    write_whole(file, orjson.dumps(kept, option=orjson.OPT_INDENT_2))


def _replayed(spec: TuningSpec, pairs: Sequence[Pair], adapter: Path | None, tell: Callable[[str], None]) -> list[Pair]:
    """The pairs with what the model now says itself as the rejected side (SPIN, arXiv 2401.01335, algorithm 1)."""
    tell(f"the model answers {len(pairs)} prompts itself")
    model = make_model(spec.model, ModelOptions(adapter=str(adapter) if adapter else None, dtype=spec.dtype))
    decoding = Decoding(temperature=1.0, top_k=model.default_top_k, max_tokens=_ANSWER_TOKENS)
    asked = [Request(pair.messages, decoding, seed=(spec.seed << 20) + n) for n, pair in enumerate(pairs)]
    answers = run_async(respond_all(model, asked))
    return [
        replace(pair, rejected=answer.text, rejected_cut=answer.finish_reason == "length")
        for pair, answer in zip(pairs, answers, strict=True)
        if isinstance(answer, Response) and answer.text.strip() and answer.text.strip() != pair.chosen.strip()
    ]


def _train(
    spec: TuningSpec, pairs: Sequence[Pair], folder: Path, previous: Path | None, tell: Callable[[str], None]
) -> tuple[list[dict[str, float]], int]:
    """Train one round from ``previous`` (which is also the reference) and save the adapter in ``folder``."""
    with importing("tune", "Tuning"):
        import datasets
        import torch
        import transformers
        import trl  # noqa: F401 - the pairwise trainer is its
        from peft import LoraConfig, PeftModel
    transformers.set_seed(spec.seed)
    datasets.disable_progress_bars()
    path = local_path(spec.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, **_loading(spec, torch))
    lora = None
    if previous is None:
        lora = LoraConfig(
            r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout, target_modules="all-linear",
            task_type="CAUSAL_LM",
        )  # fmt: skip
    else:
        # The trainer keeps a copy of this adapter as the reference: the model of the round before.
        model = PeftModel.from_pretrained(model, str(previous), is_trainable=True)
    if spec.has_own_loss:
        trainer = _rowwise(spec, pairs, folder, model, tokenizer, lora, tell)
    else:
        trainer = _pairwise(spec, pairs, folder, model, tokenizer, lora)
    # Its own printing goes to standard output, which belongs to the result.
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(_teller(transformers.TrainerCallback, tell))
    trainer.train(resume_from_checkpoint=_last_whole(folder / _CHECKPOINTS))
    trainer.model.save_pretrained(str(folder), selected_adapters=["default"])
    logged = [
        {
            "step": float(entry["step"]),
            **{k: float(v) for k, v in entry.items() if k in _CURVES or k.startswith(WEIGHT)},
        }
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return logged, int(trainer.state.global_step)


def _last_whole(checkpoints: Path) -> str | None:
    """The newest checkpoint that was saved to its end; what a kill left of others goes."""
    found: dict[int, Path] = {}
    for folder in checkpoints.glob("checkpoint-*"):
        try:
            # The trainer writes it last, behind weights and optimiser.
            orjson.loads((folder / "trainer_state.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            shutil.rmtree(folder)
        else:
            found[int(folder.name.rpartition("-")[2])] = folder
    return str(found[max(found)]) if found else None


def _pairwise(
    spec: TuningSpec, pairs: Sequence[Pair], folder: Path, model: Any, tokenizer: Any, lora: Any | None
) -> Any:
    """TRL's DPO trainer, for the plain preference loss."""
    import datasets
    from trl import DPOConfig, DPOTrainer

    settings = DPOConfig(
        **_arguments(spec, len(pairs), folder), beta=spec.beta, max_length=spec.max_length,
        loss_type=["sigmoid", "sft"] if spec.sft_weight else ["sigmoid"],
        loss_weights=[1.0, spec.sft_weight] if spec.sft_weight else None,
    )  # fmt: skip
    rows = datasets.Dataset.from_list([_row(pair) for pair in pairs])
    trainer = DPOTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer, peft_config=lora)
    trainer.train_dataset = trainer.train_dataset.map(lambda row: without_end(row, tokenizer))
    return trainer


def _rowwise(
    spec: TuningSpec,
    pairs: Sequence[Pair],
    folder: Path,
    model: Any,
    tokenizer: Any,
    lora: Any | None,
    tell: Callable[[str], None],
) -> Any:
    """Our trainer with a loss of each row, for consistency and for weights of the identities."""
    import transformers
    from peft import get_peft_model, prepare_model_for_kbit_training

    rows = encode(pairs, tokenizer, spec.max_length)
    if not rows:
        raise DataError(f"No prompt is shorter than {spec.max_length} tokens.", "Raise --max-length.")
    if len(rows) < len(pairs):
        tell(f"{len(pairs) - len(rows)} pairs are left out: their prompts have {spec.max_length} tokens or more")
    if spec.load_in_4bit:
        model = prepare_model_for_kbit_training(model)
    arguments = _arguments(spec, len(rows), folder)
    settings = transformers.TrainingArguments(
        # Reentrant checkpoints would lose the gradients of adapters, whose inputs have none.
        **arguments,
        remove_unused_columns=False,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )
    return rowwise_trainer(
        transformers.Trainer, spec, rows, tokenizer.pad_token_id, model=get_peft_model(model, lora), args=settings
    )


def _arguments(spec: TuningSpec, rows: int, folder: Path) -> dict[str, Any]:
    """Arguments that both trainers take."""
    import torch

    on_cpu = not torch.cuda.is_available()
    return {
        "output_dir": str(folder / _CHECKPOINTS), "learning_rate": spec.learning_rate,
        "num_train_epochs": spec.epochs, "max_steps": spec.max_steps, "per_device_train_batch_size": spec.batch_size,
        "gradient_accumulation_steps": spec.accumulate, "warmup_steps": _warmup(spec, rows),
        "logging_steps": 1, "save_steps": _SAVE_STEPS, "save_total_limit": 1, "seed": spec.seed, "report_to": [],
        "use_cpu": on_cpu, "bf16": not on_cpu and spec.dtype != "float32", "gradient_checkpointing": not on_cpu,
        "lr_scheduler_type": "cosine", "dataloader_pin_memory": False, "disable_tqdm": True,
    }  # fmt: skip


def _teller(base: Any, tell: Callable[[str], None]) -> Any:
    """A callback of the trainer that reports a step now and then, with the time that is left."""
    started = last = time.monotonic()

    def on_log(_: Any, args: Any, state: Any, control: Any, logs: Any = None, **__: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if not logs or "loss" not in logs or now - last < _TELL_EVERY_S:
            return
        last = now
        left = (now - started) / max(state.global_step, 1) * (state.max_steps - state.global_step)
        known = {"reward margin": "rewards/margins", "divergence": "kl"}
        shown = "".join(f"{name} {float(logs[key]):.3f}  " for name, key in known.items() if key in logs)
        tell(f"step {state.global_step}/{state.max_steps}  loss {float(logs['loss']):.3f}  {shown}ETA {left:.0f} s")

    return type("Teller", (base,), {"on_log": on_log})()


def local_path(reference: str) -> str:
    """The folder or hub name of a model that can be tuned.

    Raises:
        SpecError: the model does not run in this process.
    """
    if reference == "smollm2":
        from evenhand.models.smollm2 import model_folder

        return str(model_folder())
    kind, _, name = reference.partition(":")
    if kind != "hf" or not name:
        raise SpecError(f"The model '{reference}' cannot be tuned here.", "Use smollm2 or hf:NAME_OR_PATH.")
    return name


def _loading(spec: TuningSpec, torch: Any) -> dict[str, Any]:
    on_gpu = torch.cuda.is_available()
    if not spec.load_in_4bit:
        wanted = "bfloat16" if on_gpu else "float32"
        return {"dtype": getattr(torch, wanted if spec.dtype == "auto" else spec.dtype)}
    if not on_gpu:
        raise SpecError("Training in 4 bits needs a CUDA GPU.", "Leave --4bit out.")
    from transformers import BitsAndBytesConfig

    return {
        "dtype": torch.bfloat16,
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        ),
    }


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "prompt": [m.to_dict() for m in pair.messages],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
        "chosen_cut": pair.chosen_cut,
        "rejected_cut": pair.rejected_cut,
    }


def without_end(row: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """The token ids of a row's answers; a cut one has lost the end of turn that the chat template put behind it.

    Else the model would learn to stop where the study's token limit did.
    """
    found = {}
    for side in ("chosen", "rejected"):
        ids = list(row[f"{side}_ids"])
        while row[f"{side}_cut"] and len(ids) > 1 and _ends_turn(ids[-1], tokenizer):
            ids.pop()
        found[f"{side}_ids"] = ids
    return found


def _ends_turn(token: int, tokenizer: Any) -> bool:
    return token in tokenizer.all_special_ids or not tokenizer.decode([token]).strip()


def _warmup(spec: TuningSpec, pairs: int) -> int:
    steps = spec.max_steps if spec.max_steps > 0 else int(spec.epochs * pairs / (spec.batch_size * spec.accumulate))
    return int(spec.warmup * steps)
