"""Who is on the staff, and what they may do: researchers everything, reviewers the review of what workers wrote.

For now there is one member of staff, whoever opened the researcher's link.
"""

from dataclasses import dataclass
from enum import StrEnum

from concordant.store.database import Database
from concordant.store.people import is_staff_token


class Role(StrEnum):
    """What a member of staff may do. A researcher may also do all that a reviewer may."""

    RESEARCHER = "researcher"
    REVIEWER = "reviewer"


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff. ``id`` stands in the audit log and beside verdicts; ``name`` is shown to colleagues."""

    id: str
    name: str
    role: Role


BY_LINK = Staff("link", "researcher's link", Role.RESEARCHER)
"""Whoever opened the researcher's link."""


def staff_by_token(db: Database, token: str) -> Staff | None:
    """The member of staff whose secret this is."""
    return BY_LINK if is_staff_token(db, token) else None
