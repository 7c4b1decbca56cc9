"""Run folders: whole files or none, no step twice, and another run is never overwritten."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.runs import Run, read_jsonl, recover_folder, replace_folder, write_whole

CONFIG = {"learning_rate": 2e-5, "batch": {"size": 16}}
PARENTS = {"data": "sha256:1"}


def begin(path: Path) -> Run:
    return Run.begin(path, "pm", CONFIG, PARENTS)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    write_whole(tmp_path / "f", "old")
    monkeypatch.setattr(os, failing, full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_write_whole_makes_folders_and_takes_text_and_bytes(tmp_path: Path) -> None:
    write_whole(tmp_path / "a/b/text", "é")
    write_whole(tmp_path / "a/b/text", b"\x00\xff")
    assert (tmp_path / "a/b/text").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a/b/text").stat().st_mode & 0o777 == 0o644


def test_begin_writes_what_was_asked_and_goes_on_with_the_same(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    assert run.head == {"kind": "pm", "config": CONFIG, "parents": PARENTS}
    run.log({"step": 1})
    again = begin(tmp_path / "run")
    assert again == run == Run.open(tmp_path / "run")
    assert again.metrics() == [{"step": 1}] and again.name == "run"


def test_begin_refuses_another_config_and_names_what_differs(tmp_path: Path) -> None:
    begin(tmp_path / "run").log({"step": 1})
    with pytest.raises(UserError, match=r"config\.batch\.size was 16, now 8; config\.seed was None, now 1"):
        Run.begin(tmp_path / "run", "pm", {"learning_rate": 2e-5, "batch": {"size": 8}, "seed": 1}, PARENTS)
    with pytest.raises(UserError, match=r"parents\.data was 'sha256:1', now 'sha256:2'"):
        Run.begin(tmp_path / "run", "pm", CONFIG, {"data": "sha256:2"})
    with pytest.raises(UserError, match=r"kind was 'pm', now 'policy'"):
        Run.begin(tmp_path / "run", "policy", CONFIG, PARENTS)
    assert begin(tmp_path / "run").head["config"] == CONFIG


def test_a_run_that_made_nothing_is_begun_anew_with_what_is_asked_now(tmp_path: Path) -> None:
    """A setting that the stage refused must not bind the folder to itself."""
    begin(tmp_path / "run")
    mended = Run.begin(tmp_path / "run", "pm", {"frozen_layers": 2}, PARENTS)
    assert mended.head["config"] == {"frozen_layers": 2}


def test_a_run_is_one_process_at_a_time(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    hold = "import sys; from pathlib import Path; from concordant.runs import Run\n"
    hold += "with Run(Path(sys.argv[1])).alone(): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="run is being worked on by another process"), run.alone():
            pass
        with pytest.raises(UserError, match="is being worked on"):
            Run.begin(run.path, "policy", CONFIG, PARENTS)
        other.kill()
    with run.alone():  # a killed process holds nothing
        assert begin(tmp_path / "run").head["kind"] == "pm"


def test_what_a_killed_save_left_is_swept_up(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    (run.path / ".model.new.x1").mkdir()
    (run.path / ".model.new.x1/half").touch()
    with run.alone():
        assert not list(run.path.glob(".model*"))


def test_begin_refuses_a_place_that_is_taken_but_not_what_a_killed_start_left(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/todo").touch()
    for taken in ("notes", "notes/todo"):
        with pytest.raises(UserError, match="is not empty and is no run's folder"):
            begin(tmp_path / taken)
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed/.config.json.x1").touch()
    assert begin(tmp_path / "killed").head["kind"] == "pm"


def test_open_refuses_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("absent", "file"):
        with pytest.raises(UserError, match=r"config\.json does not exist; is .* a run's folder\?"):
            Run.open(tmp_path / path)
    for content, what in ((b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[]", "holds list, not an object")):
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(UserError, match=what):
            Run.open(tmp_path)


def test_a_run_is_finished_when_its_result_stands(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    run.checkpoint.mkdir()
    assert not run.finished
    run.finish({"accuracy": 0.65})
    assert run.finished and run.result == {"accuracy": 0.65}
    assert not run.checkpoint.exists()


def test_a_row_without_step_is_a_defect_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 'step'"):
        begin(tmp_path / "run").log({"loss": 1.0})


def test_a_last_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"step": 1}\n{"step": 2}\n{"step": 3')
    assert list(read_jsonl(tmp_path / "rows")) == [{"step": 1}, {"step": 2}]
    assert list(read_jsonl(tmp_path / "absent")) == []


def test_rewinding_drops_later_steps_and_a_cut_line_from_both_logs(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    for step in range(1, 5):
        run.log({"step": step, "loss": 1 / step})
        run.replace_samples(step, [{"text": "…"}])
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    run.rewind(2)
    run.log({"step": 3, "loss": 0.3})
    assert run.metrics() == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.3}]
    assert [row["step"] for row in run.samples()] == [1, 2]


def test_samples_of_a_step_are_replaced_by_those_logged_again(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    run.replace_samples(0, [{"text": "before"}])
    run.replace_samples(1, [{"text": "a"}, {"text": "b"}])
    run.replace_samples(0, [{"text": "again"}])
    run.replace_samples(1, [{"text": "of the update"}], kind="update")
    run.replace_samples(1, [{"text": "c"}])
    assert sorted((row["step"], row["text"]) for row in run.samples("trial")) == [(0, "again"), (1, "c")]
    assert [row["text"] for row in run.samples("update")] == ["of the update"]
    assert len(run.samples()) == 3


def test_a_model_is_saved_whole_readable_by_all_and_never_half(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")

    def save(folder: Path) -> None:
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer/vocab").write_text("v")

    def fail(folder: Path) -> None:
        (folder / "tokenizer").mkdir()
        full_disk()

    run.save_model(save)
    with pytest.raises(OSError, match="No space left"):
        run.save_model(fail)
    assert (run.model / "tokenizer/vocab").read_text() == "v"
    assert run.model.stat().st_mode & 0o777 == 0o755
    assert sorted(item.name for item in run.path.iterdir()) == [".lock", "config.json", "model"]


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "weights").write_text(content)
    return path


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    final = tmp_path / "checkpoint"
    for content in ("first", "second"):
        replace_folder(folder(tmp_path / "new", content), final)
        assert (final / "weights").read_text() == content
        assert os.listdir(tmp_path) == ["checkpoint"]


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final, new = folder(tmp_path / "checkpoint", "old"), folder(tmp_path / "new", "new")
    rename = os.rename

    def die_at_the_second(source: Path, target: Path) -> None:
        if source == new:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(new, final)
    assert not final.exists()
    monkeypatch.undo()
    recover_folder(final)
    assert (final / "weights").read_text() == "old"


def test_recovery_leaves_a_finished_replacement_alone(tmp_path: Path) -> None:
    final = folder(tmp_path / "checkpoint", "new")
    folder(tmp_path / ".checkpoint.old", "old")
    recover_folder(final)
    assert (final / "weights").read_text() == "new"


def test_kept_models_stand_beside_the_finished_one(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    assert run.kept_steps() == []
    for step in (10, 2):
        run.keep_model(step, lambda folder: write_whole(folder / "weights", "w"))
    assert run.kept_steps() == [2, 10]
    assert (run.kept / "10/weights").read_text() == "w"

    def fails(folder: Path) -> None:
        write_whole(folder / "weights", "half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run.keep_model(3, fails)
    with pytest.raises(OSError, match="No space"):
        run.keep_model(2, fails)
    run.drop_kept(10)
    assert [path.name for path in run.kept.iterdir()] == ["2"]
    assert (run.kept / "2/weights").read_text() == "w"
    (run.kept / ".4.new.x").mkdir()  # saves that were killed
    (run.path / ".samples.jsonl.x").write_text("half")
    with run.alone():
        assert not (run.path / ".samples.jsonl.x").exists()
        assert [path.name for path in run.kept.iterdir()] == ["2"]
