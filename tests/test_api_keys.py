"""API keys: only hashes are kept, an end is an end, and every change is in the audit log."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from concordant.errors import UserError
from concordant.store.api_keys import add_key, key_by_secret, keys, revoke_key
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.deployment_tables import ApiKeyRow
from stories import base_model, policy_model


def test_a_key_opens_until_it_is_revoked(database: Database) -> None:
    key, secret = add_key(database, "lab notebook", by="researcher-1")
    assert key_by_secret(database, "cc-guess") is None and key_by_secret(database, "") is None
    found = key_by_secret(database, secret)
    assert found is not None and found.id == key.id and found.allows("anything")
    with database.read() as session:
        row = session.scalars(select(ApiKeyRow)).one()
        assert secret not in repr(vars(row)) and len(row.key_hash) == 64
    (listed,) = keys(database)
    assert listed.last_used is not None and listed.name == "lab notebook"
    again = key_by_secret(database, secret)
    assert again is not None and again.last_used == listed.last_used, "not written at every use"
    for _ in range(2):
        assert revoke_key(database, "lab notebook").revoked is not None
    assert key_by_secret(database, secret) is None
    assert [(act.act, act.staff_id) for act in acts(database, 5)] == [
        ("api key revoked", "command line"),
        ("api key added", "researcher-1"),
    ]


def test_a_key_may_end_and_may_be_for_some_snapshots_only(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    key, secret = add_key(database, "short", days=1.0, labels=("base",))
    assert key.allows(base.id) and not key.allows(policy.id)
    assert key.valid(datetime.now(UTC)) and not key.valid(datetime.now(UTC) + timedelta(days=1, seconds=1))
    with database.write() as session:
        session.get_one(ApiKeyRow, key.id).expires = datetime.now(UTC) - timedelta(seconds=1)
    assert key_by_secret(database, secret) is None


def test_what_is_wrong_is_one_line(database: Database) -> None:
    add_key(database, "taken")
    revoke_key(database, "taken")
    for arguments, message in (
        (("taken",), "'taken' already, or there was"),
        ((" ",), "is empty"),
        (("x", 0.0), "--days is 0"),
        (("x", None, ("gone",)), "no snapshot 'gone'"),
    ):
        with pytest.raises(UserError, match=message):
            add_key(database, *arguments)
    with pytest.raises(UserError, match="no key 'other'"):
        revoke_key(database, "other")
    assert len(keys(database)) == 1
