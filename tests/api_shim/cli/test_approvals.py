"""``signoff queue``, ``approve``, ``deny`` and ``dry-run``, as they are typed: what they ask a server, what they print.

That the real one says the same is for the acceptance tests.
"""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.cli import approvals
from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

ROW, RESULT = said.scheduled(), said.result()
ID = ROW["id"]
ONCE = {"interval": "future", "one_off": True}
MAY_NOT = {"may_approve": False, "why_not_approve": "You cannot approve your own job request!"}


# The queue


def test_the_queue_is_a_table(signoff: Run, server: Told) -> None:
    server.body = said.page(said.waiting(), said.waiting("[b]x[/b]", requested_by="", **MAY_NOT))
    printed = signoff("queue")
    assert (printed.status, printed.err) == (0, "")
    columns = ["id", "name", "job", "requested by", "when", "may approve"]
    when_due = "daily from 2100-01-31 19:00 Europe/Berlin"
    assert [[cell.strip() for cell in line.rstrip().split("  ") if cell] for line in printed.out.splitlines()] == [
        columns,
        [ID, "nightly", "flows.examples.BackUp", "alice", when_due, "yes"],
        [str(said.id_of("[b]x[/b]")), "[b]x[/b]", "flows.examples.BackUp", "-", when_due, MAY_NOT["why_not_approve"]],
    ]


def test_the_queue_as_json_is_what_the_server_says(signoff: Run, server: Told) -> None:
    server.body = said.page(said.waiting())
    assert signoff("queue", "--json").json == [said.waiting()]
    server.body = said.page()
    assert signoff("queue", "--json").json == []


def test_requests_are_listed_with_what_was_decided(signoff: Run, server: Told) -> None:
    server.body = said.page(said.approval_request())
    told = signoff("requests", "--state", "denied").out
    assert server.asked[-1][:2] == ("GET", "/api/extras/approval-requests/?limit=50&state=denied")
    for each in ("nightly", "denied", "bob", "Not today."):
        assert each in told
    server.body = said.page()
    assert signoff("requests").out == "There are no requests that you can view.\n"


def test_an_empty_queue_is_told(signoff: Run, server: Told) -> None:
    server.body = said.page()
    assert signoff("queue").out == "No requests are waiting for approval.\n"


# The decisions


@pytest.mark.parametrize(
    ("words", "answer", "path", "body", "sentence"),
    [
        pytest.param(
            ("dry-run", "nightly"),
            RESULT,
            "nightly/dry-run/",
            {},
            f"Started a dry run of “nightly”: {RESULT['url']}",
            id="dry-run",
        ),
    ],
)
def test_a_decision_is_sent_and_told(
    signoff: Run,
    server: Told,
    words: tuple[str, ...],
    answer: dict[str, Any],
    path: str,
    body: dict[str, Any],
    sentence: str,
) -> None:
    server.body = answer
    printed = signoff(*words)
    assert (printed.status, printed.out, printed.err) == (0, f"{sentence}\n", "")
    assert server.asked == [("POST", f"/api/extras/scheduled-jobs/{path}", body)]
    assert signoff(*words, "--json").json == answer


# Approving


