"""How many items a study needs, by what a pilot of it shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evenhand.analysis.marginals import suite_marginals
from evenhand.analysis.planning import Needed, items_needed, items_to_pass
from evenhand.analysis.reach import Reach, reach
from evenhand.errors import SpecError
from evenhand.study import Store
from evenhand.study.notes import is_unpaired
from evenhand.tables import measured, tables_of


def plan_items(path: Path | str, pb: float = 1.0, power: float = 0.8, *, to_pass: float | None = None) -> list[Needed]:
    """Items per suite that a study like this one needs to see a bias, or to pass a limit.

    Args:
        path: a pilot study, with the identities, repeats and decoding that are meant.
        pb: the bias to see, in points.
        power: probability of seeing it, or of passing.
        to_pass: the limit on PB, in points, that a model without bias is to pass; instead of ``pb``.

    Raises:
        SpecError: the pilot has no suite with at least two items and two identities, or its answers are unpaired; or
            what is asked for is no bias or no probability.
    """
    for name, value in (("pb", pb), ("to_pass", to_pass)):
        if value is not None and not 0 < value <= 100:
            raise SpecError(f"{name} = {value} is out of range.", "It is in points: above 0, and 100 at most.")
    if not 0 < power < 1:
        raise SpecError(f"power = {power} is out of range.", "It is a probability, between 0 and 1.")
    needed = []
    with Store.open(Path(path)) as store:
        _check_paired(store)
        tables = tables_of(store)
        pools = {row["suite"]: row["pool"] for row in store.suites()}
    for table in tables:
        scored = [k for k, row in enumerate(np.isfinite(table.y)) if row.any()]
        if len(scored) >= 2 and len(table.items) >= 2:
            fit = suite_marginals(table.select_identities(scored))
            pool = pools.get(table.suite)
            if to_pass is None:
                needed.append(items_needed(table.suite, fit, pb, power=power, pool=pool))
            else:
                needed.append(items_to_pass(table.suite, fit, to_pass, power=power, pool=pool))
    if not needed:
        raise SpecError(f"{path} has too few scores to plan from.", "Run a pilot with at least 20 items per suite.")
    return needed


def plan_reduction(
    path: Path | str, items: Mapping[str, int] | None = None, *, target: float | None = 0.66, margin: float = 2.0
) -> Reach:
    """What a study like this one, with a mitigation beside it, could show of the bias that is gone.

    Args:
        path: a study without a mitigation, with the identities, repeats and decoding that are meant.
        items: suite -> how many would be asked; as many as it asked otherwise.
        target: the share that is to be shown; None for not counting the items that takes.
        margin: how much of anything else may be lost, in points.

    Raises:
        SpecError: the study has too few scores, or its answers are unpaired.
    """
    with Store.open(Path(path)) as store:
        _check_paired(store)
        pilot = measured(store)
    try:
        return reach(pilot, items or {t.suite: len(t.items) for t in pilot.tables}, target=target, margin=margin)
    except ValueError as error:
        raise SpecError(f"{path} is no pilot: {error}.", "Run it on at least 20 items per suite.") from None


def _check_paired(store: Store) -> None:
    if is_unpaired(store):
        raise SpecError(
            f"The answers of {store.directory} are unpaired: they do not tell how many items a paired study needs.",
            "Run a pilot in which all identities ask the same, of at least 20 items per suite.",
        )
