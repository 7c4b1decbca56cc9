"""Single sign-on by OpenID Connect: the authorisation code flow with PKCE, state and nonce, as one provider's
client.

Authlib (the extra ``oidc``) makes the challenge and checks the ID token's claims, its companion joserfc the signature.
Left out: signing out at the provider, refresh tokens, the userinfo endpoint; what is needed stands in the ID token.
"""

import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from concordant.errors import UserError
from concordant.programme_config import OidcConfig
from concordant.store.sign_ins import Vouched
from concordant.store.staff import LONGEST_NAME, Role

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384")
"""Of signatures: those with a key pair, so that a client secret can never sign."""

_SECONDS = 10.0
_LEEWAY = 60
"""Seconds by which the provider's clock may differ."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one browser's sign-on began with, and must end with; kept in a cookie of that browser alone."""

    state: str
    nonce: str
    verifier: str
    next: str


def require_oidc(config: OidcConfig) -> None:
    """Whether single sign-on can work here.

    Raises:
        UserError: the extra is not installed, or the client secret is not in the environment.
    """
    try:
        import authlib.oidc.core  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(
            "single sign-on ([staff.oidc]) needs Authlib; install it with pip install 'concordant[oidc]'"
        ) from None
    _secret(config)


def begin(config: OidcConfig, back: str, next: str) -> tuple[str, Flow]:
    """Where to send the browser, and what to remember of it; ``back``: our address that it returns to.

    Raises:
        UserError: the provider cannot be reached, or is not the one that is set.
    """
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    flow = Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next)
    asked = {
        "response_type": "code",
        "client_id": config.client_id,
        "redirect_uri": back,
        "scope": "openid email profile",
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": create_s256_code_challenge(flow.verifier),
        "code_challenge_method": "S256",
    }
    with httpx.Client(timeout=_SECONDS) as client:
        endpoint = str(_provider(client, config)["authorization_endpoint"])
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", flow


def finish(config: OidcConfig, flow: Flow, answer: Mapping[str, str], back: str) -> Vouched:
    """Who came back, after the provider has been asked and its signature checked.

    Raises:
        UserError: they were refused, the answer is not to this browser's question, cannot be trusted, or names somebody
            who has no role here.
    """
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise UserError("this answer belongs to another sign-in; begin again")
    if answer.get("iss", config.issuer) != config.issuer:
        raise UserError("this answer comes from another provider; begin again")
    if "code" not in answer:
        raise UserError("the provider did not sign you in; begin again, or ask a researcher")
    with httpx.Client(timeout=_SECONDS) as client:
        provider = _provider(client, config)
        tokens = _exchange(client, config, provider, {"code": answer["code"], "redirect_uri": back}, flow.verifier)
        keys = _ask(client, "GET", str(provider["jwks_uri"]))
    claims = _checked(config, keys, tokens, flow.nonce)
    return _vouched(config, claims)


def _provider(client: httpx.Client, config: OidcConfig) -> dict[str, Any]:
    """The provider's own description."""
    found = _ask(client, "GET", f"{config.issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != config.issuer:
        raise UserError(f"the provider calls itself {found.get('issuer')!r}; write that as staff.oidc.issuer")
    missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys()
    if missing:
        raise UserError(f"the provider {config.issuer} does not say its {', '.join(sorted(missing))}")
    return found


def _exchange(
    client: httpx.Client, config: OidcConfig, provider: dict[str, Any], code: dict[str, str], verifier: str
) -> dict[str, Any]:
    """The code for tokens; the secret is in the header (RFC 6749 §2.3.1), or in the form where only that is taken."""
    form = {"grant_type": "authorization_code", "client_id": config.client_id, "code_verifier": verifier, **code}
    secret, methods = _secret(config), provider.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    auth = None
    if "client_secret_basic" in methods:
        auth = httpx.BasicAuth(quote(config.client_id, safe=""), quote(secret, safe=""))
    else:
        form["client_secret"] = secret
    return _ask(client, "POST", str(provider["token_endpoint"]), data=form, auth=auth)


def _ask(client: httpx.Client, method: str, url: str, **options: Any) -> dict[str, Any]:
    try:
        answer = client.request(method, url, headers={"Accept": "application/json"}, **options)
        found = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UserError(f"the provider did not answer as it should at {url} ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise UserError(f"the provider did not answer with an object at {url}")
    return found


def _checked(config: OidcConfig, keys: dict[str, Any], tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
    """The claims of the ID token, if signature, issuer, audience, times and nonce are right (OIDC Core §3.1.3.7)."""
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        token = jwt.decode(
            str(tokens.get("id_token", "")), KeySet.import_key_set({"keys": keys["keys"]}), list(ALGORITHMS)
        )
        claims = CodeIDToken(
            token.claims,
            token.header,
            {"iss": {"essential": True, "value": config.issuer}, "aud": {"essential": True, "value": config.client_id}},
            {"nonce": nonce, "client_id": config.client_id, "access_token": tokens.get("access_token")},
        )
        claims.validate(leeway=_LEEWAY)
    except (JoseError, KeyError, ValueError) as error:
        raise UserError(f"the provider's answer cannot be trusted ({type(error).__name__}); begin again") from None
    return dict(claims)


def _vouched(config: OidcConfig, claims: dict[str, Any]) -> Vouched:
    said = str(claims.get("email", "")) if claims.get("email_verified") is True else ""
    # Letters beyond ASCII fold into others (the Kelvin sign into k, ß into ss), so into somebody else's address.
    email = said.lower() if said.isascii() and "@" in said else ""
    role = _role(config, email, claims.get(config.claim) if config.claim else None)
    if role is None:
        raise UserError("you are known to the provider, but have no role here; ask a researcher")
    subject = str(claims["sub"])
    name = _printable(claims.get("name", "")) or _printable(subject)
    return Vouched(f"{config.issuer}#{subject}", email, name, role)


def _printable(said: object) -> str:
    return "".join(letter for letter in str(said) if letter.isprintable())[:LONGEST_NAME].strip()


def _role(config: OidcConfig, email: str, claim: object) -> Role | None:
    """The higher one of the roles that address and claim give."""
    values = claim if isinstance(claim, list) else [claim]
    found = {config.roles[value] for value in values if isinstance(value, str) and value in config.roles}
    found |= {role for known, role in config.emails.items() if email and known.casefold() == email}
    return Role(min(found)) if found else None  # "researcher" stands before "reviewer"


def _secret(config: OidcConfig) -> str:
    secret = os.environ.get(config.secret_variable, "")
    if not secret:
        raise UserError(
            f"the client secret of single sign-on is not in the environment; set {config.secret_variable} before serve"
        )
    return secret
