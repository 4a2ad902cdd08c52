"""Batched generation in which every row is sampled by its own seed.

Reproducible whatever the batch: a row draws its uniforms from a counter-based generator keyed by its seed, prompts are
padded to a multiple of ``PAD_MULTIPLE`` (attention kernels work in blocks, so that a shift by whole blocks changes no
bit), and in bfloat16 the matrix kernels give each row the same bits in any batch. In float32 logits may differ in the
last digits between batch sizes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from evenhand.models.activations import Acting, Row, acting
from evenhand.models.prefixes import Begun, Prefixes, fill, new_cache, states_of
from evenhand.types import Decoding

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")
R = TypeVar("R")

PAD_MULTIPLE = 16
# Dropping finished rows copies the key-value cache, which pays off once a quarter of them is done.
_COMPACT_AT = 0.75
# A single row would go through a matrix-vector kernel, with other last digits; it gets company instead.
_MIN_ROWS = 4


_IDLE = -1


@dataclass(frozen=True)
class Completion:
    """Generated token ids (without the end token) and why generation ended."""

    tokens: list[int]
    finish_reason: str


@dataclass(frozen=True)
class Blend:
    """A second prompt per row, whose logits are blended in: ``(1 - weight) * own + weight * other``.

    Attributes:
        prompts: token ids per row.
        weight: of the other's logits.
        tokens: how many tokens of an answer are chosen so, from the first; 0 for all. Those after them follow the own
            prompt and what was chosen so far, and cost what they cost without a second prompt.
    """

    prompts: Sequence[Sequence[int]]
    weight: float
    tokens: int = 0

    def mix(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of own rows, then of the other prompts' rows, (2B, V) -> (B, V)."""
        own, other = logits.chunk(2)
        return (1 - self.weight) * own + self.weight * other


