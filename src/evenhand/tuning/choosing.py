"""People's choices as tokens, and how likely a model finds them: what a policy learns from and is measured by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evenhand.embeddings import Vectors
from evenhand.errors import DataError
from evenhand.identities import PLAIN
from evenhand.models.hf import Weights
from evenhand.personalizers import baseline_messages
from evenhand.rewards import Choices, embedded_choices
from evenhand.types import Decoding, Person, PreferencePair, Request

if TYPE_CHECKING:
    from torch import Tensor

# Token positions whose logits over the vocabulary are held at once.
_AT_ONCE = 1536


@dataclass
class Asked:
    """One choice between two answers.

    Attributes:
        prompt, chosen, rejected: token ids; both answers end their turn unless they were cut.
        question: the prompt and both answers, whichever was chosen: what people can disagree about.
        likes: the answer chosen.
        reference: log-probability of the chosen answer minus that of the rejected one, by the model as it is.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    question: tuple[str, frozenset[str]]
    likes: str
    reference: float = 0.0


@dataclass(frozen=True)
class Chooser:
    """A user whose choices are known.

    Attributes:
        kind: the group of users, such as a catalogue.
        choices: embeddings, for what is told.
        asked: the same choices as tokens, for what is asked.
    """

    kind: str
    choices: Choices
    asked: list[Asked] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.asked)


async def choosers(
    kind: str, people: Sequence[Person], vectors: Vectors, weights: Weights, max_length: int
) -> list[Chooser]:
    """People of one kind as choosers, from all the pairs of their records.

    Raises:
        DataError: a prompt leaves an answer no room.
        ModelError: the encoder cannot be used.
    """
    return [
        Chooser(
            kind,
            await embedded_choices(person, vectors),
            [_asked(pair, weights, max_length) for pair in person.preferences],
        )
        for person in map(_once, people)
    ]


def _once(person: Person) -> Person:
    """The person with each choice once: what is told must not be asked."""
    pairs = {(pair.prompt, pair.chosen, pair.rejected): pair for pair in person.preferences}
    return replace(person, preferences=tuple(pairs.values()))


def _asked(pair: PreferencePair, weights: Weights, max_length: int) -> Asked:
    request = Request(
        baseline_messages(PLAIN, pair.prompt), Decoding(), 0, choices=(pair.chosen, pair.rejected), whole=True
    )
    prompt, answers = weights.chat.text_tokens(request)
    room = max_length - len(prompt)
    if room < 1:
        raise DataError(
            f"A prompt has {len(prompt)} tokens, and prompt and answer may have {max_length}.", "Raise --max-length."
        )
    end = [] if weights.end is None else [weights.end]
    chosen, rejected = ([*answer, *end][:room] for answer in answers)
    return Asked(prompt, chosen, rejected, (pair.prompt, frozenset((pair.chosen, pair.rejected))), pair.chosen)


def refer(asked: Sequence[Asked], network: Any) -> None:
    """Set what the model as it is finds of choices; the same two answers are read once, whoever liked which."""
    import torch

    distinct: dict[tuple[Any, ...], list[Asked]] = {}
    for one in asked:
        distinct.setdefault((tuple(one.prompt), *sorted(map(tuple, (one.chosen, one.rejected)))), []).append(one)
    with torch.no_grad():
        for some in parts([same[0] for same in distinct.values()], 1):
            for one, value in zip(some, preferred(some, network).tolist(), strict=True):
                one.reference = value
    for first, *others in distinct.values():
        for one in others:
            one.reference = first.reference if one.chosen == first.chosen else -first.reference


def parts(asked: Sequence[Asked], together: int) -> list[list[Asked]]:
    """Choices in parts whose logits fit into memory.

    Args:
        asked: in order.
        together: how many are never parted; their count is a multiple of it.
    """
    found: list[list[Asked]] = []
    for start in range(0, len(asked), together):
        group = list(asked[start : start + together])
        both = [*found[-1], *group] if found else group
        longest = max(max(len(one.chosen), len(one.rejected)) for one in both)
        if found and 2 * len(both) * longest <= _AT_ONCE:
            found[-1] = both
        else:
            found.append(group)
    return found


def preferred(asked: Sequence[Asked], network: Any) -> Tensor:
    """(n,) log-probability of the chosen answer minus that of the rejected one, each summed over its tokens."""
    rows = [(one.prompt, answer) for one in asked for answer in (one.chosen, one.rejected)]
    both = _logprobs(rows, network).view(-1, 2)
    return both[:, 0] - both[:, 1]


def _logprobs(rows: Sequence[tuple[list[int], list[int]]], network: Any) -> Tensor:
    """(rows,) log-probability of each answer behind its prompt."""
    import torch

    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    longest = max(len(answer) for _, answer in rows)
    # Padding stands in front, so that all answers end at one place and only their logits are made.
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    scored = torch.zeros((len(rows), longest), dtype=torch.bool)
    for row, (prompt, answer) in enumerate(rows):
        text = [*prompt, *answer]
        ids[row, width - len(text) :] = torch.tensor(text)
        mask[row, width - len(text) :] = 1
        scored[row, longest - len(answer) :] = True
    positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)
    ids, mask, positions, scored = (tensor.to(network.device) for tensor in (ids, mask, positions, scored))
    output = network(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=longest + 1
    )
    logits = output.logits[:, :-1].float()
    found = logits.gather(2, ids[:, -longest:, None])[:, :, 0] - logits.logsumexp(dim=2)
    return torch.where(scored, found, 0.0).sum(dim=1)
