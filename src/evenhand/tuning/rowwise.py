"""A trainer with a loss of each row: preference, consistency, and weights of the identities.

TRL's trainer takes the mean over a batch before anything could be weighed, and has no second conversation for the
reference to read. Everything else (optimiser, schedule, checkpoints, resuming) is that of transformers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from evenhand.tuning.encoding import Encoded, Side, batch
from evenhand.tuning.objectives import (
    GroupWeights,
    answer_logprobs,
    divergences,
    likelihood_losses,
    preference_losses,
)
from evenhand.tuning.spec import TuningSpec

WEIGHT = "weight/"
_SIDES: dict[str, tuple[Side, ...]] = {
    "chosen": ("chosen",), "own": ("rejected",), "both": ("chosen", "rejected"),
}  # fmt: skip


class RowLoss:
    """The loss of a batch, and what it showed.

    Args:
        spec: objective, its weights, and the step of the groups' weights.
        rows: all rows, by whose identities the groups are known.
    """

    def __init__(self, spec: TuningSpec, rows: Sequence[Encoded]) -> None:
        self._spec = spec
        count = Counter(row.identity for row in rows)
        self.groups: list[str] = sorted(count)
        self.weights: GroupWeights = GroupWeights({g: n / len(rows) for g, n in count.items()}, spec.group_step)
        self.prefers: bool = "dpo" in spec.objective
        self.matched: tuple[Side, ...] = _SIDES[spec.kl_answers] if "kl" in spec.objective else ()
        needs_chosen = self.prefers or spec.sft_weight > 0
        self.sides: tuple[Side, ...] = tuple(
            side
            for side in _SIDES["both"]
            if self.prefers or side in self.matched or (side == "chosen" and needs_chosen)
        )
        self.shown: dict[str, float] = {}

    def losses(self, model: Any, inputs: dict[str, Any], reference: Any = None) -> Any:
        """The loss of each row, shape (rows,).

        Args:
            model: the tuned one, perhaps wrapped for several processes, whose gradients only its own call gathers.
            inputs: a batch.
            reference: the same without a wrapping, which can lay its adapter off; ``model`` where nothing is wrapped.
        """
        import torch

        spec, count = self._spec, len(inputs["groups"])
        targets, mask = inputs["targets"], inputs["answer_mask"]
        reference = reference or model
        logits = answer_logits(model, inputs["input_ids"], inputs["attention_mask"], targets.shape[1])
        logprobs = answer_logprobs(logits, targets, mask)
        losses = torch.zeros(count, device=logits.device)
        if self.prefers:
            with torch.no_grad(), reference.disable_adapter():
                said = answer_logits(reference, inputs["input_ids"], inputs["attention_mask"], targets.shape[1])
                before = answer_logprobs(said, targets, mask).sum(1).split(count)
            policy = logprobs.sum(1).split(count)
            losses = losses + inputs["preferred"] * preference_losses(policy, before, spec.beta)
            self._show_rewards(policy, before, inputs["preferred"])
        if spec.sft_weight:
            losses = losses + spec.sft_weight * likelihood_losses(logprobs[:count], mask[:count])
        if self.matched:
            with torch.no_grad(), reference.disable_adapter():
                read = answer_logits(reference, inputs["reference_ids"], inputs["reference_mask"], targets.shape[1])
            places = [n + self.sides.index(side) * count for side in self.matched for n in range(count)]
            each = divergences(read, logits[places], mask[places]).reshape(len(self.matched), count).mean(0)
            losses = losses + (spec.kl_weight if self.prefers else 1.0) * each
            self.shown["kl"] = float(each.detach().mean())
        return losses

    def weighed(self, losses: Any, groups: Sequence[str]) -> Any:
        """The mean of the losses, each with its group's weight."""
        import torch

        return (losses * torch.tensor(self.weights.of(groups), device=losses.device)).mean()

    def _show_rewards(self, policy: tuple[Any, Any], before: tuple[Any, Any], preferred: Any) -> None:
        margins = [
            self._spec.beta * float(margin)
            for margin, counts in zip(
                (policy[0] - before[0] - policy[1] + before[1]).detach().tolist(), preferred.tolist(), strict=True
            )
            if counts
        ]
        if margins:
            self.shown["rewards/margins"] = sum(margins) / len(margins)
            self.shown["rewards/accuracies"] = sum(m > 0 for m in margins) / len(margins)


def answer_logits(model: Any, ids: Any, mask: Any, longest: int) -> Any:
    """Logits that predict the last ``longest`` tokens of each row, in float32, shape (rows, longest, vocabulary)."""
    places = (mask.cumsum(1) - 1).clamp(min=0)
    made = model(
        input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False, logits_to_keep=longest + 1
    )  # fmt: skip
    return made.logits[:, -(longest + 1) : -1].float()


def rowwise_trainer(base: Any, spec: TuningSpec, rows: Sequence[Encoded], pad: int, **settings: Any) -> Any:
    """A trainer of :class:`transformers.Trainer` with the loss of each row.

    Args:
        base: that class.
        spec, rows: what to learn.
        pad: id to pad with.
        settings: of the trainer; the model is one of PEFT, whose reference is itself without the adapter.
    """
    loss = RowLoss(spec, rows)
    collate = partial(batch, sides=loss.sides, matched=loss.matched, pad=pad, groups=loss.groups)
    made = type("RowwiseTrainer", (base,), {"compute_loss": _compute(loss), "log": _log(base, loss)})
    return made(train_dataset=list(rows), data_collator=collate, **settings)


def _compute(loss: RowLoss) -> Callable[..., Any]:
    def compute_loss(self: Any, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        if self.state.log_history and not loss.shown:
            # Resumed: the groups go on with the weights of the checkpoint's last step.
            last = self.state.log_history[-1]
            loss.weights.restore({k.removeprefix(WEIGHT): v for k, v in last.items() if k.startswith(WEIGHT)})
        losses = loss.losses(model, inputs, self.accelerator.unwrap_model(model))
        names = [loss.groups[n] for n in inputs["groups"].tolist()]
        result = loss.weighed(losses, names)
        # Every process sees all rows, so that all keep the same weights.
        everyone = self.accelerator.gather(losses.detach()).tolist()
        theirs = [loss.groups[n] for n in self.accelerator.gather(inputs["groups"]).tolist()]
        loss.weights.update(theirs, everyone)
        return result

    return compute_loss


def _log(base: Any, loss: RowLoss) -> Callable[..., None]:
    def log(self: Any, logs: dict[str, float], *rest: Any, **more: Any) -> None:
        if "loss" in logs:
            logs |= loss.shown
            if len(loss.groups) > 1:
                logs |= {f"{WEIGHT}{name}": weight for name, weight in loss.weights.weights.items()}
        base.log(self, logs, *rest, **more)

    return log
