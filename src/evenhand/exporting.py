"""Adapters for others: merged into the model's weights, or alone, with a model card that says what was measured."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from evenhand.analysing import analyze_store
from evenhand.collapsing import collapse_between, recorded_collapse
from evenhand.errors import DataError, EvenhandError, SpecError
from evenhand.extras import importing
from evenhand.models.references import hub_name, shown_name
from evenhand.report.model_card import Card, Measured, card_text
from evenhand.study import Store, StudySpec
from evenhand.study.held import held_spec
from evenhand.study.splits import ADAPTER_FILE
from evenhand.suites import make_suites
from evenhand.tables import compare_stores
from evenhand.tuning.train import local_path

CARD_FILE = "README.md"
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"


def export_adapter(
    adapter: Path, out: Path, *, before: Path | None = None, after: Path | None = None, merge: bool = True
) -> Path:
    """Write an adapter that evenhand tuned as a folder for others.

    Merged weights load as ``hf:FOLDER`` and, in float32, answer as the adapter does; in bfloat16 they are rounded once
    where the adapter's are rounded twice. The answers that were learned from stay behind.

    Args:
        adapter: as ``evenhand tune`` made it.
        out: the folder to write; it must not hold anything yet.
        before, after: studies without the adapter and with it, for the card; the card of neither says "not measured".
        merge: whether to merge it into the weights, or to copy the adapter alone.

    Returns:
        ``out``.

    Raises:
        SpecError: the studies are not of this adapter, or there is something in ``out``.
        DataError: ``adapter`` is none, or damaged.
        ModelError: the model cannot be loaded.
    """
    record = _record(adapter)
    if out.exists() and any(out.iterdir()):
        raise SpecError(f"There is something in {out} already.", "Choose a folder that is empty or not there.")
    card = Card(
        base=shown_name(record["spec"]["model"]),
        merged=merge,
        record=record,
        licences={suite: _licence(suite) for suite in record["items"]},
        base_licence=_base_licence(record["spec"]["model"]),
        checked=recorded_collapse(adapter),
        measured=_measured(adapter, record, before, after),
    )
    out.mkdir(parents=True, exist_ok=True)
    with importing("tune", "Exporting"):
        if merge:
            _merge(adapter, record, out)
        else:
            _copy(adapter, record, out)
        _write_card(card, out)
    (out / ADAPTER_FILE).write_bytes(orjson.dumps(_shared(record), option=orjson.OPT_INDENT_2))
    return out


def _record(adapter: Path) -> dict[str, Any]:
    advice = "Give the directory that 'evenhand tune' printed."
    if not all((adapter / name).is_file() for name in (ADAPTER_FILE, _WEIGHTS, _CONFIG)):
        raise DataError(f"{adapter} is no adapter that evenhand has finished.", advice)
    try:
        record: dict[str, Any] = orjson.loads((adapter / ADAPTER_FILE).read_bytes())
        lists = all(isinstance(items, list) for items in record["items"].values())
        if not isinstance(record["spec"]["model"], str) or not lists:
            raise TypeError
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{adapter / ADAPTER_FILE} is damaged: {type(error).__name__}.", advice) from None
    return record


def _shared(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without where things lie on this machine."""
    spec = dict(record["spec"])
    if hub_name(spec["model"]) is None:
        spec["model"] = f"hf:{shown_name(spec['model'])}"
    if spec.get("policy"):
        spec["policy"] = Path(spec["policy"]).name
    return {**record, "spec": spec}


def _measured(adapter: Path, record: Mapping[str, Any], before: Path | None, after: Path | None) -> Measured | None:
    if before is None and after is None:
        return None
    if before is None or after is None:
        raise SpecError("A card needs two studies.", "Add --before (without the adapter) and --after (with it).")
    with Store.open(before) as one, Store.open(after) as other:
        specs = [held_spec(store) for store in (one, other)]
        _check(before, specs[0], after, specs[1], adapter, record)
        change = compare_stores(one, other)
        return Measured(
            analyze_store(one),
            analyze_store(other),
            change,
            collapse_between(one, other),
            _how(specs[1], change.items),
            any(spec.split != "test" for spec in specs),
        )


