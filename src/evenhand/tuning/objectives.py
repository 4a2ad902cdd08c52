"""What is minimised beside TRL's losses, for each row by itself: preference, consistency, and weights of the groups.

Tensors come from torch; nothing here loads a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def answer_logprobs(logits: Any, targets: Any, mask: Any) -> Any:
    """Log-probabilities of answer tokens.

    Args:
        logits: shape (rows, tokens, vocabulary), where each position predicts the token of ``targets`` at its place.
        targets: token ids, shape (rows, tokens).
        mask: 1 for tokens of the answer, 0 elsewhere.

    Returns:
        shape (rows, tokens), 0 outside the answer.
    """
    chosen = logits.gather(2, targets.unsqueeze(2)).squeeze(2)
    return (chosen - logits.logsumexp(2)) * mask


def preference_losses(policy: tuple[Any, Any], reference: tuple[Any, Any], beta: float) -> Any:
    """DPO's loss of each pair (arXiv 2305.18290, equation 7), shape (rows,): ln 2 where policy and reference agree.

    Args:
        policy: sums of the log-probabilities of the chosen and of the rejected answers, each of shape (rows,).
        reference: the same under the reference model.
        beta: strength of the pull towards the reference.
    """
    from torch.nn.functional import logsigmoid

    margin = (policy[0] - reference[0]) - (policy[1] - reference[1])
    return -logsigmoid(beta * margin)


def likelihood_losses(logprobs: Any, mask: Any) -> Any:
    """The negative log-likelihood of each answer per token (RPO, arXiv 2404.19733, equation 1), shape (rows,)."""
    return -logprobs.sum(1) / mask.sum(1).clamp(min=1)


def divergences(reference: Any, policy: Any, mask: Any) -> Any:
    """KL(reference || policy) per answer token, mean over the answer, in nats, shape (rows,).

    Context distillation (arXiv 2112.00861, section 2) read backwards: there the reference sees an instruction that the
    model does not, here it sees no identity where the model is told one.

    Args:
        reference: logits of the reference that reads its own conversation, shape (rows, tokens, vocabulary).
        policy: logits of the tuned model on the same answer tokens, behind the identity's conversation.
        mask: 1 for tokens of the answer, 0 elsewhere, shape (rows, tokens).
    """
    ours, theirs = policy.log_softmax(2), reference.log_softmax(2)
    each = (theirs.exp() * (theirs - ours)).sum(2)
    return (each * mask).sum(1) / mask.sum(1).clamp(min=1)


class GroupWeights:
    """Weights of the groups that follow the worst of them: group DRO (arXiv 1911.08731, algorithm 1).

    After each step a group's weight grows by ``exp(step * loss)``, and all are scaled to a sum of 1. A row weighs its
    group's weight over the group's share of the rows, so that the expected loss is the sum of weight times group loss,
    as in Group Robust Preference Optimization (arXiv 2405.20304), however rows are drawn.

    Args:
        shares: group -> its share of the rows; the weights begin there, so that the first step is the plain mean.
        step: size of the step of the weights; 0 leaves them where they are.
    """

    def __init__(self, shares: Mapping[str, float], step: float) -> None:
        self._shares = dict(shares)
        self._step = step
        self.weights: dict[str, float] = dict(shares)

    def of(self, groups: Sequence[str]) -> list[float]:
        """What each row's loss is multiplied by."""
        return [self.weights[group] / self._shares[group] for group in groups]

    def update(self, groups: Sequence[str], losses: Sequence[float]) -> None:
        """One step of the weights.

        Args:
            groups: of each row.
            losses: of each row; a group without a row stays as it is, before scaling.
        """
        for group in dict.fromkeys(groups):
            own = [loss for name, loss in zip(groups, losses, strict=True) if name == group]
            self.weights[group] *= math.exp(self._step * sum(own) / len(own))
        total = sum(self.weights.values())
        self.weights = {group: weight / total for group, weight in self.weights.items()}

    def restore(self, weights: Mapping[str, float]) -> None:
        """Go on with the weights of before."""
        self.weights |= {group: weight for group, weight in weights.items() if group in self.weights}
