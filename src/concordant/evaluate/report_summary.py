"""What a reader should know before the first figure: the key numbers with their intervals, and who made the choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concordant.evaluate.figures import number, percent, percent_span, span
from concordant.quantiles import Z95
from concordant.runs import Json

_MACHINES = {"scripted": "scripted workers", "simulated": "simulated workers"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One key number: what it is, the number, how sure it is, and what to hold it against."""

    label: str
    value: str
    interval: str
    beside: str


def tiles(pm: Json | None, policy: Json | None, updates: Sequence[Json], board: Json | None) -> list[Tile]:
    """The key numbers that are there.

    Args:
        pm: ``PMEvaluation.json()``.
        policy: a policy run's result, with its trial before and after.
        updates: a policy run's metrics, used where it has no trial.
        board: ``EloBoard.json()``.
    """
    made = [] if pm is None else [_accuracy_tile(pm)]
    trial = trial_of(policy)
    if trial:
        before, after = trial
        made += _policy_tiles(before, after, f"{after['n']:,} replies to held-out prompts, before and after")
    else:
        rows = [row for row in updates if row.get("score") is not None and row.get("kl") is not None]
        if len(rows) > 1:
            made += _policy_tiles(rows[0], rows[-1], "training replies of the first and the last update")
    if board is not None:
        best = board["ratings"][0]
        best = board["ratings"][1] if best["model"] == board["anchor"] else best
        interval = f"{span(best['ci95'], 0)}, n\u00a0=\u00a0{board['n']:,}"
        made.append(Tile(f"{best['model']}, Elo", number(best["elo"], 0), interval, f"against {board['anchor']}"))
    return made


def trial_of(policy: Json | None) -> tuple[Json, Json] | None:
    """(before, after) of the held-out prompts in a policy run's result, None where none were held out."""
    before, after = ((policy or {}).get(when) for when in ("before", "after"))
    return (before, after) if before and after else None


def _accuracy_tile(pm: Json) -> Tile:
    longer = f"“longer wins”: {percent(pm['length_baseline']['longer_wins'])}"
    if pm.get("words_baseline"):
        longer += f", bag of words: {percent(pm['words_baseline']['accuracy'])}"
    return Tile(
        "Preference model, accuracy",
        percent(pm["accuracy"]),
        f"{percent_span(pm['ci95'])}, n\u00a0=\u00a0{pm['n']:,}",
        "collapsed: the scores do not differ" if pm["collapsed"] else longer,
    )


def _policy_tiles(before: Json, after: Json, where: str) -> list[Tile]:
    bars = [Z95 * (part.get("score_se") or 0.0) for part in (before, after)]
    score = f"{number(before['score'], 2)} → {number(after['score'], 2)}"
    root = f"√KL = {number(max(after['kl'], 0.0) ** 0.5, 2)}"
    return [
        Tile("Policy, mean score", score, f"± {bars[0]:.2f} and ± {bars[1]:.2f}", where),
        Tile("KL from the first policy", f"{number(after['kl'], 1)} nats", "per reply, after training", root),
    ]


def notice(worker_kinds: Mapping[str, int]) -> str:
    """A warning where machines made choices, or ""."""
    machines = {kind: worker_kinds[kind] for kind in _MACHINES if worker_kinds.get(kind)}
    if not machines:
        return ""
    who = " and ".join(_MACHINES[kind] for kind in machines)
    total = sum(worker_kinds.values())
    made = sum(machines.values())
    part = f"All {total:,} choices" if made == total else f"{made:,} of {total:,} choices"
    return (
        f"{part} behind this report were made by {who}. The numbers show that the circle works, not what people prefer."
    )


def clock(seconds: float) -> str:
    """75.2 → "1 min 15 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
