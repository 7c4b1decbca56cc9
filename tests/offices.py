"""A member of staff without a browser, for tests of the researcher's pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.room import Room
from concordant.collect.served_page import read_page
from concordant.programme_config import PayConfig
from visitors import sign_in_staff

PAY = PayConfig(currency="EUR", amount=Decimal("1.00"), red_team_extra=Decimal("0.40"), floor=Decimal(25))


def paying(room: Room) -> Room:
    """The room with rates: 1.00 EUR a task, 0.40 more for red-team work, at least 25.00 an active hour."""
    return replace(room, pay=PAY)


@contextmanager
def office(room: Room) -> Iterator[TestClient]:
    """A client with the researcher's cookie."""
    with TestClient(create_app(room)) as client:
        sign_in_staff(client, room.db)
        yield client


def send(client: TestClient, page: str, action: str, **fields: Any) -> Any:
    """Send a form of a page as it is now."""
    form = read_page(client.get(page).text).form(action)
    assert form is not None, f"{page} offers no {action}"
    return client.post(action, data={**form.hidden, **fields})
