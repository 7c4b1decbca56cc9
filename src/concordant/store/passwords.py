"""Passwords of staff: which are taken, how they are kept (argon2id, by pwdlib), and how one is checked.

Length is the only strength that is asked for, because rules of composition make passwords shorter and reused. Checking
takes as long for a login that does not exist as for one that does.
"""

import threading
import unicodedata
from functools import cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from concordant.errors import UserError

SHORTEST, LONGEST = 12, 1000
"""Characters in a password."""

_hasher = PasswordHash((Argon2Hasher(),))
_AT_ONCE = threading.BoundedSemaphore(4)
"""Each hash takes 64 MiB for its time, so that many sign-ins at once wait for each other instead."""


def fold_login(text: str) -> str:
    """A login as it is kept and compared: case and the forms of a letter do not count."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def require_good(password: str, login: str) -> None:
    """Whether a password may be chosen.

    Raises:
        UserError: it is too short, too long, or the login itself.
    """
    length = len(_same_form(password))
    if length < SHORTEST:
        raise UserError(f"a password needs at least {SHORTEST} characters; a few words that you remember will do")
    if length > LONGEST:
        raise UserError(f"a password has at most {LONGEST} characters")
    if fold_login(password) == fold_login(login):
        raise UserError("the password is your login; choose another one")


def hash_password(password: str) -> str:
    """What is stored. Takes a tenth of a second and more, so never inside a transaction."""
    with _AT_ONCE:
        return _hasher.hash(_same_form(password))


def check_password(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether a password is the stored one, and its new hash where the old one has outdated parameters.

    ``stored`` None: there is no such login, or it has no password; it is found wrong, after the same work.
    """
    with _AT_ONCE:
        nobodys = _nobodys()  # made at the first check, whoever it is of
        right, renewed = _hasher.verify_and_update(_same_form(password)[: LONGEST + 1], stored or nobodys)
    return (False, None) if stored is None else (right, renewed)


@cache
def _nobodys() -> str:
    return _hasher.hash("of a login that does not exist")


def _same_form(password: str) -> str:
    """Keyboards write the same letter in different ways; lone halves of surrogate pairs cannot be hashed."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()
