"""Training a policy that reads users from their choices (NP-DPO, arXiv 2412.13998, section 4).

An episode is a user, a few choices that are told, and others that are asked. The reference of the preference loss is
the same language model without modulation: it is held once, and its log-probabilities are computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import SpecError
from evenhand.loops import run_async
from evenhand.models import ModelOptions, make_model
from evenhand.models.activations import blocks_of
from evenhand.models.hf import HFModel, Weights
from evenhand.people import plain_person
from evenhand.policies import POLICY_FILE, Film, Policy, PolicyShape, build_policy, filmed, read_policy
from evenhand.rewards import CONTEXTS, enough, parted
from evenhand.rewards.reader import part
from evenhand.tuning.choosing import Asked, Chooser, choosers, parts, preferred, refer
from evenhand.tuning.policy_standing import PolicyStanding, policy_standings
from evenhand.tuning.spec import PolicySpec
from evenhand.types import Person
from evenhand.whole import whole

CHECKPOINT_FILE = "checkpoint.safetensors"
_MOST_TOLD = max(CONTEXTS)
_KEEP_EVERY = 20
_RECENT = 20
_TELL_EVERY_S = 10.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class TunedPolicy:
    """What training a policy made.

    Attributes:
        folder: for ``np-policy:FOLDER``.
        curve: the loss of each step; log 2 = 0.693 is that of the model as it is.
        standings: how it stands with people it has not learned from.
        new: whether it was trained now, or was there already.
    """

    folder: Path
    curve: list[float]
    standings: list[PolicyStanding]
    new: bool

    @property
    def loss(self) -> float:
        """That of the last steps, in the mean: one step's is that of a few choices."""
        return _recent(self.curve)

    @property
    def learned(self) -> bool:
        """Whether the choices that it learns from are likelier by it than by the model as it is."""
        return self.loss < float(np.log(2))


