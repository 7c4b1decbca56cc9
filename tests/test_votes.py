import numpy as np

from concordant.bradley_terry import Game
from concordant.evaluate.votes import count, votes_from_games

GAMES = [
    Game("b", "a", "w2", True, 4, "t1"),
    Game("a", "b", "w1", True, 2, "t1"),
    Game("c", "b", None, False, 1),
    Game("b", "a", "w2", None, None, "t2"),
]


def test_columns_follow_names_and_not_the_order_of_games() -> None:
    votes, turned = votes_from_games(GAMES), votes_from_games(GAMES[::-1])
    assert votes is not None and turned is not None
    assert votes.models == turned.models == ("a", "b", "c")
    assert votes.workers == turned.workers == ("w1", "w2", None)
    assert (votes.named_workers, votes.conversations, len(votes)) == (2, 4, 4)
    assert votes.winner.tolist() == [1, 0, 2, 1] == turned.winner.tolist()[::-1]
    assert votes.worker.tolist() == [1, 0, 2, 1]
    assert votes.conversation is not None
    assert votes.conversation.tolist() == [1, 0, 3, 2]
    assert votes_from_games([]) is None


def test_the_weakest_are_left_out_with_models_and_workers_that_only_they_name() -> None:
    votes = votes_from_games(GAMES)
    assert votes is not None
    clear = votes.without_weakest()
    assert (clear.models, clear.workers, len(clear)) == (("a", "b"), ("w1", "w2"), 3)
    assert clear.without_weakest() is clear


def test_votes_are_counted_by_side_outcome_and_pair() -> None:
    votes = votes_from_games(GAMES)
    assert votes is not None
    counted = count(votes)
    assert counted.cells.sides.tolist() == [-1, 0, 1]
    # a–b: b won on the left (a stood on the right), a won on the left, b won, sides unknown; c beat b on the right
    assert counted.votes[:, :, 0].tolist() == [[0, 1], [0, 1], [1, 0]]
    assert counted.votes[:, :, 1].tolist() == [[0, 0], [0, 0], [0, 1]]
    assert np.array_equal(np.bincount(counted.cell, minlength=12), counted.votes.ravel())


def test_strength_is_told_apart_where_it_is_asked_for() -> None:
    votes = votes_from_games(GAMES)
    assert votes is not None
    counted = count(votes, ordinal=True)
    assert counted.cells.levels == (1, 2, 4)
    by_category = counted.votes.sum(axis=(0, 2)).tolist()
    # lost without a strength; 1 lost (c over b); 2 won; 4 lost
    assert by_category == [0, 1, 0, 1, 1, 0, 0, 1]
