"""What ``concordant evaluate`` says to a person: tables of at most 80 columns."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concordant.evaluate.figures import Figure, Missing

Json = dict[str, Any]
WIDTH = 80
_ALARM = "ALARM: chosen and rejected get the same scores; this accuracy says nothing."


def pm_text(name: str, result: Json) -> str:
    """A preference model's measurement."""
    baseline = result["length_baseline"]
    excess, (low, high) = result["calibration"]["excess"], result["calibration"]["excess_ci95"]
    counted = f"{result['n']:,} comparisons from {result['openings']:,} openings, scored by "
    lines = [
        counted + _cut(name, WIDTH - len(counted)),
        "",
        f"  accuracy           {_percent(result['accuracy'])}    95 %: {_range(result['ci95'])}",
        f"  the longer wins    {_percent(baseline['longer_wins'])}    95 %: {_range(baseline['ci95'])}",
        *_words(result["words_baseline"]),
        f"  ties               {_percent(result['ties'])}    counted ½",
        f"  loss (NLL)         {result['nll']:6.3f}      nats; chance is 0.693",
        f"  calibration error  {_percent(result['ece'])}    "
        f"right minus said: {100 * excess:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})",
        "",
        *_parts("turn", result["by_turn"]),
    ]
    if len(result["by_file"]) > 1:
        lines += ["", *_parts("comparisons from", result["by_file"])]
    if len(result["by_objective"]) > 1:
        lines += ["", *_parts("objective", result["by_objective"])]
    lines += ["", *_thresholds(result["by_threshold"])]
    lines += ["", *_spread(result["by_spread"])] if result.get("by_spread") else []
    lines += ["", *_left_out(result["dropped"])] if result["dropped"] else []
    if result["collapsed"]:
        lines += ["", _ALARM]
    return "\n".join(lines)


def _words(baseline: Json | None) -> list[str]:
    """What the words alone say, and how far the model is ahead of them."""
    if baseline is None:
        return []
    lead, (low, high) = baseline["lead"], baseline["lead_ci95"]
    return [
        f"  bag of words       {_percent(baseline['accuracy'])}    95 %: {_range(baseline['ci95'])}, "
        f"fitted on {baseline['trained_on']:,}",
        f"  ahead of words     {100 * lead:+5.1f} points ({100 * low:+.1f} to {100 * high:+.1f})",
    ]


def _thresholds(found: Json) -> list[str]:
    """Accuracy where both scores are high (Fig. 25)."""
    parts = {f"{point['score']:+.2f} ({point['sds']:+.1f} sd)": point for point in found["points"]}
    return _parts("both scores, mean off, at least", parts) if parts else []


def _spread(found: Json) -> list[str]:
    """Accuracy where the members of an ensemble agree, and where they do not."""
    parts = {f"{third['low']:.2f} to {third['high']:.2f} (|Δ| {third['gap']:.2f})": third for third in found["thirds"]}
    return _parts("members' spread, in thirds", parts)


def hhh_text(name: str, result: Json) -> str:
    """The HHH evaluation, category by category."""
    counted = f"{result['n']:,} items of the HHH evaluation, scored by "
    longer = result["length_baseline"]
    lines = [
        counted + _cut(name, WIDTH - len(counted)),
        "",
        *_parts("category", result["by_category"]),
        *_parts("all", {"all items": result})[1:],
        f"  {'mean of the categories':<34} {'':>7}    {_percent(result['macro_mean'])}",
        f"  {'the longer is the correct one':<34} {longer['n']:7,}    {_percent(longer['longer_wins'])}   "
        f"{_range(longer['ci95'])}",
        "",
        *_wrap(
            f"Ties {_percent(result['ties']).strip()}, counted ½. In the paper (§3.4) the 52B preference model has "
            f"{100 * result['paper']['preference_model_52b']:.0f} %, people {100 * result['paper']['people']:.0f} %."
        ),
    ]
    if result["worst"]:
        lines += ["", "  The worst (score of the correct reply minus that of the incorrect one):"]
    for item in result["worst"]:
        asked = " ".join(item["asked"].split())
        lines.append(f"  {item['difference']:+7.2f}  {item['category']:<9} {item['item']:>4}  {_cut(asked, 52)}")
    lines += ["", *_left_out(result["dropped"])] if result["dropped"] else []
    return "\n".join([*lines, *(["", _ALARM] if result["collapsed"] else [])])


