"""What a tuning run is made of."""

from __future__ import annotations

import hashlib
from typing import Literal

import orjson
from pydantic import Field, model_validator

from evenhand.specs import Strict

Objective = Literal["dpo", "kl", "dpo+kl"]
Recipe = Literal["vanilla", "random", "all", "consistency", "best", "level", "metaalign", "spin"]

# Settings that came later than the first adapters.
_LATER = ("people", "objective", "kl_weight", "kl_answers", "policy", "group_step")


class TuningSpec(Strict):
    """Settings of preference tuning; one adapter per set of settings and pairs.

    Attributes:
        model: "smollm2" or "hf:NAME_OR_PATH".
        recipe: where the pairs come from. The paper's, over general preference data: "vanilla" (as it is), "random" (a
            random identity in each pair's system message), "all" (every pair once per identity). From a study:
            "consistency" (the baseline's better answer against the identity's worse one), "best" (the best answer that
            anybody got against every worse one), "level" (as "best", and where answers score alike the baseline's
            against the others, so that what nobody is denied stays as it is), "metaalign" (consistency in three tiers,
            after arXiv 2410.14184: of a study through ``tiers``, or with the meta-instruction in the prompt), "spin"
            (self-play, arXiv 2401.01335: the baseline's answer against what the model itself says to the identity, anew
            in each iteration).
        identities: for "random" and "all".
        people: whose preferences "metaalign" learns besides, each under its user: what is not held out.
        iterations: rounds of self-play; 1 for all other recipes.
        objective: what is minimised on the recipe's rows. "dpo": the preference loss. "kl" (consistency): the
            divergence from the reference's distribution, reading the conversation in which the better answer was given
            (the baseline's for "consistency" and "metaalign", whoever's was best for "best" and "level", the one
            without an identity for "random" and "all"), to the tuned model's reading the identity's
            conversation; it needs no better answer, only another conversation (context distillation, arXiv 2112.00861,
            section 2). "dpo+kl": both. Where the policy says that a fact belongs into the answer, and on suites of the
            axis fit, the reference reads the same conversation, so that what the fact changes stays.
        kl_weight: of the divergence beside the preference loss, for "dpo+kl".
        kl_answers: which answer's tokens both are forced along: "chosen" (the reference's own), "own" (what the model
            said to the identity; as on-policy distillation, arXiv 2306.13649, before it changed), or "both".
        policy: where a fact belongs into the answer: "shipped", a file, or "" for nowhere; for objectives with KL.
        group_step: weights of the identities by group DRO (arXiv 1911.08731, algorithm 1; on preferences, arXiv
            2405.20304): the size of their step, 0 for none. The worst identity's loss counts more and more.
        beta: strength of the pull towards the reference model (DPO, arXiv 2305.18290, equation 7).
        sft_weight: weight of the chosen answer's own log-likelihood beside the preference loss (RPO, arXiv 2404.19733,
            equation 1). Without it both answers may become unlikely together, which shows as a drift of all scores.
        learning_rate, epochs, batch_size, accumulate, max_steps, warmup: of the optimiser; max_steps -1 for all pairs.
        max_length: tokens of prompt and answer.
        rank, alpha, dropout: of LoRA (arXiv 2106.09685), on all linear layers.
        limit: pairs at most, drawn at random; None for all.
        seed: of pairs, order and initialisation.
        dtype: of the weights; "bfloat16" or "float32".
        load_in_4bit: QLoRA through bitsandbytes, on a CUDA GPU.
    """

    model: str
    recipe: Recipe = "consistency"
    identities: tuple[str, ...] = ("paper",)
    people: tuple[str, ...] = ()
    iterations: int = Field(1, ge=1)
    objective: Objective = "dpo"
    kl_weight: float = Field(1.0, gt=0)
    kl_answers: Literal["chosen", "own", "both"] = "chosen"
    policy: str = "shipped"
    group_step: float = Field(0.0, ge=0)
    beta: float = Field(0.1, gt=0)
    sft_weight: float = Field(0.0, ge=0)
    learning_rate: float = Field(1e-4, gt=0)
    epochs: float = Field(1.0, gt=0)
    batch_size: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1)
    max_steps: int = -1
    warmup: float = Field(0.1, ge=0, lt=1)
    max_length: int = Field(384, ge=16)
    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    limit: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    load_in_4bit: bool = False

    @model_validator(mode="after")
    def _fits(self) -> TuningSpec:
        if self.recipe == "spin" and self.has_own_loss:
            raise ValueError("spin is plain DPO in rounds: leave objective and group_step out, or use another recipe")
        return self

    @property
    def has_own_loss(self) -> bool:
        """Whether rows are weighed or matched one by one, which TRL's trainer does not do."""
        return self.objective != "dpo" or self.group_step > 0

    def digest(self, pairs: bytes) -> str:
        """The name of the adapter's directory: a hash of the settings and of the pairs."""
        # Adapters of before there were these settings keep their names.
        unset = {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
        settings = self.model_dump(mode="json", exclude=unset)
        text = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(text + b"\0" + pairs, digest_size=6).hexdigest()


class PolicySpec(Strict):
    """Settings of a policy that reads users from their choices (NP-DPO, arXiv 2412.13998, section 4).

    Attributes:
        model: "smollm2" or "hf:NAME_OR_PATH".
        encoder: what embeds choices ("use").
        steps: of the optimiser.
        episodes: users in a step, each with other choices told and asked.
        asked: choices that a user of a step is asked for; never among those told, of which there are 0 to 10.
        beta: strength of the pull towards the model as it is (DPO, arXiv 2305.18290, equation 7); the paper's.
        learning_rate: of AdamW.
        hidden: size of a user's vector; a multiple of 8.
        max_length: tokens of prompt and answer; longer answers are cut.
        seed: of initialisation and episodes.
        dtype: of the model's own weights, which stay as they are.
    """

    model: str
    encoder: str = "use"
    steps: int = Field(200, ge=1)
    episodes: int = Field(4, ge=1)
    asked: int = Field(4, ge=1)
    beta: float = Field(0.05, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    hidden: int = Field(128, ge=8, multiple_of=8)
    max_length: int = Field(384, ge=16)
    seed: int = Field(0, ge=0)
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"

    def digest(self, people: bytes) -> str:
        """What tells these settings, and these people, from others."""
        text = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(text + b"\0" + people, digest_size=8).hexdigest()
