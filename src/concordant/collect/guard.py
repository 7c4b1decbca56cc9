"""What stands before every route: small bodies only, no form from another site, headers that keep pages private.

One ASGI layer, because it must not hold up a stream. Left out: rate limits per address.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concordant.collect.chat_form import error_object

MOST_BYTES = 128 * 1024
"""Largest body of a form: 4,000 characters, each at most twelve bytes in a form's encoding, and room for the rest."""

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # "no-referrer" would also blank the Origin of our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_foreign(headers: Headers) -> bool:
    """Whether a form comes from another site's page.

    Browsers say so themselves (Sec-Fetch-Site, or Origin in older ones); a client that sends neither is no browser, and
    nobody's cookies can be misused through it.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


class Guard:
    """ASGI layer around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = _refusal(scope["method"], Headers(scope=scope))
        if "\x00" in scope["path"]:  # no id has one, and PostgreSQL takes none
            refusal = PlainTextResponse("There is nothing here.\n", 404)
        if refusal is not None and scope["path"].startswith("/v1/"):
            refusal = _as_error_object(refusal)
        await (refusal or self.app)(scope, receive, send_with_headers)


def _refusal(method: str, headers: Headers) -> Response | None:
    """The answer to a request that goes no further, or None."""
    if method in ("GET", "HEAD"):
        return None
    if is_foreign(headers):
        return PlainTextResponse("This form came from another site, so nothing was done.\n", 403)
    length = headers.get("content-length", "")
    if not length.isdecimal():  # browsers always state it, and without it a body could grow without end
        return PlainTextResponse("The length of the form is missing.\n", 411)
    if int(length) > MOST_BYTES:
        return PlainTextResponse("This is too long to take.\n", 413)
    return None


def _as_error_object(refusal: Response) -> Response:
    """A refusal as programs that use ``/v1`` expect it."""
    message = bytes(refusal.body).decode().strip()
    return JSONResponse(error_object(refusal.status_code, message), refusal.status_code)


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    headers["Content-Security-Policy"] = _REPORT_POLICY if path.startswith("/researcher/report") else _PAGE_POLICY
    if "cache-control" not in headers:
        headers["Cache-Control"] = "no-store"  # going back asks the server again, so a page never shows an old state
