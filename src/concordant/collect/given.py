"""Talks that begin with a message given to the worker, to which a person wrote one of the two replies.

In red-team work nobody is given what touches a topic that they opted out of. Left out: several turns; such a talk has
one choice.
"""

import random
from dataclasses import dataclass

from concordant.collect.assignment import draw_beside, draw_given
from concordant.collect.avoided import avoided_in
from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.overview import ended_talks
from concordant.store.people import Worker
from concordant.store.registry import active_deployments
from concordant.store.talks import Draw
from concordant.store.written import Written, not_yet_given


@dataclass(frozen=True, slots=True)
class Opening:
    """What a talk begins with, and who replies to it."""

    written: Written
    draw: Draw


def given_opening(room: Room, worker: Worker, objective: Objective) -> Opening | None:
    """What the worker's next talk begins with, if it is to begin with something given.

    None too where replies are shown as they are written: a person's reply would be there at once.
    """
    deployed = active_deployments(room.db)
    rng = random.Random(f"{room.seed}:given:{worker.id}:{ended_talks(room.db, worker.id)}:{objective.value}")
    file = None if room.config.show == "free" else draw_given(deployed, objective, rng)
    left = [] if file is None else not_yet_given(room.db, file, worker.id)
    avoided = avoided_in(room, worker.id, objective)
    left = [one for one in left if not avoided.touched(one.prompt, one.reply)]
    if file is None or not left:
        return None
    draw = draw_beside(file, deployed, objective, rng)
    return None if draw is None else Opening(rng.choice(left), draw)
