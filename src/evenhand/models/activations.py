"""Changing the activations of some rows of a batch, by forward hooks on the blocks of a transformers model.

Where nothing is to be changed no hook is set, so that such batches are computed bit for bit as without this module.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.errors import ModelError
from evenhand.interventions import Array, BlockChange, Intervention

if TYPE_CHECKING:
    import torch

# What is done to one row: interventions one after the other.
Row = tuple[Intervention, ...]
# A fixed short text: any model knows these tokens, whatever they mean to it.
_SAMPLE = tuple(range(1, 17))


def blocks_of(model: Any) -> list[torch.nn.Module]:
    """The blocks of a transformers language model, the first one first.

    They are the outermost list of as many modules as the configuration has layers, whatever a family calls it
    (``model.layers``, ``transformer.h``, ``gpt_neox.layers``).

    Raises:
        ModelError: there is no such list, or more than one.
    """
    from torch.nn import ModuleList

    wanted = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    found = [(name, m) for name, m in model.named_modules() if isinstance(m, ModuleList) and len(m) == wanted]
    outermost = min((name.count(".") for name, _ in found), default=0)
    lists = [m for name, m in found if name.count(".") == outermost]
    if len(lists) != 1:
        raise ModelError(
            f"{type(model).__name__} has {len(lists) or 'no'} lists of {wanted} blocks, so that its activations cannot "
            "be reached.",
            "Use a decoder-only model of transformers, such as a Llama, Qwen, Gemma, GPT-2 or GPT-NeoX.",
        )
    return list(lists[0])


def check_fits(model: Any, intervention: Intervention) -> None:
    """Refuse an intervention that is for another model.

    Raises:
        ModelError: the model has too few blocks for it, or another hidden size.
    """
    blocks, size = len(blocks_of(model)), int(model.config.get_text_config().hidden_size)
    if max(intervention.blocks) >= blocks or intervention.size != size:
        raise ModelError(
            f"The intervention is for a hidden size of {intervention.size} and at least {max(intervention.blocks) + 1} "
            f"blocks, but {type(model).__name__} has {size} and {blocks}.",
            "It was made for another model: make it anew for this one.",
        )


def hidden_of(output: Any) -> torch.Tensor:
    """The residual stream (B, T, d) in what a block returned."""
    return output[0] if isinstance(output, tuple) else output


class Acting:
    """The rows of a running batch and what is done to them.

    Attributes:
        reading: whether the next pass reads prompts, so that interventions on the answer change their last token only.
            None to tell by the number of tokens: a pass over one token goes on with an answer.
    """

    def __init__(self, rows: Sequence[Row], device: Any) -> None:
        self.reading: bool | None = True
        self._rows = list(rows)
        self._device = device
        self._groups: dict[int, list[_Group]] = {}

    @property
    def rows(self) -> list[Row]:
        """What is done to each row."""
        return self._rows

    def set(self, rows: Sequence[Row]) -> None:
        """The batch now has these rows."""
        self._rows = list(rows)
        self._groups.clear()

    def select(self, rows: Iterable[int]) -> None:
        """The batch now has these of its rows, in this order; a row may be there more than once."""
        self.set([self._rows[row] for row in rows])

    def change(self, block: int, hidden: torch.Tensor) -> torch.Tensor:
        """What a block put out (B, T, d), with the changes of each row."""
        groups = self._groups.get(block)
        if groups is None:
            groups = self._groups[block] = list(_groups(self._rows, block, self._device))
        reading = hidden.shape[1] > 1 if self.reading is None else self.reading
        for group in groups:
            hidden = group.apply(hidden, last_only=reading and group.answer_only)
        return hidden


@contextlib.contextmanager
def acting(model: Any, rows: Sequence[Row]) -> Iterator[Acting]:
    """Inside, passes of ``model`` over a batch change the activations of its rows.

    Args:
        model: a transformers language model.
        rows: what to do, per row of the batch; () for nothing. A single row stands for a batch of any size.

    Raises:
        ModelError: the blocks of the model cannot be found.
    """
    state = Acting(rows, model.device)
    touched = sorted({block for row in rows for intervention in row for block in intervention.blocks})
    blocks = blocks_of(model) if touched else []
    with contextlib.ExitStack() as hooks:
        for number in touched:
            handle = blocks[number].register_forward_hook(_hook(state, number))
            hooks.callback(handle.remove)
        yield state


def _hook(state: Acting, block: int) -> Any:
    def hook(module: Any, arguments: Any, output: Any) -> Any:
        changed = state.change(block, hidden_of(output))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


@dataclass(frozen=True)
class _Group:
    """Changes of one block that are made together.

    Attributes:
        rows: (n,), which rows of the batch; None for all.
        scale, shift: (n or 1, 1, d), or None.
        reads, writes: (n or 1, k, d), or None; rows of less rank are filled with zeros.
        longest: (n or 1, 1, 1), or None.
    """

    answer_only: bool
    rows: torch.Tensor | None
    scale: torch.Tensor | None
    shift: torch.Tensor | None
    reads: torch.Tensor | None
    writes: torch.Tensor | None
    longest: torch.Tensor | None

    def apply(self, hidden: torch.Tensor, *, last_only: bool) -> torch.Tensor:
        import torch

        if last_only:
            return torch.cat([hidden[:, :-1], self.apply(hidden[:, -1:], last_only=False)], dim=1)
        part = hidden if self.rows is None else hidden[self.rows]
        changed = self._affine(part.float()).to(hidden.dtype)
        if self.longest is not None:
            changed = torch.where(part.float().norm(dim=-1, keepdim=True) > self.longest, part, changed)
        return changed if self.rows is None else hidden.index_copy(0, self.rows, changed)

    def _affine(self, given: torch.Tensor) -> torch.Tensor:
        changed = given if self.scale is None else given * self.scale
        if self.shift is not None:
            changed = changed + self.shift
        if self.reads is None or self.writes is None:
            return changed
        # A product per row, so that a row's digits do not depend on how many others there are.
        rows = len(given)
        read = given.bmm(self.reads.expand(rows, -1, -1).transpose(1, 2))
        return changed + read.bmm(self.writes.expand(rows, -1, -1))


def _groups(rows: Sequence[Row], block: int, device: Any) -> Iterator[_Group]:
    """What to do behind a block: first every row's first intervention, then every row's second one."""
    for turn in range(max(map(len, rows), default=0)):
        for where in ("all", "answer"):
            acted = {
                n: row[turn].blocks[block]
                for n, row in enumerate(rows)
                if turn < len(row) and row[turn].where == where and block in row[turn].blocks
            }
            if acted:
                yield _group(acted, len(rows), device, answer_only=where == "answer")


def _group(acted: dict[int, BlockChange], rows: int, device: Any, *, answer_only: bool) -> _Group:
    import torch

    changes = list(acted.values())
    one = all(change is changes[0] for change in changes)
    changes = changes[:1] if one else changes
    limits = [math.inf if change.longest is None else change.longest for change in changes]
    longest = None if min(limits) == math.inf else torch.tensor(limits, device=device)[:, None, None]
    index = None if len(acted) == rows else torch.tensor([*acted], device=device)
    scale, shift, reads, writes = (_stacked(changes, part, device) for part in ("scale", "shift", "reads", "writes"))
    return _Group(answer_only, index, scale, shift, reads, writes, longest)


def _stacked(changes: Sequence[BlockChange], name: str, device: Any) -> torch.Tensor | None:
    """One part of all changes (n, 1 or k, d); those that lack it get what leaves a row as it is."""
    import torch

    given = [getattr(change, name) for change in changes]
    if all(part is None for part in given):
        return None
    width = max(1 if part is None or part.ndim == 1 else len(part) for part in given)
    filler = 1.0 if name == "scale" else 0.0
    stacked = torch.full((len(changes), width, changes[0].size), filler, device=device)
    for n, part in enumerate(given):
        if part is not None:
            stacked[n, : 1 if part.ndim == 1 else len(part)] = torch.tensor(part, device=device)
    return stacked


def residuals(model: Any, prompts: Sequence[Sequence[int]], tails: Sequence[int]) -> torch.Tensor:
    """What each block puts out for each prompt (B, L, d), as the mean over the prompt's last tokens; float32.

    Args:
        model: a transformers language model in evaluation mode, of L blocks and the hidden size d.
        prompts: token ids per row.
        tails: per row, over how many of its last tokens; at least 1.

    Raises:
        ModelError: the blocks of the model cannot be found.
    """
    import torch

    longest = max(map(len, prompts))
    # Padding follows what is read, so that causal attention never sees it.
    ids = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts], device=model.device)
    weights = torch.zeros(ids.shape, device=model.device)
    for row, (prompt, tail) in enumerate(zip(prompts, tails, strict=True)):
        weights[row, len(prompt) - tail : len(prompt)] = 1 / tail
    found: list[torch.Tensor] = []

    def keep(module: Any, arguments: Any, output: Any) -> None:
        found.append(torch.einsum("btd,bt->bd", hidden_of(output).float(), weights))

    with contextlib.ExitStack() as hooks, torch.inference_mode():
        for block in blocks_of(model):
            hooks.callback(block.register_forward_hook(keep).remove)
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return torch.stack(found, dim=1)


def sample_of(model: Any) -> Array:
    """(L, d): what each block makes of a fixed short text, by which a model is known again."""
    found: Array = residuals(model, [_SAMPLE], [len(_SAMPLE)])[0].cpu().numpy()
    return found


def shared_end(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all of these prompts have in common at their ends; at least 1, the last one."""
    shared = 0
    while shared < min(map(len, rows)) and len({row[-1 - shared] for row in rows}) == 1:
        shared += 1
    return max(1, shared)
