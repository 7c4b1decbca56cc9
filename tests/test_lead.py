from concordant.bradley_terry import Game
from concordant.evaluate.elo import Settings, board


def judged(*counts: tuple[str, str, int, str]) -> list[Game]:
    """``(winner, loser, how often, worker)``."""
    return [Game(winner, loser, worker) for winner, loser, number, worker in counts for _ in range(number)]


def test_two_models_are_turned_round_by_the_wins_that_lack() -> None:
    # 30 to 20: ten more wins of b make them level, and level counts as turned; ten of a's wins missing do the same
    lead = board(judged(("a", "b", 30, "v"), ("b", "a", 20, "w"))).lead
    assert (lead.leader, lead.runner_up) == ("a", "b")
    assert (lead.votes_to_add, lead.votes_to_drop) == (10, 10)


def test_one_worker_can_carry_a_lead() -> None:
    fair = [(one, other, 5, f"w{i}") for i in range(6) for one, other in (("a", "b"), ("b", "a"))]
    lead = board(judged(*fair, ("a", "b", 8, "fan"))).lead
    assert lead.workers_to_drop == 1
    apart = [(one, other, n, f"w{i}") for i in range(6) for one, other, n in (("a", "b", 9), ("b", "a", 3))]
    assert board(judged(*apart)).lead.workers_to_drop is None


def test_workers_that_are_not_all_known_cannot_be_dropped() -> None:
    games = judged(("a", "b", 30, "v"), ("b", "a", 20, "w"))
    assert board([*games, Game("a", "b")]).lead.workers_to_drop is None


def test_leaders_that_never_met() -> None:
    # both 3 : 1 and 2 : 1 over c
    games = judged(("a", "c", 30, "v"), ("c", "a", 10, "v"), ("b", "c", 20, "v"), ("c", "b", 10, "v"))
    lead = board(games).lead
    assert (lead.leader, lead.runner_up) == ("a", "b")
    assert 1 <= lead.votes_to_add <= 10
    assert lead.votes_to_drop is not None and lead.votes_to_drop <= 10


def test_level_models_are_turned_by_one_vote() -> None:
    lead = board(judged(("a", "b", 10, "v"), ("b", "a", 10, "w"))).lead
    assert (lead.leader, lead.votes_to_add, lead.votes_to_drop) == ("a", 1, 1)


def test_with_sides_and_strengths_it_is_asked_the_same_way() -> None:
    made = []
    for side in (True, False):
        for strength in (2, 4):
            made += [Game("a", "b", "v", side, strength)] * 20 + [Game("b", "a", "w", side, strength)] * 15
    for ordinal in (False, True):
        lead = board(made, settings=Settings(ordinal=ordinal)).lead
        assert 15 <= lead.votes_to_add <= 25
        assert lead.votes_to_drop is not None and 8 <= lead.votes_to_drop <= 20
