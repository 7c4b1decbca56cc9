from pathlib import Path

from concordant.evaluate.answers import Answers, key_of


def test_answers_come_back(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "answers.jsonl"
    answers = Answers(path)
    assert "a" not in answers
    answers.add([("a", [1.5, 2, True]), ("b", "said")])
    again = Answers(path)
    assert (again["a"], again["b"]) == ([1.5, 2, True], "said")


def test_a_line_that_a_crash_cut_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Answers(path).add([("a", 1), ("b", 2)])
    path.write_text(path.read_text()[:-5])
    answers = Answers(path)
    assert "b" not in answers
    answers.add([("b", 3), ("a", 9)])  # what is known stays
    assert [Answers(path)[key] for key in "ab"] == [1, 3]


def test_keys_tell_everything_apart() -> None:
    assert key_of("options", "a", ("b", "c")) == key_of("options", "a", ["b", "c"])
    assert len({key_of("a", "b"), key_of("ab"), key_of("b", "a"), key_of("a", ["b"]), key_of("\ud800")}) == 5
