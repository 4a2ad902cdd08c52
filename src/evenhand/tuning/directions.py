"""Finding the identities' directions: from the questions of a study, as its model reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evenhand.errors import DataError, SpecError
from evenhand.interventions import Array
from evenhand.loops import run_async
from evenhand.models import make_model
from evenhand.models.activations import residuals, sample_of, shared_end
from evenhand.models.hf import HFModel
from evenhand.steering.directions import Directions
from evenhand.steering.subspace import Layer, probed
from evenhand.study import Store, StudySpec
from evenhand.study.held import held_spec
from evenhand.study.rows import decode_request
from evenhand.tuning.pairs import check_split
from evenhand.types import Message

Tell = Callable[[str, int, int], None]
_FEWEST_ITEMS = 10


@dataclass(frozen=True)
class Asked:
    """One question as everybody asked it.

    Attributes:
        suite, item, personalizer: which, and how the identities were told.
        conversations: the baseline's, then one per identity.
    """

    suite: str
    item: str
    personalizer: str
    conversations: tuple[tuple[Message, ...], ...]


def fit_directions(
    study: Path,
    *,
    limit: int = 200,
    energy: float = 0.99,
    seed: int = 0,
    tell: Tell = lambda what, done, of: None,
) -> Directions:
    """Find how a model's activations differ by who the user is said to be.

    Only the study's questions are read, not its answers: a study of one token per answer will do.

    Args:
        study: run on the tuning split, without a mitigation, with a baseline and at least two identities.
        limit: items at most, the first in each suite's drawing order.
        energy: share of the contrasts' squared length that the subspace taken out holds.
        seed: of the probe's folds and permutations.
        tell: told what is being done, how much of it is done, and of how much.

    Raises:
        SpecError: a study that this cannot learn from, or a model whose activations cannot be reached.
        DataError: too few items.
    """
    with Store.open(study) as store:
        check_split(store, "tune")
        spec = held_spec(store)
        if spec.mitigation:
            raise SpecError(f"The study has the mitigation {spec.mitigation}.", "Start from the study without one.")
        identities, baseline = study_users(store)
        asked = questions(store, baseline, identities, limit)
    items = {suite: list(dict.fromkeys(a.item for a in asked if a.suite == suite)) for suite in spec_suites(asked)}
    if sum(map(len, items.values())) < _FEWEST_ITEMS:
        raise DataError(
            f"{study} has {sum(map(len, items.values()))} items that the baseline and all identities were asked.",
            f"Directions need at least {_FEWEST_ITEMS}: run it with a higher --limit.",
        )
    model, states, sample = run_async(_read(spec, asked, tell))
    return Directions(
        model=model.id,
        revision=model.revision,
        identities=tuple(identities),
        baseline=baseline,
        items=items,
        energy=energy,
        contrasts=_contrasts(states),
        centre=states[:, 0].mean(axis=0),
        sample=sample,
        profile=_profile(states, seed, tell),
        personalizers=tuple(dict.fromkeys(a.personalizer for a in asked)),
    )


def read_profile(
    spec: StudySpec, asked: Sequence[Asked], *, seed: int = 0, tell: Tell = lambda what, done, of: None
) -> tuple[Layer, ...]:
    """How well each block tells apart who asks.

    Args:
        spec: names the model.
        asked: questions, each by the baseline and by the same users.
        seed, tell: as for :func:`fit_directions`.

    Raises:
        SpecError: a model whose activations cannot be reached.
    """
    _, states, _ = run_async(_read(spec, asked, tell))
    return _profile(states, seed, tell)


def _profile(states: Array, seed: int, tell: Tell) -> tuple[Layer, ...]:
    """Of states (N, 1 + U, L, d), the baseline's first, what a probe reads per block and how large the contrast is."""
    sizes = np.sqrt((_contrasts(states) ** 2).sum(axis=2).mean(axis=0)) / np.linalg.norm(
        states[:, 0].mean(axis=0), axis=1
    )
    profile = []
    for block in range(states.shape[2]):
        tell("probing blocks", block, states.shape[2])
        accuracy, chance, p = probed(states[:, 1:, block].astype(float), seed)
        profile.append(Layer(block, accuracy, chance, p, float(sizes[block])))
    return tuple(profile)


