"""A reply on its way to the page: Markdown into safe HTML, and both replies of a pair at one pace.

What a model writes is untrusted. HTML in it is shown as text, links carry no referrer, images are left out (a remote
image would tell its server who reads). Unless a programme sets it otherwise, neither reply is shown before both are
complete, so that speed says nothing about who writes.
"""

import re
from functools import lru_cache
from typing import Literal

import nh3
from markdown_it import MarkdownIt


def _markdown(breaks: bool) -> MarkdownIt:
    rules = MarkdownIt("commonmark", {"html": False, "breaks": breaks})
    return rules.enable(["table", "strikethrough"]).disable("image")


_REPLY, _PROSE = _markdown(breaks=True), _markdown(breaks=False)
_TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_WORD = re.compile(r"\S+")


@lru_cache(maxsize=1024)
def to_html(text: str, prose: bool = False) -> str:
    """Markdown as HTML that is safe to put into a page.

    Args:
        text: Markdown.
        prose: a line's end within a paragraph is a space, as in a file with lines of bounded length; in a reply it is
            a line's end.
    """
    return nh3.clean(
        (_PROSE if prose else _REPLY).render(text),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


Show = Literal["together", "lockstep", "free"]


def so_far(show: Show, text_a: str, text_b: str) -> tuple[str, str]:
    """How much of two replies is shown while they are written: nothing, as much as both have, or everything."""
    if show == "together":
        return "", ""
    return in_step(text_a, text_b) if show == "lockstep" else (text_a, text_b)


def in_step(text_a: str, text_b: str) -> tuple[str, str]:
    """Both texts cut to as many words as the shorter one has. Neither result shrinks while both texts grow."""
    words = min(_count(text_a), _count(text_b))
    return _first_words(text_a, words), _first_words(text_b, words)


def _count(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def _first_words(text: str, words: int) -> str:
    end = 0
    for number, match in enumerate(_WORD.finditer(text)):
        if number == words:
            break
        end = match.end()
    return text[:end]
