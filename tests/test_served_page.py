import pytest

from concordant.collect.served_page import read_page
from concordant.errors import UserError

PAGE = """<!doctype html><html data-work="harmless"><body>
<article data-side="a" data-text="a &lt;b&gt; &quot;c&quot;
d"><div>shown</div></article><article data-side="b" data-text=""></article>
<div data-stream="/work/stream/7"></div>
<form method="post" action="/work/end"><input type="hidden" name="talk" value="t1"><button>x</button></form>
<form method="post" action="/work/end"><input type="hidden" name="talk" value="t2">
<input type="radio" name="rating" value="1"><input type="radio" name="rating" value="2">
<textarea name="comment"></textarea></form><input name="outside" value="x"></body></html>"""


def test_a_page_is_read_as_it_is_offered() -> None:
    page = read_page(PAGE)
    assert page.work == "harmless" and page.stream == "/work/stream/7"
    assert page.texts == {"a": 'a <b> "c"\nd', "b": ""}
    leave, end = page.forms
    assert (leave.hidden, leave.fields) == ({"talk": "t1"}, set())
    assert (end.hidden, end.fields) == ({"talk": "t2"}, {"rating", "comment"})
    assert page.form("/work/end") is leave and page.form("/work/end", "rating") is end
    assert page.form("/work/say") is None and page.form("/work/end", "text") is None


def test_another_sites_page_is_refused() -> None:
    with pytest.raises(UserError, match="no page of concordant"):
        read_page("<html><body>It works!</body></html>")
