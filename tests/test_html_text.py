"""HTML of posts as plain text: what a reader sees as paragraphs, items and code is kept as such."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.store.html_text import plain_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("no tags &amp; an entity", "no tags & an entity"),
        ("<p>One</p>\n\n<p>two\nlines of   source</p>\n", "One\n\ntwo lines of source"),
        ("<p>a<br>b <br/> c</p>", "a\nb\nc"),
        ('<p>See <a href="https://example.org">the <em>page</em></a>.</p>', "See the page."),
        ("<pre><code>if a &lt; b:\n    return  1  \n\nend\n</code></pre>", "if a < b:\n    return  1\n\nend"),
        ("<p>use <code>a  b</code></p>", "use a b"),
        ("<p>Do:</p><ul>\n<li>one</li>\n<li>two</li>\n</ul><p>End</p>", "Do:\n\n- one\n- two\n\nEnd"),
        ("<ol><li><p>first</p></li><li>second<pre>code</pre></li></ol>", "1. first\n2. second\n\ncode"),
        ("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", "1. a\n- b\n2. c"),
        ("<blockquote><p>said</p></blockquote><p>no</p>", "said\n\nno"),
        ("<h2>Title</h2>text<hr>more", "Title\n\ntext\n\nmore"),
        ("<p>x</p><script>var a;</script><img src='a.png'><p> \n </p><ul><li></li></ul>", "x"),
        ("</pre></ol></li>a  b<p>never closed", "a b\n\nnever closed"),
        ("<p>1 < 2 and $a_1 \\le b$</p>", "1 < 2 and $a_1 \\le b$"),
    ],
)
def test_plain_text(html: str, text: str) -> None:
    assert plain_text(html) == text


@given(st.text(alphabet="<>/&;pre liol\n ab", max_size=60))
def test_any_text_is_read(html: str) -> None:
    text = plain_text(html)
    assert text.strip("\n") == text and "\n\n\n\n" not in text.replace("\n\n\n", "")


@given(st.lists(st.text(alphabet="abc <&>", max_size=12), max_size=5))
def test_escaped_paragraphs_come_back(paragraphs: list[str]) -> None:
    from html import escape

    expected = [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]
    assert plain_text("".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)) == "\n\n".join(expected)
