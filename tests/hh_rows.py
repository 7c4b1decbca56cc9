"""HH files for tests."""

from collections.abc import Iterable
from pathlib import Path

from concordant.comparison import Preference
from concordant.store.hh_files import write_hh_rows


def write_hh(path: Path, preferences: Iterable[Preference]) -> int:
    """Preferences of which no worker kind is known, as an HH file; returns their number."""
    return write_hh_rows(path, ((preference, None) for preference in preferences))
