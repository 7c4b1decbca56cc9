"""What a client without a browser reads off a worker's page: its forms, the two replies, and where to wait.

Scripted workers see the pages that people see and may only do what these offer. Left out: everything for the eye.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from concordant.errors import UserError


@dataclass(slots=True)
class ServedForm:
    """A form: where it goes, the hidden values it carries, and the names that can be filled in."""

    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ServedPage:
    """A page as a scripted worker sees it.

    Attributes:
        forms: in the order of the page.
        texts: "a" and "b" → the reply that is shown there.
        stream: where to wait until both replies are complete, or None.
        work: "helpful" or "harmless".
        problem: what the page says went wrong, or "".
    """

    forms: list[ServedForm] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    stream: str | None = None
    work: str = ""
    problem: str = ""

    def form(self, action: str, offers: str = "") -> ServedForm | None:
        """The form that goes to ``action`` and has the field ``offers`` to fill in."""
        for form in self.forms:
            if form.action == action and (not offers or offers in form.fields):
                return form
        return None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = ServedPage()
        self._form: ServedForm | None = None
        self._in_problem = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.page.work = values.get("data-work", "")
        elif tag == "p" and "problem" in values.get("class", "").split():
            self._in_problem = True
        elif tag == "form":
            self._form = ServedForm(values.get("action", ""))
            self.page.forms.append(self._form)
        elif "data-stream" in values:
            self.page.stream = values["data-stream"]
        elif "data-side" in values:
            self.page.texts[values["data-side"]] = values["data-text"]
        elif tag in ("input", "textarea") and self._form is not None and "name" in values:
            if values.get("type") == "hidden":
                self._form.hidden[values["name"]] = values["value"]
            else:
                self._form.fields.add(values["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "p":
            self._in_problem = False

    def handle_data(self, data: str) -> None:
        if self._in_problem:
            self.page.problem += data


def read_page(html: str) -> ServedPage:
    """Read a page.

    Raises:
        UserError: it is none of ours.
    """
    reader = _Reader()
    reader.feed(html)
    if not reader.page.work:
        raise UserError(f"this is no page of concordant: {html[:60]!r}; is the address right?")
    reader.page.problem = " ".join(reader.page.problem.split())
    return reader.page
