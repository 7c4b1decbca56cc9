"""The store of a programme, open while a command works on it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concordant.programme import Programme
    from concordant.store.database import Database


@contextmanager
def opened(args: argparse.Namespace) -> "Iterator[tuple[Programme, Database]]":
    """The programme in ``--dir`` and its store.

    Raises:
        UserError: the folder holds no programme, or its store cannot be opened.
    """
    from concordant.programme import Programme

    programme = Programme.open(args.dir)
    with store_of(programme) as database:
        yield programme, database


@contextmanager
def store_of(programme: "Programme") -> "Iterator[Database]":
    """Its store."""
    from concordant.store.database import Database

    database = Database.open(programme.store_url)
    try:
        yield database
    finally:
        database.close()
