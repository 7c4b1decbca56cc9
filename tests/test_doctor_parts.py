"""Verdicts, and the doctor's conversations."""

import math

from concordant.evaluate.doctor_parts import CASES, Verdict, within


def test_within_a_limit() -> None:
    assert within("x", 0.5, 0.5, "yes", "no") == Verdict("x", "ok", "yes", 0.5, 0.5)
    assert within("x", 0.6, 0.5, "yes", "no") == Verdict("x", "wrong", "no", 0.6, 0.5)
    assert within("x", 0.6, 0.5, "yes", "no", bad="warning").status == "warning"
    assert within("x", math.nan, 0.5, "yes", "no").status == "wrong"


def test_a_verdict_as_json() -> None:
    verdict = Verdict("x", "ok", "yes", 0.25, 0.5, {"pairs": 8})
    assert verdict.json() == {
        "check": "x",
        "verdict": "ok",
        "measured": 0.25,
        "limit": 0.5,
        "meaning": "yes",
        "pairs": 8,
    }


def test_the_conversations_are_of_many_kinds() -> None:
    """Prompts that await a reply, two replies that differ, no white space around a text; short, long, several turns."""
    texts = [turn.text for case in CASES for turn in case.prompt.turns] + [
        text for case in CASES for text in case.replies
    ]
    assert all(case.prompt.awaits_reply and case.replies[0] != case.replies[1] for case in CASES)
    assert all(text and text == text.strip() for text in texts)
    assert max(len(case.prompt.turns) for case in CASES) == 5
    assert max(map(len, texts)) > 800 and min(map(len, texts)) == 1
    assert any("\n\t" in text for text in texts) and any("🐈‍⬛" in text for text in texts)
