import random

from concordant.collect.openings import FOLLOW_UPS, follow_up, opening, openings
from concordant.comparison import Objective
from concordant.conversation import Conversation


def test_there_are_enough_and_all_differ_as_openings() -> None:
    # By their split key, so that no two of them count as the same first turn.
    for objective, least in ((Objective.HELPFUL, 600), (Objective.HARMLESS, 60)):
        texts = openings(objective)
        assert len({Conversation().human(text).split_key for text in texts}) == len(texts) >= least


def test_they_are_short_sentences() -> None:
    for objective in Objective:
        for text in (*openings(objective), *FOLLOW_UPS[objective]):
            assert len(text.split()) < 20
            assert text[0].isupper() and text[-1] in ".?!"
            assert "{" not in text


def test_the_rng_alone_decides() -> None:
    for objective in Objective:
        assert opening(objective, random.Random(5)) == opening(objective, random.Random(5))
        assert follow_up(objective, random.Random(5)) in FOLLOW_UPS[objective]
    assert len({opening(Objective.HELPFUL, random.Random(seed)) for seed in range(50)}) > 40
