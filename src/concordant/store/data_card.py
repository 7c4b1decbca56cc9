"""The data card beside an export: what it holds, who made it (people or programs), what was left out and why."""

from concordant.store.people import WorkerKind
from concordant.store.tally import UNKNOWN, Tally

_WHO = {
    WorkerKind.PERSON.value: "by people",
    WorkerKind.SCRIPTED.value: "by scripted workers, programs with a fixed taste: **this is not human judgement**",
    WorkerKind.SIMULATED.value: "by simulated workers, models in the place of people: **this is not human judgement**",
    UNKNOWN: "imported from files that do not say who chose",
}


def data_card(title: str, tally: Tally, about: str, columns: dict[str, str]) -> str:
    """A Markdown page.

    Args:
        title: the exported file's name.
        tally: what was taken and left out.
        about: one or two sentences on the format and the selection.
        columns: name → meaning.
    """
    parts = [
        f"# {title}",
        f"{tally.taken:,} comparisons: two replies to one prompt, and which of them is better. {about}",
        "## Who chose",
        _who_chose(tally),
        "## What is in it",
        _table(
            ("objective", "tranche", "source", "worker kind", "comparisons"),
            [(*key, f"{number:,}") for key, number in sorted(tally.groups.items())],
        ),
        "## What was left out",
        _left_out(tally),
        "## Columns",
        _table(("column", "meaning"), list(columns.items())),
    ]
    return "\n\n".join(parts) + "\n"


def _who_chose(tally: Tally) -> str:
    kinds = tally.by_kind()
    lines = []
    for kind, who in _WHO.items():
        share = 100 * kinds[kind] / tally.taken if tally.taken else 0.0
        if kinds[kind] or kind in (WorkerKind.PERSON, WorkerKind.SCRIPTED):
            lines.append(f"- {kinds[kind]:,} of {tally.taken:,} ({share:.1f} %) {who}")
    return "\n".join(lines)


def _left_out(tally: Tally) -> str:
    if not tally.dropped:
        return "Nothing: every comparison that matches is here, those of the weakest strength included."
    return _table(("reason", "comparisons"), [(reason, f"{n:,}") for reason, n in sorted(tally.dropped.items())])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