def calibration_text(result: Json, figure: "Figure | Missing") -> str:
    """The bins of Fig. 9."""
    rows = [
        f"  {bin['gap']:8.2f}  {_percent(bin['predicted'])}  {_percent(bin['observed'])}"
        f"   {_range(bin['ci95']):>14}  {bin['n']:6,}"
        for bin in result["calibration"]["bins"]
    ]
    return "\n".join([_says(figure), "", "       |Δ|     said     right            95 %       n", *rows])


def elo_text(result: Json) -> str:
    """A board and its pairs."""
    widest = max(len(rating["model"]) for rating in result["ratings"])
    name = min(widest, 34)
    judged = f"{result['n']:,} games, {result['workers']:,} workers, {result['anchor']} = 0"
    lines = [
        f"{judged}, for {result['objective']} replies" if result.get("objective") else judged,
        "",
        f"  {'model':<{name}}  {'Elo':>6}   {'95 %':<16} {'rank':>7} {'games':>7}",
    ]
    for rating in result["ratings"]:
        at_zero = rating["model"] == result["anchor"]
        interval = "anchor" if at_zero else f"{rating['ci95'][0]:.0f} to {rating['ci95'][1]:.0f}"
        label, (first, last) = _cut(rating["model"], name), rating["rank95"]
        rank = f"{first}" if first == last else f"{first}–{last}"
        lines.append(f"  {label:<{name}}  {rating['elo']:6.0f}   {interval:<16} {rank:>7} {rating['games']:7,}")
    lines += ["", *_wrap(lead_sentence(result["lead"]))]
    if "pair" in result:
        lines += ["", *_wrap(pair_sentence(result["pair"]))]
    lines += ["", f"  {'pair':<44}  {'won':>6}   {'95 %':<14} {'n':>6}"]
    for pair in result["win_rates"][:_MOST_PAIRS]:
        label = f"{_cut(pair['model_a'], 19)} over {_cut(pair['model_b'], 19)}"
        lines.append(f"  {label:<44} {_percent(pair['win_rate'])}   {_range(pair['ci95']):<14} {pair['n']:6,}")
    if len(result["win_rates"]) > _MOST_PAIRS:
        lines += [f"  … and {len(result['win_rates']) - _MOST_PAIRS:,} pairs more, with --json"]
    lines += _beside_ratings(result)
    lines += ["", *_wrap(f"Intervals: {result['interval_method']}."), *_left_out(result["dropped"])]
    if result.get("ignored_columns"):
        lines += _wrap(f"Columns not read: {', '.join(result['ignored_columns'])}.")
    return "\n".join(lines)


_MOST_PAIRS = 30


def _beside_ratings(result: Json) -> list[str]:
    """What was fitted beside the ratings: the side, and the thresholds of strength."""
    lines: list[str] = []
    left, effect = result["left_wins"], result["side_effect"]
    if left is not None:
        lines += ["", f"  The reply on the left won {_percent(left['share']).strip()} (95 %: {_range(left['ci95'])})."]
    if effect is not None:
        worth = (
            f"Standing on the left is worth {effect['elo']:.0f} Elo ({_elo_range(effect['ci95'])}); the ratings are "
        )
        lines += _wrap(worth + "without it.")
    if result["strength_thresholds"]:
        reach = [
            f"{level} from {effect['elo']:.0f} ({_elo_range(effect['ci95'])})"
            for level, effect in result["strength_thresholds"].items()
        ]
        lines += ["", *_wrap(f"Strength, by how far a choice lies from even, in Elo: {', '.join(reach)}.")]
    return lines


def lead_sentence(lead: Json) -> str:
    """What would turn the first two round."""
    parts = [f"by {_count(lead['votes_to_add'], 'more win')} of {lead['runner_up']} in a row"]
    parts += [f"by the loss of {_count(lead['votes_to_drop'], 'vote')}"] if lead["votes_to_drop"] else []
    parts += [f"by the loss of {_count(lead['workers_to_drop'], 'worker')}"] if lead["workers_to_drop"] else []
    if round(lead["elo"], 1) == 0:
        return f"{lead['leader']} and {lead['runner_up']} are level: any vote decides which of them leads."
    return f"{lead['leader']} leads {lead['runner_up']} by {lead['elo']:.0f} Elo. Turned round {', or '.join(parts)}."


def pair_sentence(pair: Json) -> str:
    """How often one model beats another."""
    won = pair["games_won"]
    played = "They never met"
    if won is not None:
        played = f"It won {_percent(won['win_rate']).strip()} ({_range(won['ci95'])}) of their {pair['games']:,} games"
    return (
        f"{pair['model_a']} beats {pair['model_b']} in {_percent(pair['win_rate']).strip()} (95 %: "
        f"{_range(pair['ci95'])}) by the ratings, {pair['elo_difference']:+.0f} Elo ({_elo_range(pair['elo_ci95'])}). "
        f"{played}."
    )


