import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.second_looks import Looker, give_opinion, held_look, take_look
from concordant.store.sittings import Offer, open_sitting
from readings import Story, rule, tell
from stories import base_model, person


def test_agreement_of_the_store_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")
    words = ["evaluate", "agreement", "--dir", str(programme.path)]
    assert main(words) == 2
    assert "no comparison has a second opinion; set second_opinions under [review]" in capsys.readouterr().err
    database = Database.open(programme.store_url)
    bob = person(database, "Bob")
    tell(database, person(database, "Ann"), base_model(database), Story(seconds=(5.0,) * 4, buttons=(1, 1, 8, 8)))
    looker = Looker(bob.id, False, open_sitting(database, bob.id, Offer(5)).id)
    for _ in range(4):  # always reply 0: alike in the first two
        take_look(database, looker, rule(second_opinions=1.0))
        look = held_look(database, looker)
        assert look is not None
        give_opinion(database, looker, look.comparison_id, 1 if look.a == "reply 0" else 8)
    database.close()
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "4 comparisons with two answers, of 2 workers; 95 % intervals by drawing comparisons" in text
    assert "first choice of strength 4 of 4" in text and "about 63 %" in text
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agreement"]["value"] == 0.5 and found["n"] == 4
    assert found["alpha"]["nominal"]["value"] == pytest.approx(1 - 7 * 4 / (2 * 6 * 2)), "six answers 0, two 1"
    assert found["by_strength"]["4"]["n"] == 4 and found["by_objective"]["helpful"]["value"] == 0.5
