import json
import os
from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.evaluate.report_sources import programme_sources, read_sources
from concordant.runs import Run


def run(path: Path, kind: str = "pm", finished: bool = True, when: float | None = None) -> Path:
    made = Run.begin(path, kind, {}, {})
    if finished:
        made.finish({})
        if when is not None:
            os.utime(path / "result.json", (when, when))
    return path


def written(path: Path, when: float | None = None, **content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    if when is not None:
        os.utime(path, (when, when))
    return path.parent


def scan(path: Path, when: float = 0.0) -> Path:
    written(path / "scan.json", key="comparisons")
    return written(path / "table.json", when, rows=[1])


def test_folders_are_told_apart_by_what_lies_in_them(tmp_path: Path) -> None:
    folders = [
        run(tmp_path / "policy", "policy", finished=False),
        run(tmp_path / "pm-2"),
        run(tmp_path / "pm-1"),
        run(tmp_path / "best", "best-of"),
        scan(tmp_path / "curve"),
        written(tmp_path / "strange" / "ood.json", n=1),
        written(tmp_path / "tense" / "tension.json", n=2),
    ]
    sources = read_sources(folders)
    assert [one.name for one in sources.runs] == ["policy", "pm-2", "pm-1", "best"]
    assert [one.name for one in sources.of_kind("pm")] == ["pm-2", "pm-1"]
    assert sources.scans == [{"rows": [1]}]
    assert sources.measured == {"ood": {"n": 1}, "tension": {"n": 2}}


def test_what_a_report_cannot_show_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="prompts is no run, scan or measurement"):
        read_sources([run(tmp_path / "prompts", "prompts")])
    with pytest.raises(UserError, match="two is the second measurement of ood"):
        read_sources([written(tmp_path / name / "ood.json", n=1) for name in ("one", "two")])
    with pytest.raises(UserError, match="begun is a scan with no finished model yet"):
        read_sources([written(tmp_path / "begun" / "scan.json", key="comparisons")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"config\.json does not exist"):
        read_sources([tmp_path / "empty"])


def test_a_programme_gives_all_it_has_newest_first_and_leaves_the_unfinished(tmp_path: Path) -> None:
    run(tmp_path / "pm-1", when=100.0)
    run(tmp_path / "pm-2", when=300.0)
    run(tmp_path / "pm-3", finished=False)
    run(tmp_path / "policy-1", "policy", when=200.0)
    measured = run(tmp_path / "pm-0", when=50.0)
    (measured / "evaluation.json").write_text("{}")
    run(tmp_path / "prompts-1", "prompts")
    scan(tmp_path / "curve", 150.0)
    written(tmp_path / "curve-begun" / "scan.json", key="comparisons")
    written(tmp_path / "ood-old" / "ood.json", 10.0, n="old")
    written(tmp_path / "ood-new" / "ood.json", 20.0, n="new")
    (tmp_path / "notes").mkdir()
    (tmp_path / "a-file").write_text("x")
    sources = programme_sources(tmp_path)
    assert [one.name for one in sources.runs] == ["pm-0", "pm-2", "policy-1", "pm-1"], "a measured one first"
    assert len(sources.scans) == 1
    assert sources.measured == {"ood": {"n": "new"}}
