"""The stylesheet, the script and the icon, read once and served under the hash of their content.

The address changes with the content, so browsers may keep a file for ever and never show an old one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOLDER = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file: its address, its content, and its media type."""

    address: str
    content: bytes
    media_type: str


class StaticFiles:
    """Every file of the static folder, by name and by address."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._by_name: dict[str, StaticFile] = {}
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            address = f"/static/{digest}/{path.name}"
            self._by_name[path.name] = StaticFile(address, content, _TYPES[path.suffix])
        self._by_address = {file.address: file for file in self._by_name.values()}

    def address(self, name: str) -> str:
        """Where a page finds the file."""
        return self._by_name[name].address

    def at(self, address: str) -> StaticFile | None:
        """The file at an address."""
        return self._by_address.get(address)
