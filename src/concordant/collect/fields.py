"""Fields of forms, as every route reads them."""

from typing import Annotated

from fastapi import Form
from pydantic import AfterValidator

Said = Annotated[str, AfterValidator(lambda text: text.replace("\x00", "\ufffd"))]
"""What a field of a form holds. PostgreSQL takes no NUL, neither in texts, which the store writes with the same sign
in its place, nor in the ids that it looks for."""

Field = Annotated[Said, Form()]
"""One field of a form whose fields are a route's arguments."""
