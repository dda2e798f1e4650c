"""What protects the pages, over HTTP: sessions, cookies, forms, headers, and where somebody is sent.

The rows are made from the routes themselves, so that a page that is new is protected like the others or fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from api_shim.domain.accounts import COOKIE
from api_shim.domain.slowdown import TOO_MANY
from api_shim.services.sessions import WRONG
from api_shim.web.credentials import cookie_name
from api_shim.web.pages import HEADERS, ROUTERS
from api_shim.web.pages.sign_in import FORM_COOKIE
from api_shim.web.pages.visit import OUT_OF_DATE, within
from tests.acceptance.people import People
from tests.live import Live

pytestmark = pytest.mark.slow

SIGN_IN, HOME = "/signoff/sign-in", "/signoff/jobs"
OPEN = {
    SIGN_IN,
    *(f"{SIGN_IN}/{rest}" for rest in ("provider", "callback", "command-line/token")),
    "/signoff/signed-out",
}
"""Where nobody is signed in yet, or any more: a browser, and a command line with its code."""
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def paths(method: str) -> list[str]:
    """Return the addresses that take a method, each with ids of nothing."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    found = {re.sub(r"\{[^}]+\}", "{}", route.path) for route in routes if method in route.methods}
    return sorted(found - OPEN)


PAGES, POSTS = paths("GET"), paths("POST")


def at(path: str) -> str:
    return path.replace("{}", str(uuid4()))


class Browser:
    """What a browser does, without one.

    Args:
        live: the server.
        headers: what a proxy adds.
    """

    def __init__(self, live: Live, **headers: str) -> None:
        self.client = httpx.Client(base_url=live.origin, headers=headers, timeout=60)

    def sign_in(self, who: str, secret: str, wanted: str = "", form: dict[str, str] | None = None) -> httpx.Response:
        """Open the page to sign in, fill in its form, and send it."""
        page = self.client.get(SIGN_IN, params={"next": wanted} if wanted else {})
        sent = {"csrf": csrf_in(page), "next": next_in(page), "username": who, "secret": secret, **(form or {})}
        return self.client.post(SIGN_IN, data=sent)

    @property
    def csrf(self) -> str:
        """What the forms of this session carry."""
        return csrf_in(self.client.get(HOME))

    @property
    def is_in(self) -> bool:
        return self.client.get(HOME).status_code == 200

    def post(self, path: str, **sent: str) -> httpx.Response:
        return self.client.post(path, data=sent)


def csrf_in(page: httpx.Response) -> str:
    found = CSRF.search(page.text)
    assert found, page.text
    return found[1]


def next_in(page: httpx.Response) -> str:
    found = re.search(r'name="next" value="([^"]*)"', page.text)
    assert found
    return found[1].replace("&amp;", "&")


def cookie_in(answer: httpx.Response, name: str) -> Morsel[str]:
    for header in answer.headers.get_list("set-cookie"):
        cookies = SimpleCookie(header)
        if name in cookies:
            return cookies[name]
    raise AssertionError(f"{name} is not set.")


@contextmanager
def opened(live: Live, who: str | None = "admin", secret: str = "", **headers: str) -> Iterator[Browser]:
    """Open a browser, and sign somebody in with it."""
    browser = Browser(live, **headers)
    with browser.client:
        if who is not None:
            answer = browser.sign_in(who, secret or live.key(who))
            assert answer.status_code == 303, answer.text
        yield browser


@pytest.fixture(scope="module")
def admin(live: Live) -> Iterator[Browser]:
    with opened(live) as browser:
        yield browser


@pytest.fixture(scope="module")
def nobody(live: Live) -> Iterator[Browser]:
    with opened(live, None) as browser:
        yield browser


def job_id(live: Live, name: str) -> str:
    with live.client() as client:
        found: str = client.get(f"/api/extras/jobs/{quote(name)}/").json()["id"]
        return found


# Cookies


@pytest.mark.parametrize(("proto", "secure"), [("http", ""), ("https", True)], ids=["http", "https behind a proxy"])
def test_cookies_are_for_this_origin_and_not_for_scripts(live: Live, proto: str, secure: Any) -> None:
    with opened(live, None, **{"X-Forwarded-Proto": proto}) as browser:
        page = browser.client.get(SIGN_IN)
        form = cookie_in(page, cookie_name(FORM_COOKIE, secure=bool(secure)))
        # Over https the client would keep a secure cookie to itself, so it is sent by hand.
        sent = {"csrf": csrf_in(page), "username": "admin", "secret": live.key("admin")}
        answer = browser.client.post(SIGN_IN, data=sent, headers={"Cookie": f"{form.key}={form.value}"})
        session = cookie_in(answer, cookie_name(COOKIE, secure=bool(secure)))
        for cookie, path in ((form, "/" if secure else SIGN_IN), (session, "/")):
            flags = (cookie["httponly"], cookie["samesite"], cookie["secure"], cookie["path"], cookie["domain"])
            assert flags == (True, "lax", secure, path, "")
        assert cookie_in(answer, form.key)["max-age"] == "0"