def _check(
    before: Path, one: StudySpec, after: Path, other: StudySpec, adapter: Path, record: Mapping[str, Any]
) -> None:
    model = record["spec"]["model"]
    for directory, spec in ((before, one), (after, other)):
        if spec.model != model or spec.mitigation:
            was = spec.model + (f" behind {spec.mitigation}" if spec.mitigation else "")
            raise SpecError(f"The study {directory} is of {was}, and the adapter of {model} alone.")
    if one.options.adapter:
        raise SpecError(f"The study {before} was run with an adapter.", "Give one without as --before.")
    if not other.options.adapter or not _same(Path(other.options.adapter), adapter):
        raise SpecError(f"The study {after} was not run with the adapter {adapter}.", f"Use --adapter {adapter}.")


def _same(used: Path, adapter: Path) -> bool:
    """Whether two folders hold the same adapter; it may have been copied."""
    weights = [folder / _WEIGHTS for folder in (used, adapter)]
    return all(file.is_file() for file in weights) and weights[0].read_bytes() == weights[1].read_bytes()


def _how(spec: StudySpec, items: Mapping[str, int]) -> list[str]:
    asked, decoding = ", ".join(f"{n} of {suite}" for suite, n in items.items()), spec.decoding
    judges = ", ".join(f"{judge} on {suite}" for suite, judge in spec.judges.items())
    return [
        f"Items: {asked}; part: {spec.split}; repeats: {spec.repeats}.",
        f"Identities: {', '.join(spec.identities)}; told through: {', '.join(spec.personalizers)}.",
        f"Decoding: temperature {decoding.temperature:g}, at most {decoding.max_tokens} tokens; weights in "
        f"{spec.options.dtype}.",
        f"Judges: {judges}. How right they are, a report of the study says.",
    ]


def _merge(adapter: Path, record: Mapping[str, Any], out: Path) -> None:
    import transformers
    from peft import PeftModel

    path = local_path(record["spec"]["model"])
    model = transformers.AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, dtype="float32")
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    # As precise as the model is stored, and no more.
    merged.to(transformers.AutoConfig.from_pretrained(path).dtype or model.dtype).save_pretrained(out)
    transformers.AutoTokenizer.from_pretrained(path).save_pretrained(out)


def _copy(adapter: Path, record: Mapping[str, Any], out: Path) -> None:
    shutil.copy2(adapter / _WEIGHTS, out / _WEIGHTS)
    config = orjson.loads((adapter / _CONFIG).read_bytes())
    # Where the model lay on this machine is nobody's business.
    config["base_model_name_or_path"] = hub_name(record["spec"]["model"]) or shown_name(record["spec"]["model"])
    (out / _CONFIG).write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))


def _write_card(card: Card, out: Path) -> None:
    from huggingface_hub import ModelCard, ModelCardData

    spec = card.record["spec"]
    data = ModelCardData(
        base_model=hub_name(spec["model"]),
        base_model_relation="merge" if card.merged else "adapter",
        library_name="transformers" if card.merged else "peft",
        pipeline_tag="text-generation",
        license=_card_licence(card),
        tags=["evenhand", "personalization-bias", *([] if card.measured else ["not-measured"])],
    )
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{card_text(card)}").save(out / CARD_FILE)


def _card_licence(card: Card) -> str | None:
    """The identifier for the card's header; "other" where what was learned from asks for more than the model does."""
    if card.non_commercial or not card.base_licence:
        return "other"
    return card.base_licence.lower()


def _licence(suite: str) -> str:
    try:
        [made] = make_suites([suite])
    except EvenhandError:  # a suite of somebody's own
        return ""
    return made.licence


def _base_licence(model: str) -> str:
    if model == "smollm2":
        from evenhand.models.smollm2 import LICENCE

        return LICENCE
    return ""
