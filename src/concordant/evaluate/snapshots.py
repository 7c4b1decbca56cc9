"""What a preference model promises of snapshots, and what people say of them (paper §4.5, B.4, Fig. 15 right, 35).

Four measurements of how far a snapshot stands above the first one, all in Elo:

naive    the preference model's mean score on held-out prompts, as the policy's own run has it
score    its mean score of the very replies that people compared
ranking  its choices in the comparisons that people made, rated as theirs are
people   the choices of the people themselves

In the paper the naive prediction was far too high, most of all because held-out prompts are not what people write.
Left out: strength, and helpful and harmless work together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from concordant.bradley_terry import elo_from_gap
from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.elo import board, games_from_preferences
from concordant.evaluate.intervals import clustered_difference
from concordant.evaluate.scoring import RowScorer, ScoredPreferences, score_preferences
from concordant.quantiles import Z95
from concordant.runs import Json, Watch


def measure_snapshots(
    model: RowScorer,
    preferences: Sequence[Preference],
    anchor: str,
    naive: Mapping[str, tuple[float, float]],
    watch: Watch,
) -> Json:
    """The four measurements of every snapshot but the anchor.

    Args:
        model: a preference model.
        preferences: people's choices for one objective; only those between two snapshots count.
        anchor: label of the snapshot at 0.
        naive: snapshot → (rise of its mean score on held-out prompts over the anchor's, standard error).
        watch: told of comparisons scored.

    Returns:
        ``{"n", "anchor", "dropped", "snapshots": [{"model", "people", "ranking", "score", "naive"}]}``; each
        measurement is ``{"elo", "ci95"}``, and ``naive`` is None where it is not known.

    Raises:
        UserError: people's choices give no board, or the anchor is not on it.
    """
    met = [one for one in preferences if one.models is not None and len(set(one.models)) == 2]
    people = board(games_from_preferences(met), anchor).json()
    strangers = sorted(naive.keys() - {row["model"] for row in people["ratings"]})
    if strangers:
        raise UserError(f"{strangers[0]!r} is not among the snapshots that people compared; name one of them")
    scored = score_preferences(model, met, watch)
    dropped = Counter(scored.dropped)
    told_apart = scored.chosen != scored.rejected
    if not told_apart.all():
        dropped["the preference model scores both alike (left out of its ranking)"] += int((~told_apart).sum())
    agreed = zip(scored.preferences, scored.chosen > scored.rejected, told_apart, strict=True)
    choices = [one if agrees else _turned(one) for one, agrees, apart in agreed if apart]
    ranking: dict[str, Json] = {}
    try:
        ranking = {row["model"]: row for row in board(games_from_preferences(choices), anchor).json()["ratings"]}
    except UserError as error:  # such as where it prefers one snapshot every time
        dropped[f"no ranking by the preference model: {error}"] = len(choices)
    rows = []
    for row in people["ratings"]:
        name = row["model"]
        if name == anchor:
            continue
        rows.append(
            {
                "model": name,
                "games": row["games"],
                "people": {"elo": row["elo"], "ci95": row["ci95"]},
                "ranking": {"elo": ranking[name]["elo"], "ci95": ranking[name]["ci95"]} if name in ranking else None,
                "score": _in_elo(*_rise(scored, name, anchor)),
                "naive": _in_elo(*naive[name]) if name in naive else None,
            }
        )
    return {"n": people["n"], "anchor": anchor, "dropped": dict(dropped), "snapshots": rows}


def _turned(preference: Preference) -> Preference:
    """The same comparison with the other answer."""
    return replace(preference, preferred="b" if preference.preferred == "a" else "a")


def _rise(scored: ScoredPreferences, name: str, anchor: str) -> tuple[float, float]:
    """(mean score of a snapshot's replies less that of the anchor's, its standard error by opening)."""
    values: list[float] = []
    mine: list[bool] = []
    openings: list[str] = []
    for one, chosen, rejected in zip(scored.preferences, scored.chosen, scored.rejected, strict=True):
        assert one.models is not None
        by = one.models if one.preferred == "a" else one.models[::-1]  # (writer of the chosen, of the rejected)
        for writer, score in zip(by, (chosen, rejected), strict=True):
            if writer in (name, anchor):
                values.append(float(score))
                mine.append(writer == name)
                openings.append(one.prompt.split_key)
    if all(mine) or not any(mine):
        raise UserError(
            f"no reply of {name if not any(mine) else anchor!r} could be scored; nothing is left to compare"
        )
    return clustered_difference(np.array(values), np.array(mine), openings)


def _in_elo(gap: float, error: float) -> Json:
    half = Z95 * error
    return {"elo": elo_from_gap(gap), "ci95": [elo_from_gap(gap - half), elo_from_gap(gap + half)]}