def _inference(function: Callable[P, R]) -> Callable[P, R]:
    """PyTorch's inference mode as a decorator that needs no PyTorch until the function is called."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        import torch

        with torch.inference_mode():
            return function(*args, **kwargs)

    return inside


@_inference
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    decoding: Decoding,
    end_tokens: frozenset[int],
    stops: Any = None,
    blend: Blend | None = None,
    begun: Begun | None = None,
    interventions: Sequence[Row] = (),
) -> list[Completion]:
    """Sample one completion per prompt.

    Prompts that are alike are read once: repeats, and the baseline that many identities are decoded against.

    Args:
        model: a transformers causal language model in evaluation mode.
        prompts: token ids per row.
        seeds: one seed per row.
        decoding: shared by all rows.
        end_tokens: ids that end a completion.
        stops: a function from token ids to whether a stop string is reached, or None.
        blend: second prompts to decode against; not with ``begun``.
        begun: how the prompts are split, where their beginnings are kept; not with interventions.
        interventions: per row, what is done to its activations; () for nothing in any row.
    """
    import torch

    rows = len(prompts)
    fillers = max(0, _MIN_ROWS - rows)
    prompts, seeds = [*prompts, *list(prompts[:1]) * fillers], [*seeds, *list(seeds[:1]) * fillers]
    others = [*blend.prompts, *list(blend.prompts[:1]) * fillers] if blend else []
    uniforms = torch.from_numpy(np.stack([_uniforms(seed, decoding.max_tokens) for seed in seeds])).to(model.device)
    outputs: list[list[int]] = [[] for _ in range(rows)]
    reasons = ["length"] * rows
    live = [*range(rows), *[_IDLE] * fillers]
    with _acting(model, interventions, len(live), twice=blend is not None) as acts:
        logits, mask, step_positions, cache = _read(model, [*prompts, *others], decoding.max_tokens, begun, acts)
        width = mask.shape[1] - decoding.max_tokens
        for step in range(decoding.max_tokens):
            chosen = sample(blend.mix(logits) if blend else logits, uniforms[:, step], decoding)
            finished = _record(chosen.tolist(), live, outputs, reasons, end_tokens, stops)
            if all(finished):
                break
            if len(live) > _MIN_ROWS and sum(finished) > (1 - _COMPACT_AT) * len(live):
                order = sorted(range(len(live)), key=lambda n: finished[n])[: max(_MIN_ROWS, finished.count(False))]
                keep = torch.tensor(order, device=model.device)
                both = torch.cat([keep, keep + len(live)]) if blend else keep
                cache.batch_select_indices(both)
                acts.select(both.tolist())
                chosen, mask, uniforms = chosen[keep], mask[both], uniforms[keep]
                step_positions = step_positions[both]
                live, finished = [live[n] for n in order], [finished[n] for n in order]
            live = [_IDLE if done else row for row, done in zip(live, finished, strict=True)]
            if blend and step + 1 == blend.tokens:
                own = torch.arange(len(live), device=model.device)
                cache.batch_select_indices(own)
                acts.select(range(len(live)))
                mask, step_positions, blend = mask[own], step_positions[own], None
            if step + 1 < decoding.max_tokens:
                step_ids = chosen.repeat(2)[:, None] if blend else chosen[:, None]
                step_positions = step_positions[:, -1:] + 1
                logits = _forward(model, step_ids, mask[:, : width + step + 1], step_positions, cache)
    return [Completion(tokens, reason) for tokens, reason in zip(outputs, reasons, strict=True)]


@_inference
def choice_logprobs(
    model: Any,
    prompts: Sequence[Sequence[int]],
    candidates: Sequence[Sequence[int]],
    begun: Begun | None = None,
    interventions: Sequence[Row] = (),
) -> list[list[float]]:
    """Log-probability of each candidate next token, one forward pass for all rows."""
    import torch

    prompts = [*prompts, *list(prompts[:1]) * max(0, _MIN_ROWS - len(prompts))]
    ids, mask, positions, cache = _begin(model, prompts, 0, begun)
    with _acting(model, interventions, len(prompts)):
        logits = _forward(model, ids, mask, positions, cache if begun else None)
    logprobs = torch.log_softmax(logits, dim=-1)
    return [logprobs[row, list(tokens)].tolist() for row, tokens in enumerate(candidates)]


@_inference
def text_logprobs(
    model: Any,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[Sequence[int]]],
    begun: Begun | None = None,
    interventions: Sequence[Row] = (),
) -> list[list[float]]:
    """Log-probability of each text behind its prompt: the sum over its tokens.

    A prompt is read once, whatever the number of texts behind it.

    Args:
        model: a transformers causal language model in evaluation mode.
        prompts: token ids per row.
        texts: per row the token ids of its texts, none of them empty.
        begun: how the prompts are split, where their beginnings are kept; not with interventions.
        interventions: per row, what is done to its activations; () for nothing in any row.
    """
    import torch

    prompts = [*prompts, *list(prompts[:1]) * max(0, _MIN_ROWS - len(prompts))]
    rows = torch.tensor([row for row, held in enumerate(texts) for _ in held], device=model.device)
    flat = [text for held in texts for text in held]
    longest = max(map(len, flat))
    # Padding follows what is scored, so that causal attention never sees it.
    tokens = torch.tensor([[*text, *[0] * (longest - len(text))] for text in flat], device=model.device)
    ids, mask, positions, cache = _begin(model, prompts, longest, begun)
    with _acting(model, interventions, len(prompts)) as acts:
        logits = [_forward(model, ids, mask[:, :-longest], positions, cache)[rows][:, None]]
        if longest > 1:
            cache.batch_select_indices(rows)
            acts.select(rows.tolist())
            acts.reading = False
            steps = positions[rows, -1:] + 1 + torch.arange(longest - 1, device=model.device)
            logits.append(_forward(model, tokens[:, :-1], mask[rows, :-1], steps, cache, last=longest - 1))
    every = torch.cat(logits, dim=1)
    scored = every.gather(2, tokens[:, :, None])[:, :, 0] - every.logsumexp(dim=2)
    sums = iter([float(row[: len(text)].double().sum()) for row, text in zip(scored, flat, strict=True)])
    return [[next(sums) for _ in held] for held in texts]


def _acting(
    model: Any, interventions: Sequence[Row], rows: int, *, twice: bool = False
) -> AbstractContextManager[Acting]:
    """The interventions on a batch of so many rows with its fillers; ``twice`` with as many second prompts behind."""
    given = list(interventions) or [()] * rows
    filled = [*given, *given[:1] * (rows - len(given))]
    return acting(model, filled * 2 if twice else filled)


def sample(logits: torch.Tensor, uniforms: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """Draw one token per row by inverting its distribution at the row's uniform; (B, V) and (B,) -> (B,)."""
    import torch

    if decoding.temperature == 0:
        return logits.argmax(dim=-1)
    vocabulary = logits.shape[-1]
    # What is cut does not depend on the temperature: only what is kept is divided by it.
    if decoding.top_k or decoding.top_p < 1:
        kept, tokens = torch.topk(logits, min(decoding.top_k or vocabulary, vocabulary), dim=-1)
    else:
        kept, tokens = logits, None
    kept = kept / decoding.temperature
    probabilities = torch.softmax(kept.double(), dim=-1)
    if decoding.top_p < 1:
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = torch.where(before < decoding.top_p, probabilities, 0.0)
    cumulative = probabilities.cumsum(dim=-1)
    target = uniforms[:, None] * cumulative[:, -1:]
    rank = torch.searchsorted(cumulative, target, right=True).clamp_(max=kept.shape[-1] - 1)
    return (rank if tokens is None else tokens.gather(-1, rank))[:, 0]


