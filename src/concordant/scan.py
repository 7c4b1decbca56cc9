"""What a scan consists of: many preference models that differ in one thing (paper Fig. 7, 19, 20, 26, 27).

A cell is one of them: where it stands on the axis, its base model, its config and what it learns from. The sizes of a
learning curve are beginnings of one order, so that one run passes through all of them (§3.1: the rate is constant). So
its points are not independent of each other; nested draws never were. Left out: making them (``scan_run.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from concordant.comparison import Objective, Preference
from concordant.config import changed
from concordant.errors import UserError
from concordant.mixture import Mixture, Source, in_order, largest_total, mix, teaching
from concordant.train_config import PreferenceModelConfig

COMPARISONS = "comparisons"
SKILL = "skill"


@dataclass(frozen=True, slots=True)
class Cell:
    """One model of a scan.

    Attributes:
        x: where it stands on the axis.
        model: name of its base model.
        config: of its run.
        mixture: what it learns from.
    """

    x: float
    model: str
    config: PreferenceModelConfig
    mixture: Mixture


@dataclass(frozen=True, slots=True)
class Plan:
    """What all scans have in common.

    Attributes:
        folder: where it stands.
        sources: comparisons to learn from, without the openings of the tests.
        tests: objective → comparisons; every model is measured on each of them.
        config: of all cells, but for the scanned key, the model and the seed.
        models: name → folder of each base model.
        seeds: of every cell, one run each.
        record: which data these are, for the parents of runs.
        keep_models: whether a cell's weights stay after it has been measured.
        device: where the models are trained and measured.
    """

    folder: Path
    sources: Sequence[Source]
    tests: Mapping[str, Sequence[Preference]]
    config: PreferenceModelConfig
    models: Mapping[str, Path]
    seeds: Sequence[int]
    record: Mapping[str, str]
    keep_models: bool = True
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Scan:
    """A plan with its axis: ``key`` is "comparisons", "harmless_share", "skill", or a key of the config."""

    plan: Plan
    key: str
    cells: list[Cell] = field(default_factory=list)

    def curves(self) -> list[list[Cell]]:
        """The cells in the order in which they are made; those that one run passes through stand together."""
        if self.key != COMPARISONS:
            return [[cell] for cell in self.cells]
        curves: dict[tuple[int, str], list[Cell]] = {}
        for cell in self.cells:
            curves.setdefault((cell.config.seed, cell.model), []).append(cell)
        return list(curves.values())


def comparisons_scan(plan: Plan, sizes: Sequence[int]) -> Scan:
    """Accuracy against the number of comparisons (Fig. 7). With no sizes: 1,000, doubled up to what there is.

    Raises:
        UserError: there are not so many comparisons, or the config keeps copies, which the scan does itself.
    """
    if plan.config.keep_at:
        raise UserError("a scan of comparisons keeps copies at its own sizes; leave out keep_at")
    most = _most(plan.sources)
    sizes = sizes or [1000 * 2**power for power in range(20) if 1000 * 2**power <= most]
    if not sizes or max(sizes) > most:
        raise UserError(
            f"{max(sizes, default=1000):,} comparisons were asked for, and {most:,} can be had; ask for fewer"
        )
    plan = replace(plan, config=changed(plan.config, {"order": "given"}))
    drawn = cache(lambda size, seed: in_order(plan.sources, size, seed))  # the same for all models
    return Scan(plan, COMPARISONS, _cells(plan, sizes, lambda size, config: drawn(int(size), config.seed)))


def mixture_scan(plan: Plan, shares: Sequence[float], total: int | None) -> Scan:
    """Accuracy against the share of harmless comparisons, at one total (Fig. 19, 26).

    Args:
        plan: its sources have no weights.
        shares: of harmless ones, in [0, 1].
        total: comparisons of every cell; None for as many as all shares allow.

    Raises:
        UserError: no helpful or no harmless comparisons, or too few of them.
    """
    if any(source.weight is not None for source in plan.sources):
        raise UserError("a scan of mixtures sets the weights itself; leave them out of --data")
    rows = [row for source in plan.sources for row in teaching(source.rows)]
    by_objective = {objective: [row for row in rows if row.objective == objective] for objective in Objective}
    for objective, found in by_objective.items():
        if not found:
            raise UserError(f"--data holds no {objective} comparison; a scan of mixtures needs {objective}=FILE too")
    available = [len(by_objective[objective]) for objective in (Objective.HELPFUL, Objective.HARMLESS)]
    size = total or min(largest_total((1 - share, share), available) for share in shares)

    def mixed(share: float, config: PreferenceModelConfig) -> Mixture:
        weights = {Objective.HELPFUL: 1 - share, Objective.HARMLESS: share}
        sources = [Source(objective, by_objective[objective], weight) for objective, weight in weights.items()]
        return mix(sources, size, config.seed)

    return Scan(plan, "harmless_share", _cells(plan, shares, mixed))


def skill_scan(plan: Plan, limit: int | None) -> Scan:
    """Each of two tasks alone, and both together: what does learning the second cost the first (§5.2, Fig. 20)?

    The cells stand at 0 (the first source alone), 1 (the second alone) and 2 (all of both), so that a model of both has
    seen every comparison that either of the others has; proportions are those of the sources, as the paper states none.

    Args:
        plan: two sources without weights.
        limit: at most so many comparisons of each source; None for all.
    """

    def drawn(place: int, seed: int) -> list[Preference]:
        return mix([plan.sources[place]], limit, seed).preferences

    def mixed(x: float, config: PreferenceModelConfig) -> Mixture:
        parts = [drawn(place, config.seed) if x in (place, 2) else [] for place in (0, 1)]
        return Mixture([row for part in parts for row in part], [len(part) for part in parts])

    return Scan(plan, SKILL, _cells(plan, (0.0, 1.0, 2.0), mixed))


def setting_scan(plan: Plan, key: str, values: Sequence[float], total: int | None) -> Scan:
    """Accuracy against a key of the config, such as the loss weight of harmless comparisons (Fig. 27).

    Raises:
        UserError: no such key, or a value out of its range.
    """
    return Scan(plan, key, _cells(plan, values, lambda _, config: mix(plan.sources, total, config.seed), key))


def _cells(
    plan: Plan,
    values: Sequence[int] | Sequence[float],
    mixed: Callable[[Any, PreferenceModelConfig], Mixture],
    key: str | None = None,
) -> list[Cell]:
    """A cell for each seed, model and value, in this order: the first seed's whole curve comes first."""
    for name, listed in (("seed", plan.seeds), ("value", values)):
        if len(set(listed)) < len(listed) or not listed:
            raise UserError(f"each {name} must stand in the list once, and at least one: {list(listed)}")
    cells = []
    for seed in plan.seeds:
        for model in plan.models:
            for value in values:
                here = {} if key is None else {key: value}
                config = changed(plan.config, {"model": model, "seed": seed, **here})
                cells.append(Cell(float(value), model, config, mixed(value, config)))
    return cells


def _most(sources: Sequence[Source]) -> int:
    """The most comparisons that can be drawn from the sources."""
    available = [len(teaching(source.rows)) for source in sources]
    weights = [source.weight for source in sources if source.weight is not None]
    return largest_total(weights, available) if weights else sum(available)
