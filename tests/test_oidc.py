"""Single sign-on against a provider on this machine, with real signatures: who comes in, and every way not to."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from concordant.collect.app import create_app
from concordant.collect.oidc import require_oidc
from concordant.config import load_config
from concordant.errors import UserError
from concordant.programme_config import OidcConfig, ProgrammeConfig
from concordant.store.audit import COMMAND_LINE
from concordant.store.database import Database
from concordant.store.staff import Role, add_member, members, owner
from fake_issuer import SECRET, FakeIssuer
from visitors import fresh_store, room_with

EMAILS = {"emails": {"ann@example.org": "researcher"}}


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeIssuer]:
    with FakeIssuer() as found:
        yield found


@pytest.fixture
def issuer(provider: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> FakeIssuer:
    monkeypatch.setenv("CONCORDANT_OIDC_SECRET", SECRET)
    provider.signer, provider.claims, provider.description, provider.token_status = provider.key, {}, {}, 200
    provider.seen.clear()
    return provider


def browser_on(store: Database, issuer: FakeIssuer, **settings: Any) -> TestClient:
    room = room_with(store, staff={"oidc": issuer.settings(**(settings or EMAILS))})
    return TestClient(create_app(room), follow_redirects=False)


def leave(browser: TestClient, next: str = "") -> str:
    answer = browser.get("/staff/oidc", params={"next": next})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_who_the_provider_vouches_for_comes_in_and_back(store: Database, issuer: FakeIssuer) -> None:
    browser = browser_on(store, issuer)
    assert 'href="/staff/oidc?next=/researcher/models"' in browser.get("/researcher/models").text
    away = leave(browser, "/researcher/models")
    assert away.startswith(f"{issuer.url}/authorize?") and SECRET not in away
    answer = browser.get(issuer.agree(away))
    assert answer.status_code == 303 and answer.headers["location"] == "/researcher/models"
    assert browser.get("/researcher/models").status_code == 200
    (ann,) = members(store)
    assert (ann.login, ann.staff.name, ann.staff.role.value, ann.signs_on) == (
        "ann@example.org",
        "Ann",
        "researcher",
        True,
    )
    assert issuer.asked["scope"].split() == ["openid", "email", "profile"]
    assert len(issuer.asked["nonce"]) >= 32 and len(issuer.seen[0]["code_verifier"]) >= 43
    assert browser.get("/researcher/settings").status_code == 200


def test_a_secret_may_be_asked_for_in_the_form(store: Database, issuer: FakeIssuer) -> None:
    issuer.description = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    browser = browser_on(store, issuer)
    assert browser.get(issuer.agree(leave(browser))).status_code == 303
    assert issuer.seen[0]["client_secret"] == SECRET


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["staff", "rlhf-leads"], "researcher"),
        (["readers"], "reviewer"),
        (["readers", "rlhf-leads"], "researcher"),
        ("readers", "reviewer"),
        (["others", 5, None], None),
        ({"readers": True}, None),
        (None, None),
    ],
)
def test_a_claim_gives_a_role(store: Database, issuer: FakeIssuer, groups: object, role: str | None) -> None:
    issuer.claims = {"groups": groups, "email_verified": None}
    settings = {"claim": "groups", "roles": {"rlhf-leads": "researcher", "readers": "reviewer"}}
    browser = browser_on(store, issuer, **settings)
    answer = browser.get(issuer.agree(leave(browser)))
    assert answer.status_code == (403 if role is None else 303)
    assert [one.staff.role.value for one in members(store)] == ([] if role is None else [role])


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": None},
        {"email_verified": False},
        {"email": None},
        {"email": "owner"},
        {"email": "\uff41nn@example.org"},  # a wide letter, which a login folds into "a"
    ],
    ids=str,
)
def test_a_subject_or_an_unverified_address_joins_no_account(
    store: Database, issuer: FakeIssuer, claims: dict[str, Any]
) -> None:
    """At many providers the subject is a user name, and the first start's account is called owner."""
    local = owner(store)
    add_member(store, COMMAND_LINE, "Ann", "ann@example.org", Role.REVIEWER)
    issuer.claims = {"sub": "owner", "name": None, "groups": "leads", **claims}
    browser = browser_on(store, issuer, claim="groups", roles={"leads": "researcher"})
    assert browser.get(issuer.agree(leave(browser))).status_code == 303
    first, ann, new = members(store)
    assert (first, ann.signs_on, ann.staff.role) == (local, False, Role.REVIEWER)
    assert new.login.startswith("sign-on-") and new.staff.name == "owner" and new.signs_on
    browser.cookies.clear()
    assert browser.get(issuer.agree(leave(browser))).status_code == 303 and len(members(store)) == 3


