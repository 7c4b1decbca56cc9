import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.collect.reply_text import in_step, to_html


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**bold** and *soft*", "<strong>bold</strong>"),
        ("1. one\n2. two", "<li>two</li>"),
        ("3. three", '<ol start="3">'),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<td>2</td>"),
        ("```python\nx < 1\n```", "<pre><code>x &lt; 1"),
        ("one\ntwo", "one<br>"),
        ("[link](https://example.org)", 'rel="noopener noreferrer nofollow"'),
    ],
)
def test_markdown_is_shown(markdown: str, html: str) -> None:
    assert html in to_html(markdown)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![a picture](https://example.org/who-reads-this.png)",
        "[click](javascript:alert(1))",
        "<a href='javascript:alert(1)'>x</a>",
        '<div style="position:fixed">x</div>',
        "```x onmouseover=alert(1)\ncode\n```",
    ],
)
def test_nothing_runs_and_nothing_is_fetched(text: str) -> None:
    html = to_html(text)
    for bad in ("<script", "<img", "<div", 'href="javascript', " onmouseover", "<a href='"):
        assert bad not in html


def test_a_line_end_in_a_file_of_prose_is_a_space() -> None:
    assert to_html("one\ntwo", prose=True) == "<p>one\ntwo</p>\n"
    assert to_html("one\ntwo") == "<p>one<br>\ntwo</p>\n"


def test_both_show_as_many_words_as_both_have() -> None:
    assert in_step("one two three", "eins") == ("one", "eins")
    assert in_step("one\n\n two  three", "eins zwei ") == ("one\n\n two", "eins zwei")
    assert in_step("", "eins zwei") == ("", "")


@given(st.text(), st.text(), st.text(), st.text())
def test_what_is_shown_only_grows(a: str, b: str, more_a: str, more_b: str) -> None:
    before, after = in_step(a, b), in_step(a + more_a, b + more_b)
    for old, new, whole in zip(before, after, (a + more_a, b + more_b), strict=True):
        assert new.startswith(old) and whole.startswith(new)
    assert len(before[0].split()) == len(before[1].split())
