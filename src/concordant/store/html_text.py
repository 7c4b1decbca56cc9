"""HTML fragments, as web sites store posts, made plain text: paragraphs, list items and the lines of code stay.

Links keep their words and lose their address; pictures go. Left out: tables as tables (a row becomes a paragraph).
"""

import re
from html.parser import HTMLParser

_HEADINGS = {f"h{level}" for level in range(1, 7)}
_BLOCKS = {"blockquote", "dd", "div", "dl", "dt", "hr", "li", "ol", "p", "pre", "table", "tr", "ul", *_HEADINGS}
_SILENT = {"script", "style"}


def plain_text(html: str) -> str:
    """The text of an HTML fragment: paragraphs a blank line apart, items of a list one below the other."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.end_paragraph()
    text = ""
    for place, (paragraph, is_item) in enumerate(reader.paragraphs):
        close_up = is_item and place and reader.paragraphs[place - 1][1]
        text += ("\n" if close_up else "\n\n" if place else "") + paragraph
    return text


class _Reader(HTMLParser):
    """Collects ``(paragraph, whether it opens an item of a list)``."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[tuple[str, bool]] = []
        self._pieces: list[str] = []
        self._code = 0
        self._silent = 0
        self._lists: list[int] = []
        """For each open list the number of its last item; −1 in lists without numbers."""
        self._mark = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._pieces.append("\n")
        if tag in _SILENT:
            self._silent += 1
        if tag not in _BLOCKS:
            return
        self.end_paragraph()
        if tag == "pre":
            self._code += 1
        elif tag in ("ol", "ul"):
            self._lists.append(0 if tag == "ol" else -1)
        elif tag == "li":
            self._mark = self._next_mark()

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        if tag not in _BLOCKS:
            return
        self.end_paragraph()
        if tag == "pre":
            self._code = max(0, self._code - 1)
        elif tag in ("ol", "ul") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._mark = ""

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._pieces.append(data if self._code else re.sub(r"\s+", " ", data))

    def end_paragraph(self) -> None:
        """What was collected since the last block is a paragraph, if there is any text in it."""
        text = "".join(self._pieces)
        self._pieces = []
        if self._code:
            text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
        else:
            text = re.sub(" *\n *", "\n", re.sub(" +", " ", text)).strip()
        if text.strip():
            self.paragraphs.append((self._mark + text, bool(self._mark)))
            self._mark = ""

    def _next_mark(self) -> str:
        if not self._lists or self._lists[-1] < 0:
            return "- "
        self._lists[-1] += 1
        return f"{self._lists[-1]}. "