@pytest.mark.parametrize("address", ["\u212aim@example.org", "ki\u217f@example.org", "ki\uff4d@example.org"])
def test_an_address_in_letters_that_only_look_like_it_is_nobodys(
    store: Database, issuer: FakeIssuer, address: str
) -> None:
    """The Kelvin sign is a k in lower case: it must neither open Kim's account nor give Kim's role."""
    add_member(store, COMMAND_LINE, "Kim", "kim@example.org", Role.RESEARCHER)
    issuer.claims = {"sub": "stranger", "email": address, "groups": "readers"}
    settings = {"emails": {"kim@example.org": "researcher"}, "claim": "groups", "roles": {"readers": "reviewer"}}
    browser = browser_on(store, issuer, **settings)
    assert browser.get(issuer.agree(leave(browser))).status_code == 303
    kim, new = members(store)
    assert not kim.signs_on and (new.login[:8], new.staff.role) == ("sign-on-", Role.REVIEWER)


NOW = int(time.time())

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"email": "eve@example.org"}, "have no role here"),
    ({"email_verified": False}, "have no role here"),
    ({"email_verified": "true"}, "have no role here"),
    ({"email_verified": None}, "have no role here"),
    ({"nonce": "another"}, "cannot be trusted"),
    ({"nonce": None}, "cannot be trusted"),
    ({"aud": "another client"}, "cannot be trusted"),
    ({"aud": ["the client", "another"]}, "cannot be trusted"),
    ({"azp": "another client"}, "cannot be trusted"),
    ({"iss": "https://elsewhere.example"}, "cannot be trusted"),
    ({"exp": NOW - 3600}, "cannot be trusted"),
    ({"exp": None}, "cannot be trusted"),
    ({"iat": NOW + 3600}, "cannot be trusted"),
    ({"sub": None}, "cannot be trusted"),
    ({"at_hash": "AAAA"}, "cannot be trusted"),
]


@pytest.mark.parametrize(("claims", "said"), WRONG, ids=[re.sub(r"\d{9,}", "…", str(claims)) for claims, _ in WRONG])
def test_a_token_that_says_something_else_lets_nobody_in(
    store: Database, issuer: FakeIssuer, claims: dict[str, Any], said: str
) -> None:
    issuer.claims = claims
    browser = browser_on(store, issuer)
    answer = browser.get(issuer.agree(leave(browser)))
    assert answer.status_code == 403 and said in answer.text and members(store) == []
    assert browser.get("/researcher").status_code == 403


def test_a_signature_of_another_key_lets_nobody_in(store: Database, issuer: FakeIssuer) -> None:
    issuer.signer = RSAKey.generate_key(2048, {"kid": "one"})
    browser = browser_on(store, issuer)
    answer = browser.get(issuer.agree(leave(browser)))
    assert answer.status_code == 403 and "cannot be trusted" in answer.text