def test_a_session_over_tls_that_was_begun_without_the_prefix_goes_on_and_ends(live: Live) -> None:
    with opened(live) as browser:
        key, csrf = browser.client.cookies[COOKIE], browser.csrf
    with opened(live, None, **{"X-Forwarded-Proto": "https", "Cookie": f"{COOKIE}={key}"}) as browser:
        assert browser.is_in
        ended = browser.client.post("/signoff/sign-out", data={"csrf": csrf})
        for secure in (False, True):
            cookie = cookie_in(ended, cookie_name(COOKIE, secure=secure))
            assert (cookie["max-age"], cookie["path"], cookie["secure"]) == ("0", "/", True if secure else "")
        assert not browser.is_in


def test_a_session_that_was_there_before_signing_in_is_not_kept(live: Live) -> None:
    with opened(live, None) as browser:
        browser.client.cookies.set(COOKIE, "planted", domain="127.0.0.1", path="/")
        key = cookie_in(browser.sign_in("admin", live.key("admin")), COOKIE).value
        assert key != "planted"
    with opened(live, None) as other:
        other.client.cookies.set(COOKIE, "planted")
        assert not other.is_in


def test_to_sign_in_again_changes_the_key_and_ends_the_session_before(live: Live) -> None:
    with opened(live) as browser, opened(live, None) as other:
        first = browser.client.cookies[COOKIE]
        second = cookie_in(browser.sign_in("admin", live.key("admin")), COOKIE).value
        assert first != second
        assert browser.is_in
        other.client.cookies.set(COOKIE, first)
        assert not other.is_in


def test_a_session_is_no_token_and_a_token_no_session(live: Live, admin: Browser) -> None:
    key = admin.client.cookies[COOKIE]
    with httpx.Client(base_url=live.origin) as client:
        assert client.get("/api/extras/jobs/", headers={"Authorization": f"Token {key}"}).status_code == 403
    with httpx.Client(base_url=live.origin, cookies={COOKIE: key}) as client:
        assert client.get("/api/extras/jobs/").status_code == 403
    with httpx.Client(base_url=live.origin, headers={"Authorization": f"Token {live.key('admin')}"}) as client:
        assert client.get(HOME).status_code == 303
    with httpx.Client(base_url=live.origin, cookies={COOKIE: live.key("admin")}) as client:
        assert client.get(HOME).status_code == 303


# Forms


