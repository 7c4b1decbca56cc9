from pathlib import Path

from concordant.collect.static_files import StaticFiles


def test_the_address_changes_with_the_content(tmp_path: Path) -> None:
    (tmp_path / "room.css").write_text("one")
    first = StaticFiles(tmp_path).address("room.css")
    (tmp_path / "room.css").write_text("two")
    files = StaticFiles(tmp_path)
    second = files.address("room.css")
    assert first != second and first.endswith("/room.css")
    found = files.at(second)
    assert found is not None and found.content == b"two" and found.media_type == "text/css; charset=utf-8"
    assert files.at(first) is None


def test_the_room_has_one_stylesheet_and_one_script_that_load_nothing_from_elsewhere() -> None:
    files = StaticFiles()
    for name in ("room.css", "worker.js", "icon.svg"):
        found = files.at(files.address(name))
        assert found is not None
        text = found.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "@import" not in text