@pytest.mark.parametrize("how", ["none", "HS256"])
def test_a_token_without_a_real_signature_lets_nobody_in(
    store: Database, issuer: FakeIssuer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two classics: no signature at all, and the public key, or the client secret, as that of a shared one."""
    first = issuer.token

    def forged(form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        status, found = first(form, authorization)
        _, body, _ = found["id_token"].split(".")
        if how == "none":
            return status, {**found, "id_token": f"eyJhbGciOiJub25lIn0.{body}."}
        claims = jwt.decode(found["id_token"], issuer.key).claims
        shared = OctKey.import_key(SECRET * 4)
        token = jwt.encode({"alg": "HS256", "kid": "one"}, claims, shared, algorithms=["HS256"])
        return status, {**found, "id_token": token}

    monkeypatch.setattr(issuer, "token", forged)
    browser = browser_on(store, issuer)
    answer = browser.get(issuer.agree(leave(browser)))
    assert answer.status_code == 403 and "cannot be trusted" in answer.text and members(store) == []


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ({"state": "another"}, "another sign-in"),
        ({"state": "\u2603"}, "another sign-in"),
        ({"iss": "https://elsewhere.example"}, "another provider"),
        ({"code": "guessed"}, "did not answer as it should"),
    ],
)
def test_an_answer_to_another_question_is_refused(
    store: Database, issuer: FakeIssuer, instead: dict[str, str], said: str
) -> None:
    browser = browser_on(store, issuer)
    answer = browser.get(issuer.agree(leave(browser), **instead))
    assert answer.status_code == 403 and said in answer.text


def test_only_the_browser_that_began_can_end_it_and_only_once(store: Database, issuer: FakeIssuer) -> None:
    browser = browser_on(store, issuer)
    back = issuer.agree(leave(browser))
    other = TestClient(browser.app, follow_redirects=False)
    assert other.get(back).status_code == 403 and "in another browser" in other.get(back).text
    for cookie in ("nonsense", "bm9uc2Vuc2U=", "W10=", "e30=", "NQ=="):
        other.cookies.set("concordant_sign_on", cookie)
        assert other.get(back).status_code == 403
        other.cookies.clear()
    assert browser.get(back).status_code == 303
    assert browser.get(back).status_code == 403, "the cookie of the flow is gone"


def test_who_says_no_at_the_provider_is_told_so(store: Database, issuer: FakeIssuer) -> None:
    browser = browser_on(store, issuer)
    issuer.agree(leave(browser))
    answer = browser.get("/staff/oidc/back", params={"error": "access_denied", "state": issuer.asked["state"]})
    assert answer.status_code == 403 and "did not sign you in" in answer.text


@pytest.mark.parametrize(
    ("description", "said"),
    [({"issuer": "https://elsewhere.example"}, "calls itself"), ({"jwks_uri": None}, ""), ({"token_endpoint": 5}, "")],
)
def test_a_provider_that_is_another_or_broken_is_one_page(
    store: Database, issuer: FakeIssuer, description: dict[str, Any], said: str
) -> None:
    issuer.description = description
    browser = browser_on(store, issuer)
    answer = browser.get("/staff/oidc")
    if answer.status_code == 303:
        answer = browser.get(issuer.agree(str(answer.headers["location"])))
    assert answer.status_code in (403, 502) and "Single sign-on did not work" in answer.text and said in answer.text


def test_a_provider_that_does_not_answer_is_one_page(store: Database, issuer: FakeIssuer) -> None:
    browser = browser_on(store, issuer)
    browser.app.state.room.staff.oidc.__dict__["issuer"] = "http://127.0.0.1:1"  # type: ignore[attr-defined]
    answer = browser.get("/staff/oidc")
    assert answer.status_code == 502 and "did not answer as it should" in answer.text


def test_it_leads_to_no_other_site(store: Database, issuer: FakeIssuer) -> None:
    browser = browser_on(store, issuer)
    answer = browser.get(issuer.agree(leave(browser, "//elsewhere.example")))
    assert answer.headers["location"] == "/researcher"


def test_without_a_provider_there_is_nothing_there(store: Database) -> None:
    with TestClient(create_app(room_with(store))) as browser:
        assert browser.get("/staff/oidc").status_code == browser.get("/staff/oidc/back").status_code == 404
        assert "/staff/oidc" not in browser.get("/staff/sign-in").text


def test_without_the_extra_it_is_one_line(issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    config = OidcConfig.model_validate(issuer.settings(**EMAILS))
    require_oidc(config)
    monkeypatch.setitem(sys.modules, "authlib.oidc.core", None)
    with pytest.raises(UserError, match=r"needs Authlib; install it with pip install 'concordant\[oidc\]'"):
        require_oidc(config)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('issuer = "http://id.example"\nclient_id = "c"', "issuer must begin with https"),
        ('issuer = "https://id.example"', "client_id is missing"),
        ('issuer = "https://id.example"\nclient_id = "c"', "nobody could sign on"),
        ('issuer = "https://id.example"\nclient_id = "c"\nclaim = "groups"', "nobody could sign on"),
        ('emails = {"a@b.example" = "emperor"}', "emperor|reviewer"),
    ],
)
def test_half_a_provider_is_said_when_the_settings_are_read(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "concordant.toml").write_text(f"[staff.oidc]\n{lines}\n")
    with pytest.raises(UserError, match=said):
        load_config(ProgrammeConfig, tmp_path / "concordant.toml")