@pytest.mark.parametrize("path", POSTS)
def test_a_form_that_is_not_of_this_session_changes_nothing(live: Live, admin: Browser, path: str) -> None:
    with opened(live, "alice") as other:
        strange = other.csrf
    for sent in ({}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": strange}, {"csrf": "\u00e9\0"}):
        answer = admin.post(at(path), **sent)
        assert (answer.status_code, OUT_OF_DATE in answer.text) == (403, True)
    as_json = admin.client.post(at(path), json={"csrf": admin.csrf})
    in_query = admin.client.post(at(path), params={"csrf": admin.csrf})
    assert (as_json.status_code, in_query.status_code) == (403, 403)
    assert admin.is_in


@pytest.mark.parametrize("path", POSTS)
def test_a_form_without_a_session_goes_to_the_page_to_sign_in(nobody: Browser, path: str) -> None:
    answer = nobody.post(at(path), csrf="any")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{SIGN_IN}?next={HOME}")


@pytest.mark.parametrize("cookie", ["", "another"])
def test_nobody_is_signed_in_by_a_form_of_another_page(live: Live, cookie: str) -> None:
    with opened(live, None) as browser:
        csrf = csrf_in(browser.client.get(SIGN_IN))
        browser.client.cookies.clear()
        if cookie:
            browser.client.cookies.set(FORM_COOKIE, cookie)
        answer = browser.post(SIGN_IN, csrf=csrf, username="admin", secret=live.key("admin"))
        assert (answer.status_code, OUT_OF_DATE in answer.text) == (403, True)
        assert not browser.is_in


def test_what_is_typed_to_sign_in_is_escaped_and_the_secret_is_not_shown(live: Live) -> None:
    with opened(live, None, **{"X-Forwarded-For": "198.51.100.7"}) as browser:
        answer = browser.sign_in('"><script>alert(1)</script>', "sesame open", wanted=f'{HOME}?q="><b>')
        assert (answer.status_code, WRONG in answer.text) == (403, True)
        assert "<script>alert" not in answer.text
        assert "<b>" not in answer.text
        assert "sesame" not in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x=" + b"x" * 30_000, "application/x-www-form-urlencoded", 413),
        (b"no parts", "multipart/form-data", 400),
        (b"no parts", "multipart/form-data; boundary=x", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="username"; filename="a"\r\n\r\na\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            400,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n+2AA-\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=utf-7",
            403,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n+2AA-\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=utf-7",
            403,
        ),
        (b"\xff=\xff&username=%00%ff", "application/x-www-form-urlencoded", 403),
    ],
    ids=["too large", "no boundary", "cut off", "a file", "no text", "no text where it is compared", "no letters"],
)
def test_what_is_no_form_is_refused_on_a_page(
    nobody: Browser, admin: Browser, content: bytes, kind: str, status: int
) -> None:
    answer = nobody.client.post(SIGN_IN, content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "server log" not in answer.text
    answer = admin.client.post(f"{HOME}/{uuid4()}/run", content=content, headers={"Content-Type": kind})
    assert answer.status_code in {400, 403}


# Headers


def check_headers(answer: httpx.Response) -> None:
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["cache-control"] == "no-store"


def test_nothing_is_loaded_from_elsewhere_and_nobody_may_frame_a_page() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert {value for name, value in policy.items() if name.endswith("-src")} == {"'none'", "'self'"}
    assert HEADERS["X-Frame-Options"] == "DENY"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", [SIGN_IN, *PAGES])
def test_every_page_says_what_a_browser_may_do_with_it(admin: Browser, nobody: Browser, path: str) -> None:
    check_headers(admin.client.get(at(path)))
    check_headers(nobody.client.get(at(path)))


def test_every_error_says_it_too(admin: Browser, nobody: Browser) -> None:
    job = f"{HOME}/{uuid4()}"
    errors = {
        404: admin.client.get(f"{job}/run"),
        403: admin.post(f"{job}/enabled"),
        400: admin.client.post(f"{job}/run", content=b"", headers={"Content-Type": "multipart/form-data"}),
        413: nobody.client.post(SIGN_IN, data={"x": "x" * 30_000}),
        303: nobody.client.get(HOME),
    }
    for status, answer in errors.items():
        assert answer.status_code == status
        check_headers(answer)
    for method, path in (("GET", "/signoff/nothing"), ("DELETE", HOME), ("GET", f"{HOME}/no-id/run")):
        answer = admin.client.request(method, path)
        assert answer.status_code == 404
        check_headers(answer)


def test_files_of_the_pages_are_nothing_but_those(nobody: Browser) -> None:
    answer = nobody.client.get("/signoff/static/style.css")
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    for path in ("/signoff/static/..%2fvisit.py", "/signoff/static/../visit.py", "/signoff/static/", "/signoff/static"):
        assert nobody.client.get(path).status_code in {303, 404}


# Where somebody goes


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_who_is_not_signed_in_to_do_so_and_then_is_shown(live: Live, nobody: Browser, path: str) -> None:
    if path == "/signoff":
        assert nobody.client.get(path).headers["location"] == HOME
        return
    wanted = f"{at(path)}?q=a%20b&offset=0"
    answer = nobody.client.get(wanted)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{SIGN_IN}?next={quote(wanted)}"
    with opened(live, None) as browser:
        page = browser.client.get(answer.headers["location"])
        sent = {"csrf": csrf_in(page), "next": next_in(page), "username": "admin", "secret": live.key("admin")}
        assert browser.post(SIGN_IN, **sent).headers["location"] == wanted


ELSEWHERE = [
    *("//evil.example", "https://evil.example", "https:evil.example", "/\\evil.example", "\\\\evil.example"),
    *("/signoff/..//evil.example", "/signoff//evil.example", "/signoff/%2e%2e//evil.example", "/signoff/../api/"),
    *("/signoff/..\\evil.example", "/signoff/jobs/%5c..%5cevil", "/signoff/./jobs", "/signoff", "/api/", "jobs", "/"),
    *("javascript:alert(1)", " /signoff/jobs", "/signoff/jobs\r\nSet-Cookie: a=b", "/signoff/\t/evil.example"),
    *("/signoffs/jobs", "//[", "http://[", "", "/signoff/jobs\0", "/signoff/%2f/evil.example"),
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_nobody_is_sent_elsewhere(wanted: str) -> None:
    assert within(wanted) == HOME


@pytest.mark.parametrize("wanted", ["/signoff/results", "/signoff/jobs/1/run?a=//b&c=..", "/signoff/jobs?q=%2F%2e%2e"])
def test_one_is_sent_where_one_wanted_to_go(wanted: str) -> None:
    assert within(wanted) == wanted


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "//["])
def test_who_signs_in_is_not_sent_elsewhere_whatever_the_form_says(live: Live, wanted: str) -> None:
    with opened(live, None) as browser:
        answer = browser.sign_in("admin", live.key("admin"), wanted, {"next": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, HOME)


# Who may


def until_slowed(browser: Browser, name: str) -> httpx.Response:
    """Sign in with a wrong password again and again, and return the first answer that tells to wait."""
    for _ in range(30):
        answer = browser.sign_in(name, "wrong")
        if answer.status_code == 429:
            break
        assert answer.status_code == 403
    return answer


def test_who_tries_again_and_again_is_told_to_wait_and_keeps_nobody_out(live: Live, people: People) -> None:
    name = people.add()
    people.identity.set_password(name, "correct horse", datetime.now(UTC))
    with opened(live, None) as browser:
        browser.client.headers["X-Forwarded-For"] = "198.51.100.1"
        answer = until_slowed(browser, name)
        assert (answer.status_code, TOO_MANY in answer.text) == (429, True)
        assert f"Please try again in {answer.headers['Retry-After']} seconds." in answer.text
        assert not browser.is_in
        assert browser.sign_in(name, live.key(name)).status_code == 303, "a key is not slowed"
        browser.client.headers["X-Forwarded-For"] = "198.51.100.99"
        assert browser.sign_in(name, "correct horse").status_code == 303, "nor is who comes from elsewhere kept out"


def test_an_address_that_only_says_so_is_not_believed_beyond_the_proxy(live: Live, people: People) -> None:
    name = people.add()
    with opened(live, None) as browser:
        # What a client says comes first; what our proxy adds, last.
        browser.client.headers["X-Forwarded-For"] = "203.0.113.1, 198.51.100.200"
        until_slowed(browser, name)
        browser.client.headers["X-Forwarded-For"] = "203.0.113.2, 198.51.100.200"
        assert browser.sign_in(name, "wrong").status_code == 429


def test_to_sign_out_ends_the_session_on_the_server(live: Live) -> None:
    with opened(live) as browser, opened(live, None) as thief:
        thief.client.cookies.set(COOKIE, browser.client.cookies[COOKIE])
        assert thief.is_in
        answer = browser.post("/signoff/sign-out", csrf=browser.csrf)
        assert (answer.status_code, answer.headers["location"]) == (303, SIGN_IN)
        assert cookie_in(answer, COOKIE)["max-age"] == "0"
        assert not thief.is_in
        assert not browser.is_in


def test_looking_signs_nobody_out(live: Live) -> None:
    with opened(live) as browser:
        assert browser.client.get("/signoff/sign-out").status_code == 404
        assert browser.is_in


def test_whoever_is_deactivated_is_signed_out(live: Live, people: People) -> None:
    name = people.add(("extras.job", "view", None))
    with opened(live, name) as browser, live.client() as client:
        assert browser.is_in
        assert client.patch(f"/api/users/users/{people.id_of(name)}/", json={"is_active": False}).status_code == 200
        assert not browser.is_in
        assert browser.sign_in(name, live.key(name)).status_code == 403


def test_whoever_loses_their_token_is_signed_out(live: Live, people: People) -> None:
    name = people.add(("extras.job", "view", None))
    with opened(live, name) as browser, live.client() as client:
        assert browser.is_in
        [token] = people.token_ids(name)
        assert client.delete(f"/api/users/tokens/{token}/").status_code == 204
        assert not browser.is_in


@pytest.mark.parametrize("path", [path for path in POSTS if path != "/signoff/sign-out"])
def test_who_signs_in_with_a_token_that_only_reads_changes_nothing(live: Live, people: People, path: str) -> None:
    name = people.add(superuser=True)
    with opened(live, name, people.token(name, write_enabled=False)) as browser:
        greet = f"{HOME}/{job_id(live, 'Greet')}"
        address = path.replace(f"{HOME}/{{}}", greet)
        chosen = {"id": str(uuid4()), "confirmed": "yes"}
        answer = browser.post(at(address), csrf=browser.csrf, enabled="no", interval="immediately", **chosen)
        # To preview changes nothing, and a command line would get a token that only reads, too; all else is refused,
        # or is about nothing.
        last = path.rpartition("/")[2]
        assert answer.status_code in {"preview": {200}, "command-line": {400}}.get(last, {403, 404})
        page = browser.client.get(HOME)
        assert "Disable" not in page.text
        assert f'href="{greet}"' in page.text
        assert "disabled" in browser.client.get(f"{greet}/run").text
    with live.client() as client:
        assert client.get("/api/extras/jobs/Greet/").json()["enabled"]


def test_who_may_see_no_jobs_is_told_so_on_a_page(live: Live, people: People) -> None:
    with opened(live, people.add()) as browser:
        answer = browser.client.get(HOME)
        assert answer.status_code == 403
        assert "You do not have permission" in answer.text
        check_headers(answer)