def _contrasts(states: Array) -> Array:
    """Mean difference of each identity from the baseline, (U, L, d)."""
    return np.asarray((states[:, 1:] - states[:, :1]).mean(axis=0), dtype=states.dtype)


def local_model(spec: StudySpec) -> HFModel:
    """The study's model, whose activations can be read.

    Raises:
        SpecError: they cannot.
    """
    model = make_model(spec.model, spec.options.options())
    if not isinstance(model, HFModel):
        raise SpecError(
            f"The activations of {model.id} cannot be read in this process.",
            "Use a study of smollm2 or an hf: model, without --executor ray.",
        )
    return model


def spec_suites(asked: Sequence[Asked]) -> list[str]:
    """Names of the suites that were asked."""
    return list(dict.fromkeys(a.suite for a in asked))


def questions(store: Store, baseline: str, identities: Sequence[str], limit: int | None = None) -> list[Asked]:
    """The questions that the baseline and every identity were asked, each once per personalizer.

    Args:
        store: the study.
        baseline, identities: names.
        limit: items at most, suites in step.
    """
    found: list[list[Asked]] = []
    for suite in store.suites():
        of_suite: list[Asked] = []
        for item in store.item_order(suite["suite"]):
            rows = [row for row in store.transcripts(suite["suite"], item) if row["repeat"] == 0]
            plain = next((row for row in rows if row["identity"] == baseline), None)
            for personalizer in dict.fromkeys(row["personalizer"] for row in rows):
                told = {row["identity"]: row for row in rows if row["personalizer"] == personalizer}
                if plain is not None and all(name in told for name in identities):
                    everybody = (plain, *(told[name] for name in identities))
                    of_suite.append(
                        Asked(
                            suite["suite"].partition(":")[0],
                            item,
                            personalizer,
                            tuple(decode_request(row["request"]) for row in everybody),
                        )
                    )
        found.append(of_suite)
    kept: list[Asked] = []
    taken: dict[tuple[str, str], None] = {}
    for place in range(max(map(len, found), default=0)):
        for of_suite in found:
            if place < len(of_suite):
                key = (of_suite[place].suite, of_suite[place].item)
                if key in taken or limit is None or len(taken) < limit:
                    taken[key] = None
                    kept.append(of_suite[place])
    return kept


def study_users(store: Store) -> tuple[list[str], str]:
    """Names of the study's identities, and of the baseline that they are set against.

    Raises:
        SpecError: it has no baseline, or fewer than two identities.
    """
    baselines = store.baselines()
    names = [row["name"] for row in store.identities() if row["name"] not in baselines]
    if not baselines or len(names) < 2:
        raise SpecError(
            f"{store.directory} has {len(names)} identities and {len(baselines)} baselines.",
            "Directions need two identities and a baseline: run it with --identities A,B --baseline plain.",
        )
    return names, "plain" if "plain" in baselines else baselines[0]


async def _read(spec: StudySpec, asked: Sequence[Asked], tell: Tell) -> tuple[HFModel, Array, Array]:
    """The model, what its blocks put out (N, 1 + U, L, d) for N questions, and for the sample it is known by."""
    model = local_model(spec)
    tell(f"starting {model.id}", 0, 1)
    try:
        await model.start()
        tokens = [[model.tokens(messages) for messages in question.conversations] for question in asked]
        rows = [(ids, shared_end(group)) for group in tokens for ids in group]
        order = sorted(range(len(rows)), key=lambda n: len(rows[n][0]))
        found: dict[int, Array] = {}
        for start in range(0, len(order), model.batch_size):
            tell("reading conversations", start, len(order))
            part = order[start : start + model.batch_size]
            prompts, tails = zip(*(rows[n] for n in part), strict=True)
            read = await model.inside(residuals, prompts, tails)
            found |= dict(zip(part, read.cpu().numpy(), strict=True))
        states = np.stack([found[n] for n in range(len(rows))])
        sample = await model.inside(sample_of)
    finally:
        await model.aclose()
    return model, states.reshape(len(asked), -1, *states.shape[1:]), sample
