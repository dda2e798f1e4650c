"""``signoff queue``, ``approve``, ``deny`` and ``dry-run``, as they are typed: what they ask a server, what they print.

That the real one says the same is for the acceptance tests.
"""

from __future__ import annotations

from typing import Any

import pytest

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


def test_an_empty_queue_is_told(signoff: Run, server: Told) -> None:
    server.body = said.page()
    assert signoff("queue").out == "No requests are waiting for approval.\n"


# The decisions


@pytest.mark.parametrize(
    ("words", "answer", "path", "body", "sentence"),
    [
        pytest.param(
            ("approve", "nightly"),
            ROW,
            "nightly/approve/",
            {"force": False, "comment": ""},
            "Approved «nightly»; it runs on its schedule.",
            id="approve",
        ),
        pytest.param(
            ("approve", ID, "--force", "--comment", "Read it."),
            ROW | ONCE,
            f"{ID}/approve/",
            {"force": True, "comment": "Read it."},
            "Approved «nightly»; it runs at 2100-01-31 19:00 Europe/Berlin.",
            id="approve by force, with a comment",
        ),
        pytest.param(
            ("deny", "a/b", "--comment", "Not today."),
            ROW | {"name": "a/b"},
            "a%2Fb/deny/",
            {"comment": "Not today."},
            "Denied «a/b».",
            id="deny",
        ),
        pytest.param(
            ("dry-run", "nightly"),
            RESULT,
            "nightly/dry-run/",
            {},
            f"Started a dry run of «nightly»: {RESULT['url']}",
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
