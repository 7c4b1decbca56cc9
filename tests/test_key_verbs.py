"""``concordant key …`` as typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.api_keys import key_by_secret
from concordant.store.database import Database


def said(capsys: pytest.CaptureFixture[str], folder: Path, *words: object) -> dict[str, Any]:
    assert main(["key", *map(str, words), "--dir", str(folder), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_key_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p", "")
    added = said(capsys, programme.path, "add", "notebook", "--days", "3")
    assert added["key"].startswith("cc-") and added["valid"] and added["expires"]
    database = Database.open(programme.store_url)
    assert key_by_secret(database, added["key"]) is not None
    listed = said(capsys, programme.path, "list")["keys"]
    assert [one["name"] for one in listed] == ["notebook"] and "key" not in listed[0] and listed[0]["last_used"]
    assert said(capsys, programme.path, "revoke", "notebook")["valid"] is False
    assert key_by_secret(database, added["key"]) is None
    database.close()
    for words, message in ((["add", "notebook"], "already"), (["revoke", "x"], "no key 'x'")):
        assert main(["key", *words, "--dir", str(programme.path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["key", "list", "--dir", str(programme.path)]) == 0
    assert capsys.readouterr().out.startswith("notebook: revoked, last used ")
