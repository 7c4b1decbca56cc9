"""Keys to ``/v1``: shown once when they are made, kept as hashes, with an end and a list of snapshots if so wished."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, note
from concordant.store.database import Database
from concordant.store.deployment_tables import ApiKeyRow
from concordant.store.tables import SnapshotRow, utc_now

_USED_SECONDS = 60
"""``last_used`` is written at most so often, so that a busy key does not hold up the store."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it can be shown: never the secret.

    Attributes:
        id: 32 hex digits.
        name: unique.
        snapshots: ids that it may use; None: all that are deployed.
        created: when it was made, UTC.
        expires: when it ends; None: never.
        revoked: when it was taken back.
        last_used: to within a minute.
    """

    id: str
    name: str
    snapshots: tuple[str, ...] | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None

    def allows(self, snapshot_id: str) -> bool:
        """Whether it may use a snapshot."""
        return self.snapshots is None or snapshot_id in self.snapshots

    def valid(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def add_key(
    db: Database, name: str, days: float | None = None, labels: tuple[str, ...] = (), by: str = COMMAND_LINE
) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be shown again.

    Args:
        db: the store.
        name: not yet taken.
        days: until it expires; None: never.
        labels: of the snapshots that it may use; none: all that are deployed, now or later.
        by: the member of staff, for the audit log.

    Raises:
        UserError: the name is taken or empty, the days are none, or there is no such snapshot.
    """
    if not name.strip():
        raise UserError("the name of the key is empty; say whose it is")
    if days is not None and not 0 < days <= 36_500:
        raise UserError(f"--days is {days:g}; give days from now, above 0")
    secret = f"cc-{secrets.token_urlsafe(32)}"
    with db.write_alone() as session:
        if session.scalar(select(ApiKeyRow).where(ApiKeyRow.name == name)) is not None:
            raise UserError(f"there is a key {name!r} already, or there was; choose another name")
        known = {row.label: row.id for row in session.scalars(select(SnapshotRow).where(SnapshotRow.label.in_(labels)))}
        for label in labels:
            if label not in known:
                raise UserError(f"there is no snapshot {label!r}; see 'concordant deploy list'")
        expires = None if days is None else utc_now() + timedelta(days=days)
        allowed = [known[label] for label in labels] if labels else None
        row = ApiKeyRow(name=name, key_hash=_hash(secret), snapshots=allowed, expires=expires)
        session.add(row)
        session.flush()
        note(session, by, "api key added", row.id, name=name, snapshots=list(labels) or None)
        return _key(row), secret


def keys(db: Database) -> list[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    with db.read() as session:
        return [_key(row) for row in session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created, ApiKeyRow.id))]


def revoke_key(db: Database, name: str, by: str = COMMAND_LINE) -> ApiKey:
    """Take a key back: it opens nothing from now on. Doing so twice changes nothing.

    Raises:
        UserError: there is no such key.
    """
    with db.write_alone() as session:
        row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.name == name))
        if row is None:
            raise UserError(f"there is no key {name!r}; see 'concordant key list'")
        if row.revoked is None:
            row.revoked = utc_now()
            note(session, by, "api key revoked", row.id, name=name)
        return _key(row)


def key_by_secret(db: Database, secret: str) -> ApiKey | None:
    """The key that a secret opens now; None: it opens nothing."""
    now = utc_now()
    with db.read() as session:
        row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.key_hash == _hash(secret)))
        key = None if row is None else _key(row)
    if key is None or not key.valid(now):
        return None
    if key.last_used is None or now - key.last_used > timedelta(seconds=_USED_SECONDS):
        with db.write() as session:
            session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key.id).values(last_used=now))
    return key


def _hash(secret: str) -> str:
    # A secret has 256 random bits, so a plain hash is enough: there is nothing to guess.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _key(row: ApiKeyRow) -> ApiKey:
    allowed = None if row.snapshots is None else tuple(str(id) for id in row.snapshots)
    return ApiKey(row.id, row.name, allowed, row.created, row.expires, row.revoked, row.last_used)
