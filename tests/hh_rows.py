"""HH files for tests."""

from collections.abc import Iterable
from pathlib import Path

from concordant.comparison import Preference
from concordant.store.hh_files import hh_pieces


def write_hh(path: Path, preferences: Iterable[Preference]) -> int:
    """Preferences of which no worker kind is known, as an HH file; returns their number."""
    rows = [(preference, None) for preference in preferences]
    path.write_bytes(b"".join(hh_pieces(rows, packed=path.suffix == ".gz")))
    return len(rows)
