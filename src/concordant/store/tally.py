"""Counts of preferences: what was taken, by where it came from, and what was left out, by reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from concordant.comparison import Preference
from concordant.store.people import WorkerKind

Json = dict[str, Any]
UNKNOWN = "unknown"
"""Worker kind of imported rows whose file does not say."""


@dataclass(slots=True)
class Tally:
    """Fills up while preferences stream past.

    Attributes:
        groups: (objective, tranche, source, worker kind) → preferences taken.
        dropped: reason → preferences left out.
    """

    groups: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def take(self, preference: Preference, worker_kind: WorkerKind | None) -> None:
        kind = UNKNOWN if worker_kind is None else worker_kind.value
        self.groups[preference.objective.value, preference.tranche.value, preference.source, kind] += 1

    def drop(self, reason: str) -> None:
        self.dropped[reason] += 1

    @property
    def taken(self) -> int:
        return self.groups.total()

    def by_kind(self) -> Counter[str]:
        """Worker kind → preferences taken."""
        kinds: Counter[str] = Counter()
        for (_, _, _, kind), number in self.groups.items():
            kinds[kind] += number
        return kinds

    def to_json(self) -> Json:
        """``{"taken", "dropped": {reason: n}, "worker_kinds": {kind: n}, "groups": [{objective, …, "n"}]}``."""
        names = ("objective", "tranche", "source", "worker_kind")
        return {
            "taken": self.taken,
            "dropped": dict(sorted(self.dropped.items())),
            "worker_kinds": dict(sorted(self.by_kind().items())),
            "groups": [dict(zip(names, key, strict=True)) | {"n": n} for key, n in sorted(self.groups.items())],
        }