def plan_text(plan: Json) -> str:
    """How many more votes a goal takes, and for other loads of a worker."""
    goal, now = plan["goal"], plan["now"]
    pair = f"{plan['model_a']} over {plan['model_b']}" if plan["model_a"] else "Two models"
    wanted = (
        f"a 95 % interval of ±{goal['half_width']:.0f} Elo"
        if goal["half_width"] is not None
        else f"a decision with {100 * goal['power']:.0f} % chance, if the gap is what it is taken to be"
    )
    lines = _wrap(f"{pair}: gap {plan['gap_elo']:+.0f} Elo. Wanted: {wanted}.", "")
    if now is not None:
        lines += _wrap(
            f"Now ±{now['half_width']:.0f} Elo, from {now['votes']:,} votes of {now['workers']:,} workers.", ""
        )
    lines += _wrap(
        f"Choices of one worker correlate by {plan['worker_correlation']:.3f}: workers' own gaps spread by "
        f"{plan['worker_sd_elo']:.0f} Elo (one standard deviation).",
        "",
    )
    lines += ["", f"  {'votes a worker':>14}  {'more workers':>12}  {'more votes':>12}   then ±Elo"]
    for row in plan["table"]:
        mark = "  ←" if row["votes_per_worker"] == plan["votes_per_worker"] else ""
        workers, votes = ("never" if row[key] is None else f"{row[key]:,}" for key in ("more_workers", "more_votes"))
        lines.append(f"  {row['votes_per_worker']:14,}  {workers:>12}  {votes:>12}   {row['half_width']:9.0f}{mark}")
    return "\n".join([*lines, "", *_wrap("New votes: between these two alone, of workers who have not judged before.")])


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _elo_range(ci95: Sequence[float]) -> str:
    return f"{ci95[0]:.0f} to {ci95[1]:.0f}"


def frontier_text(figure: "Figure | Missing") -> str:
    """The line of Fig. 4 in words."""
    from concordant.evaluate.figures import Figure

    return "\n".join([_says(figure), "", *(_wrap(figure.caption) if isinstance(figure, Figure) else [])])


def distance_text(result: Json) -> str:
    """How far base and student are from the prompted teacher."""
    lines = [
        f"{result['tokens']:,} tokens of {result['documents']:,} documents that were not learned from",
        "",
        "  KL from the prompted teacher, nats per token",
        f"  base model         {_nats(result['base'])}",
        f"  student            {_nats(result['student'])}",
        f"  gain               {_nats(result['gain'])}    {_percent(result['share']).strip()} of the base's",
    ]
    for name, part in result["by_kind"].items():
        lines.append(f"  gain, {name:<12} {_nats(part['gain'])}    {_percent(part['share']).strip()}")
    if not result["closer"]:
        lines += ["", "ALARM: the student is not closer to the prompted teacher than the base is."]
    return "\n".join([*lines, *(["", *left] if (left := _left_out(result.get("dropped", {}))) else [])])


def _nats(part: Json) -> str:
    low, high = part["ci95"]
    return f"{part['kl']:+.4f}    95 %: {low:+.4f} to {high:+.4f}"


def _says(figure: "Figure | Missing") -> str:
    from concordant.evaluate.figures import Figure

    return "\n".join(_wrap(figure.title if isinstance(figure, Figure) else figure.why, ""))


def _parts(heading: str, parts: dict[str, Json]) -> list[str]:
    lines = [f"  {heading:<34} {'n':>7}   accuracy   95 %"]
    for name, part in parts.items():
        lines.append(f"  {_cut(name, 34):<34} {part['n']:7,}    {_percent(part['accuracy'])}   {_range(part['ci95'])}")
    return lines


def _left_out(dropped: dict[str, int]) -> list[str]:
    if not dropped:
        return []
    return _wrap("Left out: " + ", ".join(f"{count:,} {reason}" for reason, count in dropped.items()) + ".")


def _percent(value: float) -> str:
    """Seven characters: "  66.7 %"."""
    return f"{100 * value:5.1f} %"


def _range(ci95: Sequence[float]) -> str:
    return f"{100 * ci95[0]:.1f} to {100 * ci95[1]:.1f}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width // 2 - 1]}…{text[-(width - width // 2) :]}"


def _wrap(text: str, indent: str = "  ") -> list[str]:
    plain = text.replace("\u202f", " ")
    return textwrap.wrap(plain, WIDTH, initial_indent=indent, subsequent_indent=indent)
