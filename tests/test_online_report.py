"""Who chose, in words. The report of a whole iteration: ``test_online.py``."""

import pytest

from concordant.online_report import by_kind


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({}, "nobody"),
        ({"scripted": 3}, "scripted workers"),
        ({"person": 30, "scripted": 120, "unknown": 1}, "30 by people, 120 by scripted workers, 1 by workers of an"),
    ],
)
def test_who_chose_is_named(kinds: dict[str, int], said: str) -> None:
    assert by_kind({"worker_kinds": kinds}).startswith(said)
