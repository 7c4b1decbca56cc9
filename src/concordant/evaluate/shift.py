"""How the data moved: scores of the replies in each tranche by one preference model (paper §4.5, Fig. 15 left).

As better policies went before people, the scores of what they compared rose, and the upper tail filled. Scores have no
zero, so the first tranche's mean is taken off. Left out: an online preference model of its own; any one will do, and
which it was stands beside the result.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.intervals import clustered_difference
from concordant.evaluate.ood_scores import auroc
from concordant.evaluate.score_spread import Scores, bin_edges, density, spread
from concordant.evaluate.scoring import RowScorer, score_preferences
from concordant.runs import Json, Watch

UPPER = 0.9
"""The upper tail begins at this quantile of the first tranche."""


def measure_shift(
    model: RowScorer,
    tranches: Mapping[str, Sequence[Preference]],
    watch: Watch,
    dropped: Mapping[str, int] | None = None,
) -> Json:
    """Scores of both replies of every comparison, tranche by tranche.

    Args:
        model: a preference model.
        tranches: name → comparisons, in the order in which they were collected; two or more.
        watch: told of comparisons scored.
        dropped: what was left out before, by reason.

    Returns:
        ``{"n", "dropped", "edges", "tranches": [{"name", "comparisons", "mean", "se", "sd", "quantiles", "density",
        "moved", "moved_se", "above_first", "above_first_se", "upper"}]}``. ``moved`` is the mean less the first
        tranche's, clustered by opening; ``above_first`` the chance that a reply scores above one of the first tranche;
        ``upper`` the share above the first tranche's 90 % quantile.

    Raises:
        UserError: fewer than two tranches, or one of which nothing could be scored.
    """
    if len(tranches) < 2:
        raise UserError(f"{len(tranches)} tranche cannot move; name two or more with --data NAME=FILE")
    names = [name for name, preferences in tranches.items() for _ in preferences]
    every = [preference for preferences in tranches.values() for preference in preferences]
    scored = score_preferences(model, every, watch, dropped)
    of = np.array([names[place] for place in scored.places], dtype=np.str_)
    openings = np.array([one.prompt.split_key for one in scored.preferences], dtype=np.str_)
    for name in tranches:
        if not (of == name).any():
            raise UserError(f"no comparison of {name!r} could be scored; check its file")
    of, openings = np.concatenate([of, of]), np.concatenate([openings, openings])
    values = np.concatenate([scored.chosen, scored.rejected])
    first = next(iter(tranches))
    values = values - values[of == first].mean()
    edges = bin_edges(values)
    base = Scores(values[of == first], openings[of == first])
    upper = np.quantile(base.values, UPPER)
    rows = []
    for name in tranches:
        mine = Scores(values[of == name], openings[of == name])
        row = {"name": name, "comparisons": len(mine.values) // 2, **spread(mine)}
        row["density"] = density(mine.values, edges)
        row["upper"] = float((mine.values > upper).mean())
        if name != first:
            both = (of == name) | (of == first)
            row["moved"], row["moved_se"] = clustered_difference(values[both], of[both] == name, openings[both])
            above = auroc(base.values, mine.values, base.openings, mine.openings)
            row["above_first"], row["above_first_se"] = above.value, above.se
        rows.append(row)
    return {"n": len(scored.preferences), "dropped": dict(scored.dropped), "edges": edges.tolist(), "tranches": rows}
