"""What a study is made of. The TOML file, the command line and the Python API all end here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, field_validator, model_validator

from evenhand.models import ModelOptions
from evenhand.specs import Strict, read_toml, validated
from evenhand.types import Decoding

SPEC_FILE = "study.toml"
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
# What a study with a reasoning effort grants thoughts and answer together, unless it says otherwise.
REASONING_MAX_TOKENS = 4096


class DecodingSpec(Strict):
    """Sampling settings; the defaults are the paper's (arXiv 2406.11107).

    ``top_k`` is 10 by default where the model lets it be set, as in the paper; hosted APIs mostly do not know it. 0
    means no cut. ``max_tokens`` may be raised within a study: answers that the lower limit cut are then asked again.
    ``reasoning_effort`` None leaves thinking to the model; with an effort, the limit is 4,096 unless it is given.
    """

    temperature: float = Field(1.0, ge=0, le=5)
    top_k: int | None = Field(None, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(300, ge=1)
    stop: tuple[str, ...] = ()
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _room_to_think(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("reasoning_effort") not in (None, "none"):
            return {"max_tokens": REASONING_MAX_TOKENS, **data}
        return data

    def decoding(self) -> Decoding:
        """The settings to send; ``top_k`` must have been resolved."""
        return Decoding(**{**self.model_dump(), "top_k": self.top_k or 0})


class ModelSpec(Strict):
    """How to reach or load a model; see :class:`evenhand.models.ModelOptions` for the fields."""

    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int | None = Field(None, ge=1)
    requests_per_minute: float | None = Field(None, gt=0)
    timeout_s: float = Field(120.0, gt=0)
    max_attempts: int = Field(8, ge=1)
    batch_size: int | None = Field(None, ge=1)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    adapter: str | None = None
    trust_remote_code: bool = False
    executor: Literal["local", "ray"] = "local"
    workers: int = Field(1, ge=1)
    ray_address: str | None = None
    gpus_per_worker: float = Field(0.0, ge=0)
    engine_args: dict[str, bool | int | float | str] = Field(default_factory=dict)
    drop: tuple[Literal["temperature", "seed", "top_p", "top_k", "stop", "max_tokens", "system"], ...] = ()
    extra_body: dict[str, Any] = Field(default_factory=dict)
    extra_headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("extra_headers")
    @classmethod
    def _no_secret_in_the_study(cls, value: dict[str, str]) -> dict[str, str]:
        for name, held in value.items():
            if _SECRET_HEADER.search(name) and "$" not in held:
                raise ValueError(f"the header {name} would be stored with the study; write {name}=$VARIABLE")
        return value

    def options(self) -> ModelOptions:
        return ModelOptions(**self.model_dump())


class BudgetSpec(Strict):
    """Prices, and where a run stops.

    Attributes:
        price_in, price_out: of a million prompt and completion tokens, in any currency.
        price_cached: of a million prompt tokens that came from the provider's cache; ``price_in`` otherwise.
        max_cost: of the whole study, in that currency.
        max_total_tokens: of the whole study, prompts and completions together.
    """

    price_in: float | None = Field(None, ge=0)
    price_out: float | None = Field(None, ge=0)
    price_cached: float | None = Field(None, ge=0)
    max_cost: float | None = Field(None, gt=0)
    max_total_tokens: int | None = Field(None, ge=1)

    @property
    def limited(self) -> bool:
        return self.max_cost is not None or self.max_total_tokens is not None

    @model_validator(mode="after")
    def _priced(self) -> BudgetSpec:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("give both prices, of prompt and of completion tokens")
        if self.price_cached is not None and self.price_in is None:
            raise ValueError("price_cached needs price_in and price_out")
        if self.max_cost is not None and self.price_in is None:
            raise ValueError("max_cost needs price_in and price_out")
        return self


class StudySpec(Strict):
    """The whole grid of trials.

    Attributes:
        model: "smollm2", "hf:NAME_OR_PATH" or "openai:NAME".
        suites: suite references ("mmlu", "mmlu:logprobs", "starter-safety").
        identities: identity references (see :func:`evenhand.identities.select`).
        baselines: "plain" and/or "bare"; "person" for the people without any identity.
        people: catalogues of people ("starter", or a file) that ask the items; nobody in particular without.
        personalizers: personalizer names or templates with ``{identity}``.
        baseline_template: the system message of the baseline ``plain``, for a template of one's own: what it says
            without the identity. "" for "You are a helpful assistant.".
        limit: items per suite, None for all; a prefix of the suite's drawing order.
        limits: suite -> items, where it differs from ``limit`` (set by adaptive runs).
        repeats: model calls per cell; each has its own seed.
        seed: the study's seed, from which every trial's seed derives.
        data_dir: directory with the original data files.
        judges: suite reference -> judge name, where the suite's default is not wanted.
        judge_options: how to reach the model behind a judge that has one.
        mitigation: what is put in front of the model ("neutralize", "defense:fairness"); "" for nothing.
        split: which part of the items is asked: "all", or "tune", "choose" or "test" (:mod:`evenhand.study.splits`).
        decoding, options, budget: see their classes.
    """

    model: str
    suites: tuple[str, ...] = Field(min_length=1)
    identities: tuple[str, ...] = ("paper",)
    baselines: tuple[Literal["bare", "plain", "person"], ...] = ("plain",)
    people: tuple[str, ...] = ()
    personalizers: tuple[str, ...] = Field(("system",), min_length=1)
    baseline_template: str = ""
    limit: int | None = Field(None, ge=1)
    limits: dict[str, int] = Field(default_factory=dict)
    repeats: int = Field(1, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    data_dir: Path | None = None
    judges: dict[str, str] = Field(default_factory=dict)
    judge_options: ModelSpec = ModelSpec()
    mitigation: str = ""
    split: Literal["all", "tune", "choose", "test"] = "all"
    decoding: DecodingSpec = DecodingSpec()
    options: ModelSpec = ModelSpec()
    budget: BudgetSpec = BudgetSpec()

    @field_validator("suites", "identities", "baselines", "people", "personalizers", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something_to_compare(self) -> StudySpec:
        if not self.identities and not self.baselines:
            raise ValueError("a study needs identities or a baseline")
        return self

    @classmethod
    def parse(cls, data: dict[str, Any], where: str = "the study") -> StudySpec:
        """A spec from plain data.

        Raises:
            SpecError: a field is unknown, missing or out of range; the message names it.
        """
        return validated(
            cls, data, where, {**DecodingSpec.model_fields, **ModelSpec.model_fields, **BudgetSpec.model_fields}
        )

    @classmethod
    def from_toml(cls, path: Path) -> StudySpec:
        """Read a study file; a relative ``data_dir`` is relative to the file.

        Raises:
            SpecError: the file is missing, not TOML, or not a valid study.
        """
        data = read_toml(path, "study file")
        data.pop("out", None)
        spec = cls.parse(data, str(path))
        if spec.data_dir and not spec.data_dir.is_absolute():
            spec = spec.model_copy(update={"data_dir": path.parent / spec.data_dir})
        return spec

    def to_toml(self) -> str:
        """The spec as a study file, defaults left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_defaults=True, exclude_none=True))

    def fixed(self) -> dict[str, Any]:
        """What cannot change within one study, because it changes what every trial means."""
        decoding = self.decoding.model_dump(mode="json")
        sent = {"drop": sorted(self.options.drop), "extra_body": self.options.extra_body}
        return {
            "model": self.model,
            "adapter": self.options.adapter,
            "seed": self.seed,
            "mitigation": self.mitigation,
            "split": self.split,
            **({"baseline_template": self.baseline_template} if self.baseline_template else {}),
            **({"people": list(self.people)} if self.people else {}),
            **{f"decoding.{k}": v for k, v in decoding.items() if k != "max_tokens"},
            **{f"options.{k}": v for k, v in sent.items() if v},
        }
