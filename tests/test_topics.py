"""Whether a text holds words on a topic: by hand, as properties, and the settings that say which words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.config import changed, load_config
from concordant.errors import UserError
from concordant.programme_config import CareConfig, ProgrammeConfig
from concordant.topics import DEFAULT_TOPICS, Topics, has_words

SOME = Topics({"harm": ["suicide", "self-harm", "kill yourself"], "letters": ["é", "straße"], "none": []})


@pytest.mark.parametrize(
    ("text", "touched"),
    [
        ("They spoke of suicide.", ("harm",)),
        ("SUICIDE!", ("harm",)),
        ("suicides, and a suicide's note", ("harm",)),
        ("**suicide** and _suicide_", ("harm",)),
        ("sui\u00adcide with a soft hyphen", ("harm",)),
        ("ｓｕｉｃｉｄｅ in wide letters", ("harm",)),
        ("suicidal", ()),
        ("parasuicide", ()),
        ("suicide2", ()),
        ("suicideß", ()),
        ("self-harm, self harm, self\u2011harm", ("harm",)),
        ("self\n\nharm", ("harm",)),
        ("selfharm", ()),
        ("harm to the self", ()),
        ("kill  Yourself", ("harm",)),
        ("kill. Yourself", ("harm",)),
        ("kills yourself", ()),
        ("kill your self", ()),
        ("e\u0301 in two signs", ("letters",)),
        ("É", ("letters",)),
        ("e\u0301\u0323", ()),
        ("auf der STRASSE", ("letters",)),
        ("suicide on the straße", ("harm", "letters")),
        ("none", ()),
        ("", ()),
    ],
)
def test_by_hand(text: str, touched: tuple[str, ...]) -> None:
    assert SOME.touched(text) == touched
    assert SOME.touched("nothing", text, "") == touched, "any of the texts"


@pytest.mark.parametrize(
    ("last", "found"), [("box", True), ("boxs", True), ("boxes", True), ("boxed", False), ("boxess", False)]
)
def test_the_last_word_alone_may_have_an_s_or_es(last: str, found: bool) -> None:
    topics = Topics({"x": ["big box"]})
    assert bool(topics.touched(f"a big {last} here")) is found
    assert not topics.touched("a bigs box here")


def test_topics_without_words_or_that_nobody_knows_are_none() -> None:
    assert SOME.names == ("harm", "letters")
    assert SOME.only(["none", "letters", "unknown"]).names == ("letters",)
    assert Topics().touched("suicide") == ()


WORD = st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd"]), min_size=1, max_size=8).filter(has_words)
GAP = st.text(st.sampled_from(" \n\t.,;:!?-_*“”()[]/'"), min_size=1, max_size=4)
PHRASE = st.lists(WORD, min_size=1, max_size=4)


@given(PHRASE, st.lists(GAP, min_size=5, max_size=5), st.text(), st.text())
def test_a_phrase_is_found_whatever_stands_between_and_around(
    phrase: list[str], gaps: list[str], before: str, after: str
) -> None:
    text = gaps[0] + "".join(word + gap for word, gap in zip(phrase, gaps[1:], strict=False))
    assert Topics({"x": [" ".join(phrase)]}).touched(f"{before} {text} {after}") == ("x",)


@given(st.text(st.sampled_from("abcé ßſ-"), max_size=30), st.text(st.sampled_from("abcé ß"), min_size=1, max_size=5))
def test_case_makes_no_difference(text: str, word: str) -> None:
    if has_words(word):
        topics = Topics({"x": [word]})
        assert topics.touched(text) == topics.touched(text.upper()) == topics.touched(text.casefold())


@given(st.text(st.sampled_from("ab s"), max_size=40), st.text(st.sampled_from("ab"), min_size=1, max_size=3))
def test_a_plain_word_is_found_exactly_among_the_words(text: str, word: str) -> None:
    forms = {word, f"{word}s", f"{word}es"}
    assert bool(Topics({"x": [word]}).touched(text)) is bool(forms & set(text.split()))


@given(st.text(), st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=3))
def test_what_is_glued_to_a_word_makes_it_another(text: str, glue: str) -> None:
    """A word that holds a longer one than the list, with its s and es, is not on the list."""
    assert Topics({"x": ["qzqz"]}).touched(f"{glue}qzqz") == ()


@given(st.text(), st.lists(st.text(min_size=1), max_size=4))
def test_no_text_and_no_word_is_too_much(text: str, words: list[str]) -> None:
    Topics({"x": [word for word in words if has_words(word)]}).touched(text)


def test_every_word_of_ours_is_found() -> None:
    for name, words in DEFAULT_TOPICS.items():
        for word in words:
            assert name in Topics(DEFAULT_TOPICS).touched(f"about {word.upper()}, say")


def settings(tmp_path: Path, text: str) -> CareConfig:
    (tmp_path / "c.toml").write_text(text)
    return load_config(ProgrammeConfig, tmp_path / "c.toml").care


def test_a_programme_adds_topics_changes_them_and_takes_them_away(tmp_path: Path) -> None:
    assert CareConfig().all_topics.names == tuple(DEFAULT_TOPICS)
    care = settings(tmp_path, '[care.topics]\nspiders = ["spider"]\nhate = []\nviolence = ["war"]\n')
    assert care.all_topics.names == ("self-harm", "sexual content", "violence", "abuse of children", "spiders")
    assert care.all_topics.touched("Spiders at war, who kill") == ("violence", "spiders")
    again = changed(care, {"break_minutes": 1})
    assert again.all_topics.names == care.all_topics.names, "what was taken away stays away"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[care.topics]\nhate = ["  "]', r"care\.topics\.hate\.0 is '  ': a topic and each of its words need at least"),
        ('[care.topics]\n"-" = ["x"]', r"'-': a topic and each of its words need at least one letter or digit"),
        ("[care.topics]\nspiders = []", "the topic 'spiders' has no words; give it some, or leave it out"),
        ("[care.topics]\nhate = [3]", r"care\.topics\.hate\.0 is 3: input should be a valid string"),
        ('[care]\ntopics = "hate"', r"care\.topics is 'hate': input should be a valid dictionary"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        settings(tmp_path, text)
    assert "\n" not in str(caught.value)
