"""A programme's folder: made once, opened as it is, never made over something else."""

from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.programme import Programme


def test_init_makes_the_folder_and_a_second_one_leaves_it_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lab"
    made = Programme.init(path, "seed = 7\n")
    assert made.config.seed == 7
    assert sorted(item.name for item in path.iterdir()) == ["concordant.toml", "datasets", "runs"]
    assert (made.datasets, made.runs) == (path / "datasets", path / "runs")
    assert Programme.init(path).config.seed == 7


def test_the_settings_written_by_default_are_all_comments(tmp_path: Path) -> None:
    assert Programme.init(tmp_path / "lab").config == type(Programme.open(tmp_path / "lab").config)()


def test_init_refuses_a_folder_that_holds_something_else_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UserError, match=r"no programme \(it has no concordant\.toml\); choose another folder"):
            Programme.init(path)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


def test_open_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"make one with 'concordant init {tmp_path}'"):
        Programme.open(tmp_path)


def test_overrides_reach_the_config(tmp_path: Path) -> None:
    Programme.init(tmp_path / "lab", "seed = 7\n")
    assert Programme.open(tmp_path / "lab", ["seed=8"]).config.seed == 8


@pytest.mark.parametrize(
    ("store", "url"),
    [
        ("sqlite:///store.sqlite", "sqlite:///{lab}/store.sqlite"),
        ("sqlite:////var/lib/lab.sqlite", "sqlite:////var/lib/lab.sqlite"),
        ("postgresql+psycopg://me@db/lab", "postgresql+psycopg://me@db/lab"),
    ],
)
def test_a_relative_sqlite_path_is_taken_from_the_folder(tmp_path: Path, store: str, url: str) -> None:
    programme = Programme.init(tmp_path / "lab", f'store = "{store}"\n')
    assert programme.store_url == url.format(lab=(tmp_path / "lab").resolve())


def test_paths_of_a_programme_hold_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are recorded in the store, and a second start may come from another folder."""
    Programme.init(tmp_path / "lab")
    monkeypatch.chdir(tmp_path / "lab")
    assert Programme.open(Path(".")).datasets == tmp_path / "lab" / "datasets"


def test_the_same_errand_goes_on_and_another_takes_its_place(tmp_path: Path) -> None:
    programme = Programme.init(tmp_path / "lab")
    errand = programme.errand("simulate", {"conversations": 100})
    assert errand.goal() is None
    errand.keep(37)
    assert programme.errand("simulate", {"conversations": 100}).goal() == 37
    other = programme.errand("simulate", {"conversations": 5})
    assert other.goal() is None and programme.errand("iterate", {"conversations": 100}).goal() is None
    other.keep(2)
    assert errand.goal() is None
    other.end()
    assert other.goal() is None