def _read(
    model: Any, prompts: Sequence[Sequence[int]], extra: int, begun: Begun | None, acts: Acting
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Any]:
    """Read each distinct prompt once; logits (B, V), mask, positions (B, L), and the cache that is filled for all."""
    import torch

    places, distinct = _distinct(prompts, acts.rows)
    fillers = list(distinct[:1]) * max(0, _MIN_ROWS - len(distinct))
    if begun:
        lengths = {tuple(prompt): length for prompt, length in zip(prompts, begun.lengths, strict=False)}
        begun = replace(begun, lengths=[lengths[tuple(prompt)] for prompt in distinct])
    ids, mask, positions, cache = _begin(model, [*distinct, *fillers], extra, begun)
    firsts = [places.index(n) for n in range(len(distinct))]
    given = acts.rows
    acts.set([given[n] for n in [*firsts, *firsts[:1] * len(fillers)]])
    logits = _forward(model, ids, mask[:, : mask.shape[1] - extra], positions, cache)
    acts.set(given)
    acts.reading = False
    if places == list(range(len(ids))):
        return logits, mask, positions, cache
    rows = torch.tensor(places, device=model.device)
    cache.batch_select_indices(rows)
    return logits[rows], mask[rows], positions[rows], cache


def _distinct(prompts: Sequence[Sequence[int]], rows: Sequence[Row]) -> tuple[list[int], list[Sequence[int]]]:
    """Where each prompt stands among those that differ, or are read under other interventions, and these."""
    found: dict[tuple[tuple[int, ...], Row], int] = {}
    places = [found.setdefault((tuple(prompt), row), len(found)) for prompt, row in zip(prompts, rows, strict=True)]
    return places, [prompt for prompt, _ in found]


def _record(
    chosen: list[int],
    live: list[int],
    outputs: list[list[int]],
    reasons: list[str],
    end_tokens: frozenset[int],
    stops: Any,
) -> list[bool]:
    """Append the chosen tokens to their rows; tell which positions of the batch are finished."""
    finished = []
    for token, row in zip(chosen, live, strict=True):
        if row == _IDLE:
            finished.append(True)
            continue
        if token in end_tokens:
            reasons[row] = "stop"
            finished.append(True)
            continue
        outputs[row].append(token)
        stopped = bool(stops and stops(outputs[row]))
        if stopped:
            reasons[row] = "stop"
        finished.append(stopped)
    return finished


def _forward(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any, last: int = 0
) -> torch.Tensor:
    """Logits of the last position (B, V), or of so many last ones (B, last, V)."""
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=last or 1,
    )
    return output.logits.float() if last else output.logits[:, -1].float()


def _begin(
    model: Any, prompts: Sequence[Sequence[int]], extra: int, begun: Begun | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Any]:
    """What is left to be read of prompts: as :func:`_left_padded`, with the cache that holds their beginnings."""
    import torch

    if begun is None:
        ids, mask, positions = _left_padded(prompts, extra, model.device)
        return ids, mask, positions, new_cache(model, mask.shape[1])
    # Rows that are there for company repeat the first one.
    lengths = [*begun.lengths, *[begun.lengths[0]] * (len(prompts) - len(begun.lengths))]
    beginnings = [tuple(prompt[:length]) for prompt, length in zip(prompts, lengths, strict=True)]
    for fresh in begun.kept.missing(beginnings):
        _read_beginnings(model, fresh, begun.kept)
    states = [begun.kept.use(beginning) for beginning in beginnings]
    rest = [prompt[length:] for prompt, length in zip(prompts, lengths, strict=True)]
    ids, mask, positions = _left_padded(rest, extra, model.device)
    before = torch.tensor(lengths, device=model.device)[:, None]
    width = _padded_width(max(lengths))
    places = torch.arange(width, device=model.device)
    mask = torch.cat([(places >= width - before).long(), mask], dim=1)
    cache = new_cache(model, mask.shape[1])
    fill(cache, states, width)
    begun.kept.shrink()
    return ids, mask, positions + before, cache


def _read_beginnings(model: Any, beginnings: Sequence[tuple[int, ...]], kept: Prefixes) -> None:
    """Read beginnings, and keep their states."""
    rows = [*beginnings, *[beginnings[0]] * max(0, _MIN_ROWS - len(beginnings))]
    ids, mask, positions = _left_padded(rows, 0, model.device)
    cache = new_cache(model, ids.shape[1])
    _forward(model, ids, mask, positions, cache)
    for row, beginning in enumerate(beginnings):
        kept.add(beginning, states_of(cache, row, len(beginning)))


def _left_padded(
    prompts: Sequence[Sequence[int]], extra: int, device: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids and positions (B, L), and an attention mask (B, L + extra) whose generated part is already on."""
    import torch

    width = _padded_width(max(map(len, prompts)))
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.ones((len(prompts), width + extra), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, : width - len(prompt)] = 0
    positions = (mask[:, :width].cumsum(dim=1) - 1).clamp_(min=0)
    return ids.to(device), mask.to(device), positions.to(device)


def _padded_width(longest: int) -> int:
    """At least one place of padding: without any, attention would take another kernel, with other last digits."""
    return (longest // PAD_MULTIPLE + 1) * PAD_MULTIPLE


def _uniforms(seed: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
