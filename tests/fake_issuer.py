"""An identity provider for tests: real HTTP on this machine, real RS256 signatures, and it vouches for anybody.

Whatever a test puts into ``claims``, ``description`` or ``signer`` takes the place of what is right.
"""

import json
import threading
import time
from base64 import b64decode
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.util import urlsafe_b64encode

CLIENT, SECRET = "the client", "the: secret"


class FakeIssuer:
    """While the block lasts, it answers at ``url``."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.signer: RSAKey = self.key
        self.claims: dict[str, Any] = {}
        self.description: dict[str, Any] = {}
        self.token_status = 200
        self.asked: dict[str, str] = {}
        self.seen: list[dict[str, str]] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, issuer.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._send(*issuer.token(form, self.headers.get("Authorization", "")))

            def _send(self, status: int, found: dict[str, Any]) -> None:
                text = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeIssuer":
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def settings(self, **more: Any) -> dict[str, Any]:
        """``[staff.oidc]`` for this provider."""
        return {"issuer": self.url, "client_id": CLIENT, **more}

    def agree(self, address: str, **instead: str) -> str:
        """What the person does at the provider's page; returns the address that their browser is sent back to."""
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert self.asked["response_type"] == "code" and self.asked["code_challenge_method"] == "S256"
        back = {"code": "a code", "state": self.asked["state"], "iss": self.url, **instead}
        return f"{urlsplit(self.asked['redirect_uri']).path}?{urlencode(back)}"

    def get(self, path: str) -> dict[str, Any]:
        if path == "/keys":
            return {"keys": [self.key.as_dict(private=False)]}
        assert path == "/.well-known/openid-configuration"
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            **self.description,
        }

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        self.seen.append(form)
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).decode()
        known = form.get("client_secret") == SECRET
        if authorization.startswith("Basic "):
            name, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            known = (unquote(name), unquote(secret)) == (CLIENT, SECRET)
        right = known and challenge == self.asked["code_challenge"] and form["code"] == "a code"
        if not right or form["redirect_uri"] != self.asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "subject-1",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            "email": "Ann@Example.org",
            "email_verified": True,
            "name": "Ann",
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.signer)
        return self.token_status, {"access_token": "unused", "token_type": "Bearer", "id_token": token}
