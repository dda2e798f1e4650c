"""What an identity provider says counts only as it is meant: signed, for us, now, and about one person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api_shim.domain.identity_providers import Attempt, HalfRenewed, NotVouched, Vouched
from approval_gate.errors import Unavailable
from tests.identity_provider import CLIENT, ISSUER, SECRET, Claims, Provider

BACK = "https://signoff.example/signoff/sign-in/callback"
ATTEMPT = Attempt(state="a state", nonce="a nonce", verifier="v" * 43)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def provider() -> Provider:
    made = Provider(now)
    made.person("248", preferred_username="alice", name="Alice", email="a@example.com", groups=["ops", "dev"])
    return made


def begin(provider: Provider) -> str:
    return asyncio.run(provider.adapter.begin(ATTEMPT, BACK))


def finish(provider: Provider, attempt: Attempt = ATTEMPT, code: str = "") -> Vouched:
    code = code or provider.signs_in(begin(provider), "248")["code"]
    return asyncio.run(provider.adapter.finish(attempt, code, BACK))


def test_a_browser_is_sent_there_with_what_it_alone_has_and_nothing_that_it_must_not_show(provider: Provider) -> None:
    url = urlsplit(begin(provider))
    asked = {name: value for name, [value] in parse_qs(url.query).items()}
    assert (url.netloc, url.path) == ("localhost", "/oauth2/authorize")
    assert asked["code_challenge_method"] == "S256"
    assert {asked[name] for name in ("state", "nonce", "redirect_uri", "client_id")} == {
        *(ATTEMPT.state, ATTEMPT.nonce, BACK, CLIENT)
    }
    assert ATTEMPT.verifier not in url.query
    assert SECRET not in url.query


def test_who_has_signed_in_is_told_and_what_they_are_called(provider: Provider) -> None:
    vouched = finish(provider)
    said = (vouched.subject, vouched.username, vouched.name, vouched.mail, vouched.groups)
    assert said == ("248", "alice", "Alice", "a@example.com", frozenset({"ops", "dev"}))
    [form] = provider.forms()
    assert (form["code_verifier"], form["redirect_uri"]) == (ATTEMPT.verifier, BACK)
    assert vouched.refresh_token
    shown = f"{vouched!r} {ATTEMPT!r} {provider.adapter!r}"
    assert not any(secret in shown for secret in (vouched.refresh_token, ATTEMPT.verifier, ATTEMPT.state, SECRET))


@pytest.mark.parametrize(
    ("said", "verified"), [({}, False), (True, True), ("true", True), (False, False), ("false", False), (None, False)]
)
def test_a_mail_address_is_verified_if_the_provider_says_so(provider: Provider, said: Any, verified: bool) -> None:
    provider.claims = lambda claims: claims if said == {} else {**claims, "email_verified": said}
    assert finish(provider).mail_is_verified is verified


def without(name: str) -> Callable[[Claims], Claims]:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def to(**others: Any) -> Callable[[Claims], Claims]:
    return lambda claims: {**claims, **others}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param(to(nonce="another"), "invalid_claim (nonce)", id="wrong nonce"),
        pytest.param(without("nonce"), "missing_claim (nonce)", id="no nonce"),
        pytest.param(to(exp=int(time.time()) - 120), "expired_token", id="expired"),
        pytest.param(without("exp"), "missing_claim (exp)", id="for ever"),
        pytest.param(to(iat=int(time.time()) + 86_400), "invalid_claim (iat)", id="not yet"),
        pytest.param(to(aud="another"), "invalid_claim (aud)", id="wrong audience"),
        pytest.param(to(aud="another", azp=CLIENT), "invalid_claim (aud)", id="wrong audience, though by us"),
        pytest.param(to(aud=[CLIENT, "another"], azp="another"), "invalid_claim (azp)", id="for somebody else"),
        pytest.param(without("aud"), "missing_claim (aud)", id="for nobody"),
        pytest.param(to(iss="http://evil.example"), "invalid_claim (iss)", id="wrong issuer"),
        pytest.param(to(iss=f"{ISSUER}/"), "invalid_claim (iss)", id="almost the issuer"),
        pytest.param(without("iss"), "missing_claim (iss)", id="no issuer"),
        pytest.param(without("sub"), "missing_claim (sub)", id="about nobody"),
        pytest.param(to(sub="249"), "about somebody else", id="about another than the rest"),
        pytest.param(to(sub="x" * 256), "its subject cannot be kept", id="a subject that is too long"),
        pytest.param(to(at_hash="AAAA"), "invalid_claim (at_hash)", id="with another access token"),
    ],
)
def test_what_is_signed_otherwise_is_not_believed(
    provider: Provider, claims: Callable[[Claims], Claims], why: str
) -> None:
    provider.claims = claims
    with pytest.raises(NotVouched) as refused:
        finish(provider)
    assert why in str(refused.value)


def test_a_key_that_is_new_is_looked_for_and_one_that_is_gone_is_not_believed(provider: Provider) -> None:
    assert finish(provider).subject == "248"
    provider.rotate_key()
    assert finish(provider).subject == "248"
    asked = [each.url.path for each in provider.asked]
    assert asked.count("/jwks") == 2
    assert asked.count("/.well-known/openid-configuration") == 1
    old = provider.answers
    kept: dict[str, Any] = {}
    provider.answers = lambda request, answer: kept.setdefault("jwks", answer) if "jwks" in str(request.url) else answer
    provider.rotate_key()
    assert finish(provider).subject == "248"
    provider.rotate_key()
    with pytest.raises(NotVouched, match="bad_signature"):
        finish(provider)
    provider.answers = old
    assert finish(provider).subject == "248"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_what_anybody_could_have_signed_is_not_believed(provider: Provider, algorithm: str) -> None:
    def offered(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if "openid-configuration" in str(request.url):
            return httpx.Response(200, json={**answer.json(), "id_token_signing_alg_values_supported": [algorithm]})
        return answer

    provider.answers = offered
    with pytest.raises(NotVouched, match="algorithm"):
        finish(provider)


def test_a_code_is_good_once(provider: Provider) -> None:
    code = provider.signs_in(begin(provider), "248")["code"]
    assert finish(provider, code=code).subject == "248"
    with pytest.raises(NotVouched, match="invalid_grant"):
        finish(provider, code=code)


def test_it_vouches_again_until_it_does_not(provider: Provider) -> None:
    token = finish(provider).refresh_token
    assert token is not None
    provider.person("248", preferred_username="alice", groups="dev")
    vouched = asyncio.run(provider.adapter.renew(token, "248"))
    assert (vouched.subject, vouched.groups, vouched.refresh_token) == ("248", frozenset({"dev"}), token)
    with pytest.raises(NotVouched, match="somebody else"):
        asyncio.run(provider.adapter.renew(token, "249"))
    provider.throw_out("248")
    with pytest.raises(NotVouched, match="invalid_grant"):
        asyncio.run(provider.adapter.renew(token, "248"))


def rotating(to: str, then: Callable[[httpx.Request, httpx.Response], httpx.Response]) -> Any:
    """Have the provider give another refresh token, and answer what is asked after that in its own way."""

    def answers(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if "token" in str(request.url):
            return httpx.Response(200, json={**answer.json(), "refresh_token": to})
        return then(request, answer)

    return answers


def away(request: httpx.Request, _answer: httpx.Response) -> httpx.Response:
    raise httpx.ConnectError("Connection refused", request=request)


def broken(_request: httpx.Request, _answer: httpx.Response) -> httpx.Response:
    return httpx.Response(500)


@pytest.mark.parametrize("then", [away, broken])
def test_a_refresh_token_is_not_lost_where_the_rest_of_a_renewal_fails(provider: Provider, then: Any) -> None:
    token = finish(provider).refresh_token
    assert token is not None
    provider.answers = rotating("another refresh", then)
    with pytest.raises(HalfRenewed) as failed:
        asyncio.run(provider.adapter.renew(token, "248"))
    assert failed.value.refresh_token == "another refresh"
    assert "another refresh" not in f"{failed.value!r} {failed.value}"
    provider.answers = rotating(token, then)
    with pytest.raises(Unavailable) as same:
        asyncio.run(provider.adapter.renew(token, "248"))
    assert not isinstance(same.value, HalfRenewed)


def answering(path: str, status: int, **said: Any) -> Callable[[httpx.Request, httpx.Response], httpx.Response]:
    return lambda request, answer: httpx.Response(status, json=said) if path in str(request.url) else answer


EMPTY = [
    pytest.param(answering("token", 200), Unavailable, "as it should", id="nothing"),
    pytest.param(answering("token", 200, id_token="x.y"), Unavailable, "as it should", id="no access token"),
    pytest.param(answering("token", 200, access_token=7), Unavailable, "as it should", id="no text"),
    pytest.param(answering("token", 200, error="invalid_grant"), NotVouched, "invalid_grant", id="refused as if not"),
    pytest.param(
        answering("token", 200, error="access_denied", access_token="x"), NotVouched, "access_denied", id="both at once"
    ),
    pytest.param(answering("token", 200, error={}), Unavailable, "not accept", id="an error that is none"),
]
"""Answers with the status of a success that give nothing."""


@pytest.mark.parametrize(
    ("answers", "error", "why"),
    [
        pytest.param(answering("token", 400, error="invalid_grant"), NotVouched, "invalid_grant", id="refused"),
        pytest.param(answering("token", 401, error="invalid_client"), Unavailable, "not accept", id="we are refused"),
        pytest.param(answering("token", 400, error=f"<{SECRET}>"), Unavailable, "not accept", id="no known error"),
        pytest.param(answering("token", 500), Unavailable, "as it should", id="broken"),
        pytest.param(answering("token", 302), Unavailable, "as it should", id="a redirect"),
        pytest.param(answering("token", 200, access_token="x"), NotVouched, "no ID token", id="nothing signed"),
        pytest.param(answering("token", 200, access_token="x", id_token="x.y"), NotVouched, "trusted", id="nonsense"),
        *EMPTY,
        pytest.param(answering("jwks", 200, keys="no"), NotVouched, "missing_key", id="no keys"),
        pytest.param(answering("userinfo", 401), NotVouched, "access_denied", id="refused besides"),
        pytest.param(answering("userinfo", 200, sub="249"), NotVouched, "somebody else", id="about another"),
    ],
)
def test_what_is_answered_otherwise_has_a_meaning(
    provider: Provider, answers: Any, error: type[Exception], why: str
) -> None:
    provider.answers = answers
    with pytest.raises(error) as refused:
        finish(provider)
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(("answers", "error", "why"), EMPTY)
def test_what_gives_nothing_does_not_vouch_again(
    provider: Provider, answers: Any, error: type[Exception], why: str
) -> None:
    token = finish(provider).refresh_token
    assert token is not None
    provider.answers = answers
    with pytest.raises(error, match=why):
        asyncio.run(provider.adapter.renew(token, "248"))


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": "http://evil.example"}, id="another issuer"),
        pytest.param({"issuer": ISSUER}, id="nowhere to go"),
        pytest.param({"issuer": ISSUER, "authorization_endpoint": "http://far.example/"}, id="unencrypted"),
        pytest.param({"issuer": ISSUER, "authorization_endpoint": "javascript:alert(1)"}, id="a script"),
    ],
)
def test_a_provider_that_is_not_as_it_should_be_is_not_used(provider: Provider, metadata: dict[str, str]) -> None:
    provider.answers = answering("openid-configuration", 200, **metadata)
    with pytest.raises(Unavailable):
        begin(provider)


@pytest.mark.parametrize(
    ("besides", "groups"),
    [
        pytest.param({"sub": "248"}, None, id="it says nothing of groups"),
        pytest.param({"sub": "248", "groups": []}, frozenset(), id="it says that they are in none"),
        pytest.param({"sub": "248", "groups": ["ops"]}, frozenset({"ops"}), id="it says which"),
    ],
)
def test_a_renewal_that_signs_nothing_says_of_groups_what_is_said_besides(
    provider: Provider, besides: dict[str, Any], groups: frozenset[str] | None
) -> None:
    token = finish(provider).refresh_token
    assert token is not None

    def answers(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if "userinfo" in str(request.url):
            return httpx.Response(200, json=besides)
        said = {name: value for name, value in answer.json().items() if name != "id_token"}
        return httpx.Response(answer.status_code, json=said)

    provider.answers = answers
    assert asyncio.run(provider.adapter.renew(token, "248")).groups == groups


def test_who_signs_in_is_in_no_group_where_none_is_said(provider: Provider) -> None:
    provider.person("248", preferred_username="alice")
    assert finish(provider).groups == frozenset()


def test_a_provider_that_is_away_is_away(provider: Provider) -> None:
    token = finish(provider).refresh_token
    assert token is not None
    provider.away = True
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(provider.adapter.renew(token, "248"))


def test_one_that_takes_too_long_is_away() -> None:
    provider = Provider(now, timeout=0.01)

    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    provider.handle_async_request = never  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="does not answer"):
        begin(provider)


def test_a_browser_can_sign_out_there_too(provider: Provider) -> None:
    url = urlsplit(asyncio.run(provider.adapter.leave("https://signoff.example/signoff/sign-in")))
    assert url.path == "/oauth2/end_session"
    assert parse_qs(url.query)["post_logout_redirect_uri"] == ["https://signoff.example/signoff/sign-in"]
    other = Provider(now)
    other.answers = answering("openid-configuration", 200, issuer=ISSUER)
    assert asyncio.run(other.adapter.leave("https://signoff.example/")) == ""
