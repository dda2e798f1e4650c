"""``signoff automation``: what it asks, and what it prints."""

from __future__ import annotations

import pytest

from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

ACCOUNTS = "/api/extras/automation-accounts/"


def test_the_list_has_the_account_of_each(signoff: Run, server: Told) -> None:
    server.body = said.page(said.bound())
    printed = signoff("automation", "list", "--user", "alice", "--sort", "name")
    assert [line.split()[:4] for line in printed.out.splitlines()] == [
        ["automation", "name", "user", "bound_by"],
        [server.body["results"][0]["id"], "nightly", "alice", "bob"],
    ]
    assert server.asked == [("GET", f"{ACCOUNTS}?limit=50&depth=1&user=alice&sort=name", None)]
    assert signoff("automation", "list", "--json").json == server.body["results"]


@pytest.mark.parametrize(
    ("words", "body", "text"),
    [
        pytest.param((), {"automation": "a"}, "Bound “nightly” to your account, until it is changed.\n", id="mine"),
        pytest.param(
            ("--user", "carol"),
            {"automation": "a", "user": "carol"},
            "Bound “nightly” to carol, until it is changed.\n",
            id="another one's",
        ),
    ],
)
def test_what_is_bound_is_told(
    signoff: Run, server: Told, words: tuple[str, ...], body: dict[str, str], text: str
) -> None:
    server.body = said.bound()
    printed = signoff("automation", "bind", "a", *words)
    assert (printed.status, printed.out) == (0, text)
    assert server.asked == [("POST", ACCOUNTS, body)]
    assert signoff("automation", "bind", "a", *words, "--json").json == server.body


def test_what_is_unbound_is_told_and_what_is_not_there_too(signoff: Run, server: Told) -> None:
    server.status = 204
    assert signoff("automation", "unbind", "a").out == "Unbound “a”.\n"
    server.status, server.body = 404, {"detail": "Not found."}
    printed = signoff("automation", "unbind", "b")
    assert (printed.status, printed.err) == (1, "error: b: Not found.\n")
    assert server.asked == [("DELETE", f"{ACCOUNTS}{each}/", None) for each in "ab"]
