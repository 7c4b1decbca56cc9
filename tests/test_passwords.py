"""Which passwords are taken, and how one is checked."""

import time

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from concordant.errors import UserError
from concordant.store import passwords
from concordant.store.passwords import check_password, fold_login, hash_password, require_good

WEAK = "a weak one, made long ago"


@pytest.mark.parametrize("password", ["twelve chars", "        a   b   ", "ünïcödé ünïcödé", "x" * 1000])
def test_length_is_all_that_is_asked_for(password: str) -> None:
    require_good(password, "ann")


@pytest.mark.parametrize(
    ("password", "said"),
    [("eleven char", "at least 12"), ("", "at least 12"), ("x" * 1001, "at most 1000"), ("ANN@Example.org", "login")],
)
def test_what_is_not_taken(password: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        require_good(password, "ann@example.org")


def test_a_password_is_hashed_with_argon2id_and_a_salt() -> None:
    first, second = hash_password("four words in a row"), hash_password("four words in a row")
    assert first.startswith("$argon2id$") and first != second and "four" not in first
    memory, rounds = (int(part.split("=")[1]) for part in first.split("$")[3].split(",")[:2])
    assert memory >= 19_456 and rounds >= 2, "the least that OWASP names for argon2id"


@pytest.mark.usefixtures("quick_hashes")
def test_only_the_password_itself_is_right() -> None:
    stored = hash_password("four words in a row")
    assert check_password("four words in a row", stored) == (True, None)
    for other in ("four words in a ro", "four words in a row ", "Four words in a row", "", "\ud800" * 12):
        assert check_password(other, stored) == (False, None)


@pytest.mark.usefixtures("quick_hashes")
def test_the_same_letters_from_another_keyboard_are_the_same() -> None:
    assert check_password("caf\u00e9 caf\u00e9 caf\u00e9", hash_password("cafe\u0301 cafe\u0301 cafe\u0301")) == (
        True,
        None,
    )
    assert fold_login("  ＡＮＮ@Straße ") == "ann@strasse"


def test_an_outdated_hash_is_made_anew() -> None:
    old = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)).hash(WEAK)
    right, renewed = check_password(WEAK, old)
    assert right and renewed is not None and renewed != old
    assert check_password(WEAK, renewed) == (True, None)
    assert check_password("another one", old) == (False, None), "a wrong guess renews nothing"


def test_no_such_login_takes_as_long_as_a_wrong_password() -> None:
    """Within a factor of three, the better of three each: without the work it would be a factor of thousands."""

    def seconds(stored: str | None) -> float:
        found = []
        for _ in range(3):
            start = time.perf_counter()
            assert check_password("a wrong password", stored) == (False, None)
            found.append(time.perf_counter() - start)
        return min(found)

    passwords._nobodys()
    known, unknown = seconds(hash_password("four words in a row")), seconds(None)
    assert known / 3 < unknown < known * 3
