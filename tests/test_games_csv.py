from pathlib import Path

import pytest

from concordant.bradley_terry import Game
from concordant.errors import UserError
from concordant.evaluate.games_csv import GamesFile, read_games

HEAD = "model_a,model_b,winner,worker\n"


def games(file: GamesFile, objective: str = "") -> list[Game]:
    """The votes of a board, one by one."""
    votes = file.boards[objective]
    sides = {0: None, 1: True, -1: False}
    return [
        Game(
            votes.models[votes.winner[index]],
            votes.models[votes.loser[index]],
            votes.workers[votes.worker[index]],
            sides[int(votes.side[index])],
            int(votes.strength[index]) or None,
        )
        for index in range(len(votes))
    ]


@pytest.fixture
def write(tmp_path: Path) -> "Write":
    return Write(tmp_path / "games.csv")


class Write:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, text: str) -> Path:
        self.path.write_text(text, encoding="utf-8")
        return self.path


def test_the_four_columns(write: Write) -> None:
    result = read_games(write(HEAD + "old,new,b,ann\nold,new,a,\n"))
    assert games(result) == [Game("new", "old", "ann"), Game("old", "new", None)]
    assert (result.dropped, result.objectives) == ({}, ("",))


def test_optional_columns_in_any_order_and_others_that_are_named_as_ignored(write: Write) -> None:
    text = "when,shown_left,winner,model_b,model_a,strength,worker\n1,b,a,y,x,3,w\n2,x,a,y,x,,w\n3,,a,y,x,2,w\n"
    result = read_games(write(text))
    assert [game.winner_left for game in games(result)] == [False, True, None]
    assert result.ignored_columns == ("when",)


def test_a_model_called_a_does_not_confuse_the_sides(write: Write) -> None:
    # shown_left "a" is the side first: here the model called b
    (game,) = games(read_games(write("model_a,model_b,winner,worker,shown_left\nb,a,a,w,a\n")))
    assert game == Game("b", "a", "w", winner_left=True)


def test_unsure_choices_and_a_model_against_itself_are_dropped_and_counted(write: Write) -> None:
    text = "model_a,model_b,winner,worker,strength\nx,y,a,w,1\nx,y,a,w,1\nx,x,a,w,4\nx,y,b,w,4\n"
    result = read_games(write(text))
    assert result.dropped == {"": {"weakest strength": 2, "same model on both sides": 1}}
    assert games(result) == [Game("y", "x", "w", strength=4)]
    kept = read_games(write.path, keep_weakest=True)
    assert [game.strength for game in games(kept)] == [1, 1, 4]


def test_a_spreadsheets_byte_order_mark_and_line_ends_are_no_matter(write: Write) -> None:
    write.path.write_bytes(("\ufeff" + HEAD + "x,y,a,w\n").replace("\n", "\r\n").encode())
    assert games(read_games(write.path)) == [Game("x", "y", "w")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "x,y,a,w\nx,y,tie,w\n", "line 3: winner is 'tie'; it must be a or b"),
        (HEAD + "x,y,,w\n", "line 2: winner is ''"),
        (HEAD + "x,,a,w\n", "line 2: model_b is empty"),
        (HEAD + "x,y,a\n", "line 2: the row does not have 4 fields"),
        (HEAD + "x,y,a,w,z\n", "line 2: the row does not have 4 fields"),
        (HEAD.strip() + ",strength\nx,y,a,w,5\n", "line 2: strength is '5'; it must be 1"),
        (HEAD.strip() + ",shown_left\nx,y,a,w,right\n", "line 2: shown_left is 'right'"),
        (HEAD.strip() + ",objective\nx,y,a,w,kind\n", "line 2: objective is 'kind'; it must be helpful, harmless"),
        ("model_a,winner,worker\n", "has no column model_b"),
        ("", "its columns: none"),
        (HEAD.strip() + ",winner\n", "has the column 'winner' twice"),
        (HEAD + '"x,y,a,w\n', "is not CSV text"),
    ],
)
def test_a_bad_label_is_an_error_with_its_row(write: Write, text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"games\.csv") as caught:
        read_games(write(text))
    assert message in str(caught.value)


def test_objectives_make_boards_of_their_own_helpful_first(write: Write) -> None:
    text = HEAD.strip() + ",objective\nx,y,a,w,harmless\nz,y,b,v,helpful\nx,x,a,w,harmless\nx,y,b,w,harmless\n"
    file = read_games(write(text))
    assert file.objectives == ("helpful", "harmless")
    assert games(file, "helpful") == [Game("y", "z", "v")]
    assert games(file, "harmless") == [Game("x", "y", "w"), Game("y", "x", "w")]
    assert file.board("harmless")[1] == {"same model on both sides": 1}
    assert file.board("") == ((), {})
    assert read_games(write(HEAD)).objectives == ("",)


def test_conversations_are_each_workers_own(write: Write) -> None:
    text = HEAD.strip() + ",conversation\nx,y,a,w,1\nx,y,a,v,1\nx,y,b,w,2\nx,y,b,w,\nx,y,b,w,1\n"
    votes = read_games(write(text)).boards[""]
    assert (votes.workers, votes.conversations) == (("v", "w"), 4)
    assert votes.conversation is not None
    # v's 1, then w's unnamed one, 1 and 2
    assert votes.conversation.tolist() == [2, 0, 3, 1, 2]
    assert read_games(write(HEAD.strip() + ",conversation\nx,y,a,w,\n")).boards[""].conversation is None


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_games(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="is a folder"):
        read_games(tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="is not CSV text"):
        read_games(tmp_path / "binary.csv")