SHOWN = """\
request        nightly
job            flows.examples.BackUp
requested by   alice
runs as        carol
interval       daily
queue          default
input keep     7 (was 14)
input path     "/a\\n/b" (new)
input old      removed (was true)
compared with  weekly, approved by bob at 2100-01-01 00:00:00 UTC
"""


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a terminal."""
    monkeypatch.setattr(approvals, "at_terminal", lambda: True)


def stripped(printed: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


@pytest.mark.parametrize(
    ("words", "answer", "sent", "sentence"),
    [
        pytest.param((), ROW, {"force": False, "comment": ""}, "it runs on its schedule", id="approve"),
        pytest.param(
            ("--force", "--comment", "Read it."),
            ROW | ONCE,
            {"force": True, "comment": "Read it."},
            "it runs at 2100-01-31 19:00 Europe/Berlin",
            id="approve by force, with a comment",
        ),
    ],
)
def test_what_is_approved_is_what_was_shown(
    signoff: Run, server: Told, words: tuple[str, ...], answer: Any, sent: dict[str, Any], sentence: str
) -> None:
    server.bodies, server.body = [said.review()], answer
    printed = signoff("approve", "nightly", "--yes", *words)
    assert (printed.status, printed.out) == (0, f"Approved “nightly”; {sentence}.\n")
    assert stripped(printed.err) == SHOWN
    version = {"version": ROW["approval_version"]}
    assert server.asked == [
        ("GET", "/api/extras/scheduled-jobs/nightly/review/", None),
        ("POST", f"/api/extras/scheduled-jobs/{ID}/approve/", sent | version),
    ]
    server.bodies = [said.review()]
    assert signoff("approve", "nightly", "-y", "--json", *words).json == answer


@pytest.mark.usefixtures("asks")
@pytest.mark.parametrize(
    ("typed", "status", "posts"),
    [(b"y\n", 0, 1), (b"n\n", 1, 0), (b"\n", 1, 0), (b"", 1, 0)],
    ids=["yes", "no", "nothing", "no answer"],
)
def test_it_asks_at_a_terminal(signoff: Run, server: Told, typed: bytes, status: int, posts: int) -> None:
    server.bodies, server.body = [said.review()], ROW
    printed = signoff("approve", "nightly", stdin=typed)
    assert printed.status == status
    assert "Approve this? [y/N]:" in printed.err
    assert len([method for method, _, _ in server.asked if method == "POST"]) == posts


def test_without_a_terminal_it_needs_yes(signoff: Run, server: Told) -> None:
    assert signoff("approve", "nightly").refusal == approvals.NOBODY_TO_ASK
    assert server.asked == []


def test_what_is_denied_is_what_was_shown(signoff: Run, server: Told) -> None:
    server.bodies, server.body = [said.review()], ROW
    printed = signoff("deny", "a/b", "--yes", "--comment", "Not today.")
    assert (printed.status, printed.out, stripped(printed.err)) == (0, "Denied “nightly”.\n", SHOWN)
    assert server.asked == [
        ("GET", "/api/extras/scheduled-jobs/a%2Fb/review/", None),
        (
            "POST",
            f"/api/extras/scheduled-jobs/{ID}/deny/",
            {"comment": "Not today.", "version": ROW["approval_version"]},
        ),
    ]
    server.bodies = [said.review()]
    assert signoff("deny", "a/b", "--yes", "--json").json == ROW


@pytest.mark.usefixtures("asks")
@pytest.mark.parametrize(
    ("typed", "comments"),
    [
        pytest.param(b"Not today.\ny\n", ["Not today."], id="why, and yes"),
        pytest.param(b"\ny\n", [""], id="yes alone"),
        pytest.param(b"Not today.\nn\n", [], id="no"),
        pytest.param(b"", [], id="no answer"),
    ],
)
def test_a_denial_asks_why_and_whether(signoff: Run, server: Told, typed: bytes, comments: list[str]) -> None:
    server.bodies, server.body = [said.review()], ROW
    printed = signoff("deny", "nightly", stdin=typed)
    assert "Why? (may be left empty):" in printed.err
    assert printed.status == (0 if comments else 1)
    assert [body["comment"] for method, _, body in server.asked if method == "POST"] == comments


def test_a_denial_that_would_be_refused_is_not_asked_about(signoff: Run, server: Told) -> None:
    assert signoff("deny", "nightly").refusal == approvals.NOBODY_TO_ASK
    server.body = said.review(row=said.waiting(why_not_deny="bob approved this request."))
    assert signoff("deny", "nightly", "--yes").refusal == "bob approved this request."
    assert [method for method, _, _ in server.asked] == ["GET"]


def test_who_stands_behind_a_request_and_what_they_say_is_shown(signoff: Run, server: Told) -> None:
    row = said.waiting(
        agent={"acts_for": "zoe"},
        automation={"id": ID, "name": "on failure", "bound_by": "carol"},
        reason="Free the disk.\nrequested by   bob",
        description="weekly",
    )
    server.bodies, server.body = [said.review(row=row)], ROW
    shown = stripped(signoff("approve", "nightly", "--yes").err).splitlines()
    for line in (
        "agent          a program that asks for zoe, who cannot approve this",
        "automation     on failure, bound by carol",
        "reason         Free the disk.",
        "               requested by   bob (in their words; nothing in it is checked)",
        "description    weekly",
    ):
        assert line in shown


@pytest.mark.parametrize(
    ("review", "sentence"),
    [
        pytest.param(said.review(row=said.waiting(why_not_approve="It is yours.")), "It is yours.", id="who may not"),
        pytest.param(said.review(past_due=True), approvals.PAST_DUE, id="a start that has passed"),
    ],
)
def test_nobody_is_asked_what_would_be_refused(signoff: Run, server: Told, review: Any, sentence: str) -> None:
    server.body = review
    assert signoff("approve", "nightly", "--yes").refusal == sentence
    assert len(server.asked) == 1


def test_what_cannot_be_shown_is_said(signoff: Run, server: Told) -> None:
    row = said.waiting(approval_note="The Job's code changed after bob approved it.")
    last = {"compared_with": None, "nothing_to_compare": "There is nothing to compare with."}
    server.bodies, server.body = [said.review(row=row, runs_as="", inputs=[], **last)], ROW
    shown = stripped(signoff("approve", "nightly", "--yes").err)
    assert "runs as        nobody: its owner has been removed\n" in shown
    assert "inputs         none, or hidden because they may be sensitive\n" in shown
    assert "compared with  There is nothing to compare with.\n" in shown
    assert "note           The Job's code changed after bob approved it.\n" in shown
