"""What a worker's next task is: the programme's policy, under the limits that keep red-team work bearable (App. D).

Pure functions of what the worker has done; the store calls them under the lock that opens a task. A limit never ends
somebody's work: it turns a red-team task into a helpful one, and says why. Left out: topics that somebody opts out of,
which bind what is shown and not which task comes next (``avoided.py``).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from concordant.collect.assignment import draw_objective
from concordant.comparison import Objective
from concordant.programme_config import CareConfig, CollectConfig
from concordant.store.sittings import Stint


class Held(StrEnum):
    """Why a task that would have been red-team work is a helpful one."""

    NOT = ""
    WISH = "wish"
    SESSION = "session"
    DAY = "day"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class NextTask:
    """What comes next. ``until``: the end of a break, where one is due."""

    objective: Objective
    held: Held = Held.NOT
    until: datetime | None = None


def wish(config: CollectConfig, stints: Sequence[Stint], rng: random.Random) -> Objective:
    """What the programme's policy would have next, before any limit."""
    if config.policy == "alternating":
        here = [stint.objective for stint in stints if stint.here and not stint.looks]
        return Objective.HARMLESS if here and here[-1] is Objective.HELPFUL else Objective.HELPFUL
    if config.policy == "drawn":
        return draw_objective(config, rng)
    return Objective.HELPFUL if config.policy == "helpful" else Objective.HARMLESS


def limited(wished: Objective, care: CareConfig, everyday: bool, stints: Sequence[Stint], now: datetime) -> NextTask:
    """The wish, unless it is for red-team work and something speaks against that.

    Args:
        wished: by the policy.
        care: the limits.
        everyday: the worker asked for no red-team work.
        stints: the worker's conversations of the last 24 hours and of the open sitting, oldest first.
        now: the time, UTC.
    """
    if wished is Objective.HELPFUL:
        return NextTask(Objective.HELPFUL)
    if everyday:
        return NextTask(Objective.HELPFUL, Held.WISH)
    dark = [stint for stint in stints if stint.objective is Objective.HARMLESS]
    if sum(stint.here for stint in dark) >= care.red_team_per_session:
        return NextTask(Objective.HELPFUL, Held.SESSION)
    if sum(stint.ended is None or stint.ended > now - timedelta(days=1) for stint in dark) >= care.red_team_per_day:
        return NextTask(Objective.HELPFUL, Held.DAY)
    over = break_until(care, stints)
    if over is not None and now < over:
        return NextTask(Objective.HELPFUL, Held.BREAK, over)
    return NextTask(Objective.HARMLESS)


def break_until(care: CareConfig, stints: Sequence[Stint]) -> datetime | None:
    """When the break that is due after the newest red-team conversations is over; None: none is due.

    Conversations are on end where no pause of a break's length lies between them; helpful work counts as a pause of its
    own length.
    """
    pause = timedelta(minutes=care.break_minutes)
    dark = [stint for stint in stints if stint.objective is Objective.HARMLESS and stint.ended is not None]
    on_end = 0
    later_began: datetime | None = None
    for stint in reversed(dark):
        assert stint.ended is not None
        if later_began is not None and later_began - stint.ended >= pause:
            break
        on_end, later_began = on_end + 1, stint.began
    return dark[-1].ended + pause if on_end >= care.break_after and dark[-1].ended is not None else None
