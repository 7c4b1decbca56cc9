"""The words of the pages: one file, every key used, another language over it."""

import re
from pathlib import Path

import pytest

from concordant.collect.messages import english, messages
from concordant.comparison import Objective
from concordant.errors import UserError

COLLECT = Path(__file__).parents[1] / "src/concordant/collect"
SAID = re.compile(r"""say(\.\w+)?\(\s*f?["']([\w.{}]+)["']""")
SAID_OF = re.compile(r"""say\.of\([\w.]+, ["'](\w+)["']""")


REFUSED = re.compile(r"""(?:Refusal|super\(\).__init__)\(\s*f?["']([a-z_]+\.[\w.{}]+)["']""")


def patterns() -> set[str]:
    """What the code asks for, as patterns: a value that is filled in may be any word."""
    found = set()
    for path in (*COLLECT.glob("*.py"), *COLLECT.glob("templates/*.html"), *COLLECT.glob("../store/*.py")):
        text = path.read_text()
        for how, key in (*SAID.findall(text), *(("", key) for key in REFUSED.findall(text))):
            pattern = re.escape(re.sub(r"\{[^}]*\}", "§", key)).replace("§", r"[a-z_]+")
            found.add(pattern + {".many": r"\.(one|many)", ".rows": r"\.\d+"}.get(how, ""))
        found |= {rf"(helpful|harmless)\.{key}" for key in SAID_OF.findall(text)}
        found |= {re.escape(key) for key in re.findall(r"""["']((?:talk|notice)\.(?!html)\w+)["']""", text)}
    return found


def test_every_key_is_said_somewhere_and_none_is_missing() -> None:
    asked = patterns()
    assert [key for key in sorted(english().keys) if not any(re.fullmatch(one, key) for one in asked)] == []
    assert [one for one in sorted(asked) if not any(re.fullmatch(one, key) for key in english().keys)] == []


def test_what_is_said_in_both_kinds_of_work_is_said_in_both() -> None:
    for key in ("title", "again", "opening", "question", "hint", "rating", "thanks"):
        assert all(english().of(objective, key) for objective in Objective)
    assert [len(english().rows(f"buttons.{objective}")) for objective in Objective] == [8, 8]
    assert [len(english().rows(key)) for key in ("ratings.good", "ratings.much", "feel.answers")] == [5, 5, 5]


def test_one_and_many() -> None:
    assert english().many("done.tasks", 1) == "1 whole task" and english().many("done.tasks", 0) == "0 whole tasks"


def test_another_language_stands_over_the_english_one(tmp_path: Path) -> None:
    file = tmp_path / "ar.toml"
    file.write_text('[page]\nlang = "ar"\ndir = "rtl"\n[start]\nbegin = "ابدأ"\n')
    say = messages(file)
    assert (say("page.dir"), say("start.begin"), say("talk.send")) == ("rtl", "ابدأ", "Send")
    assert messages(None)("page.dir") == "ltr"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[start]\nbegn = "x"', "has 'start.begn', which no page says"),
        ('[count]\ntask = "{n} von {alle}"', r"'count.task': \{alle\} stands for nothing"),
        ("begin =", "is not TOML"),
        ('[buttons]\nhelpful = ["1","2","3","4","5","6","7","8","9"]', "'buttons.helpful.9'"),
    ],
)
def test_a_slip_of_the_pen_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "de.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=problem) as caught:
        messages(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        messages(tmp_path / "none.toml")