def tune_policy(
    spec: PolicySpec, kinds: Mapping[str, Sequence[Person]], folder: Path, *, tell: Tell = lambda _: None
) -> TunedPolicy:
    """Train a policy on three quarters of each kind of people and measure it on the others, or go on with it.

    A run that was killed goes on from its last checkpoint; a finished one is returned as it is.

    Args:
        spec: settings.
        kinds: name -> people, such as catalogues. Nothing that is held out of those it learns from is used.
        folder: where the policy goes; one of other settings or people is never overwritten.
        tell: told what is being done.

    Raises:
        DataError: fewer than eight people have two choices, a prompt has no room, or the folder's policy is broken.
        SpecError: the folder holds another policy, or the model does not run here.
        ModelError: the model or the encoder cannot be used.
    """
    people = [person for some in kinds.values() for person in some]
    enough("A policy", people)
    digest = spec.digest(
        b"\n".join(orjson.dumps([kind, plain_person(p)]) for kind, all_ in kinds.items() for p in all_)
    )
    _refuse_others(folder, digest)
    if (folder / POLICY_FILE).exists():
        data = read_policy(folder)
        return TunedPolicy(folder, data["curve"], [PolicyStanding(**row) for row in data["standings"]], new=False)
    model = make_model(spec.model, ModelOptions(dtype=spec.dtype))
    if not isinstance(model, HFModel):
        raise SpecError(f"The model '{spec.model}' cannot be tuned here.", "Use smollm2 or hf:NAME_OR_PATH.")
    weights, vectors = model.weights(), Vectors(make_encoder(spec.encoder))
    weights.network.requires_grad_(False)
    apart, seen = _split(kinds, vectors, weights, spec.max_length)
    tell(f"the model as it is reads the choices of {len(apart) + len(seen)} people")
    refer([one for person in (*apart, *seen) for one in person.asked], weights.network)
    shape = PolicyShape(
        seen[0].choices.chosen.shape[1], len(blocks_of(weights.network)),
        weights.network.config.get_text_config().hidden_size, spec.hidden, spec.encoder, vectors.encoder.revision,
        spec.model, model.revision, spec.beta,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    policy, curve = _trained(spec, shape, seen, weights, _Checkpoint(folder / CHECKPOINT_FILE, digest), tell)
    standings = policy_standings(policy, weights.network, apart, seed=spec.seed, tell=tell)
    record = {
        "digest": digest, "spec": spec.model_dump(mode="json"), "curve": curve,
        "standings": [asdict(standing) for standing in standings],
    }  # fmt: skip
    policy.save(folder, record)
    (folder / CHECKPOINT_FILE).unlink()
    return TunedPolicy(folder, curve, standings, new=True)


def train_policy(
    policy: Policy, weights: Weights, people: Sequence[Chooser], spec: PolicySpec, optimizer: Any, step: int
) -> float:
    """One step of the optimiser; its loss.

    Args:
        policy: learns.
        weights: the language model, which does not.
        people: whom to learn from, each with at least two choices.
        spec: settings.
        optimizer: of the policy's parameters.
        step: its number, which decides what is drawn.
    """
    import torch

    rng = np.random.default_rng((spec.seed, step))
    fewest = min(map(len, people))
    told = int(rng.integers(0, min(_MOST_TOLD, fewest - 1) + 1))
    asked = min(spec.asked, fewest - told)
    drawn = [Episode.draw(people[n], told, asked, rng) for n in rng.integers(0, len(people), spec.episodes)]
    every = [one for episode in drawn for one in episode.asked]
    optimizer.zero_grad()
    loss, start = 0.0, 0
    # A user is read again for each part, so that no part's graph outlives it.
    for some in parts(every, asked):
        users = policy.users([episode.told for episode in drawn[start // asked : (start + len(some)) // asked]])
        film = policy.film(users.repeat_interleave(2 * asked, dim=0))
        with filmed(weights.network, _on(film, weights.network.device)):
            now = preferred(some, weights.network).cpu()
        before = torch.tensor([one.reference for one in some])
        lost = torch.nn.functional.softplus(-spec.beta * (now - before)).sum() / len(every)
        lost.backward()
        loss, start = loss + float(lost.detach()), start + len(some)
    optimizer.step()
    return loss


@dataclass(frozen=True)
class Episode:
    """What is told and what is asked of a user; no choice is both."""

    told: Any
    asked: list[Asked]

    @classmethod
    def draw(cls, person: Chooser, told: int, asked: int, rng: np.random.Generator) -> Episode:
        order: NDArray[np.integer] = rng.permutation(len(person))
        return cls(part(person.choices, order[:told]), [person.asked[n] for n in order[told : told + asked]])


@dataclass(frozen=True)
class _Checkpoint:
    """Where an unfinished training stands: networks, optimiser and losses in one file."""

    path: Path
    digest: str

    def save(self, policy: Policy, optimizer: Any, curve: Sequence[float]) -> None:
        from safetensors.torch import save_file

        tensors = {f"network.{name}": value for name, value in policy.network.state_dict().items()}
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        metadata = {"digest": self.digest, "curve": orjson.dumps(list(curve)).decode()}
        with whole(self.path) as half:
            save_file(tensors, half, metadata=metadata)

    def restore(self, policy: Policy, optimizer: Any) -> list[float]:
        """The losses so far; none where there is nothing to go on with."""
        from safetensors import safe_open

        if not self.path.exists():
            return []
        network, state = dict[str, Any](), dict[int, dict[str, Any]]()
        with safe_open(self.path, framework="pt") as held:
            curve: list[float] = orjson.loads(held.metadata()["curve"])
            for key in held.keys():  # noqa: SIM118
                kind, _, name = key.partition(".")
                if kind == "network":
                    network[name] = held.get_tensor(key)
                else:
                    number, _, what = name.partition(".")
                    state.setdefault(int(number), {})[what] = held.get_tensor(key)
        policy.network.load_state_dict(network, strict=True)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return curve


def _trained(
    spec: PolicySpec, shape: PolicyShape, people: Sequence[Chooser], weights: Weights, kept: _Checkpoint, tell: Tell
) -> tuple[Policy, list[float]]:
    import torch

    torch.manual_seed(spec.seed)
    policy = Policy(shape, build_policy(shape))
    optimizer = torch.optim.AdamW(policy.network.parameters(), lr=spec.learning_rate)
    curve = kept.restore(policy, optimizer)
    begun, started, last = len(curve), time.monotonic(), time.monotonic()
    if begun:
        tell(f"going on after step {begun}")
    for step in range(begun, spec.steps):
        curve.append(train_policy(policy, weights, people, spec, optimizer, step))
        if (step + 1) % _KEEP_EVERY == 0 or step + 1 == spec.steps:
            kept.save(policy, optimizer, curve)
        if (now := time.monotonic()) - last > _TELL_EVERY_S:
            last, left = now, (now - started) / (step + 1 - begun) * (spec.steps - step - 1)
            tell(f"step {step + 1}/{spec.steps}  loss {_recent(curve):.3f}  ETA {left:.0f} s")
    policy.network.eval()
    return policy, curve


def _recent(curve: Sequence[float]) -> float:
    return float(np.mean(curve[-_RECENT:]))


def _split(
    kinds: Mapping[str, Sequence[Person]], vectors: Vectors, weights: Weights, max_length: int
) -> tuple[list[Chooser], list[Chooser]]:
    async def both() -> tuple[list[Chooser], list[Chooser]]:
        apart: list[Chooser] = []
        seen: list[Chooser] = []
        for kind, people in kinds.items():
            for into, some in zip((apart, seen), parted(people), strict=True):
                into += await choosers(kind, some, vectors, weights, max_length)
        return apart, seen

    return run_async(both())


def _refuse_others(folder: Path, digest: str) -> None:
    """Refuse a folder with a policy, finished or not, of other settings or people.

    Raises:
        SpecError: there is one.
    """
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is no folder.", "Name another one.")
    held = digest
    if (folder / POLICY_FILE).exists():
        held = read_policy(folder).get("digest", "")
    elif (folder / CHECKPOINT_FILE).exists():
        from safetensors import safe_open

        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as opened:
            held = opened.metadata()["digest"]
    if held != digest:
        raise SpecError(f"{folder} holds a policy of other settings or people.", "Name another folder.")


def _on(film: Film, device: Any) -> Film:
    return Film(film.scale.to(device), film.shift.to(device))
