"""Several requests decided at once: what is asked, what is bound to it, and what is told of each."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api_shim.domain.accounts import Permission, PermissionUser
from api_shim.domain.model import ApprovalRequest, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.services.approvals import SAY_WHY
from api_shim.store import Store
from api_shim.web.pages.approval_queue import GONE
from api_shim.web.pages.decisions import PAST_DUE_SINCE
from approval_gate.policy import CHANGED
from tests.api_shim.origin import Origin
from tests.api_shim.services.test_stored_inputs import CODE, TOO_GREAT
from tests.api_shim.web.pages.test_approval_queue import QUEUE, Desk
from tests.conftest import Clock
from tests.factories import NOW

DECISIONS = f"{QUEUE}/decisions"


class Several(Desk):
    """A desk where several requests are decided about at once."""

    def confirms(self, what: str, rows: Iterable[ScheduledJob], who: str = "bob") -> httpx.Response:
        ids = "".join(f"&id={row.id}" for row in rows)
        return self.sees(f"/decisions?decision={what}{ids}", who)

    def decides(self, page: httpx.Response, who: str = "bob", **form: Any) -> httpx.Response:
        """Send the form of a page, with what is typed into it."""
        asked = {"decision": values(page, "decision")[0], "back": QUEUE}
        fields = {name: values(page, name) for name in ("id", "seen", "past_due")}
        return self.does("/decisions", who, {**asked, **fields, **form})

    def states(self) -> dict[str, str]:
        """Return the state of each request, with the comment."""
        with self.origin.store.transaction(write=False) as tx:
            return {each.name: f"{each.state} {each.comment}".strip() for each in tx.all(ApprovalRequest)}


def values(page: httpx.Response, name: str) -> list[str]:
    """Return the values of the hidden fields of this name."""
    parts = page.text.split(f'<input type="hidden" name="{name}" value="')[1:]
    return [html.unescape(part.partition('"')[0]) for part in parts]


def text(page: httpx.Response) -> str:
    return html.unescape(page.text)


@pytest.fixture
def desk(sqlite_store: Store, clock: Clock) -> Several:
    return Several(Origin(sqlite_store, clock, follows=False))


def within(page: str) -> str:
    """Return what a page says between its header and its footer."""
    return page.partition("<main")[2].partition("</main>")[0]


def test_one_page_shows_each_request_with_its_inputs_and_what_changes(desk: Several) -> None:
    first = desk.asks("first", inputs={"file": "a.db"})
    desk.decides(desk.confirms("approve", [first]))
    rows = [desk.asks("second", inputs={"file": "b.db"}), desk.asks("third", inputs={"file": "a.db"})]
    shown = desk.confirms("approve", rows)
    assert "Approve these 2 requests?" in shown.text
    assert shown.text.count("Compared with first, approved by bob") == 2
    for each in (">second</a>", ">third</a>", "b.db", '<tr class="changed">', '<tr class="same">'):
        assert each in shown.text


def test_each_is_shown_with_who_asks_why_and_what_would_go_wrong(desk: Several) -> None:
    desk.job = desk.origin.job(**CODE, approval_required=True, description="Counts <things>.")
    words = {"reason": "It is <urgent>.", "description": "For the\nweekend"}
    rows = [
        desk.asks("odd", inputs={"i": 50}, agent={"for": "zoe"}, **words),
        desk.asks("plain", inputs={"i": 5}, requested_from=uuid4()),
    ]
    odd, plain = desk.confirms("approve", rows).text.split('<section class="card"')[1:3]
    told = ["Its runs would fail", TOO_GREAT, "for <strong>zoe</strong>", "It is &lt;urgent&gt;.", "For the<br>weekend"]
    assert [each for each in told if each not in odd or each in plain] == []
    for each in (odd, plain):
        assert "Counts &lt;things&gt;." in each
    assert "alice</a>, from a run</dd>" in plain


def test_all_are_approved_with_one_comment(desk: Several) -> None:
    page = desk.confirms("approve", [desk.asks("a"), desk.asks("b")])
    answer = desk.decides(page, comment="window agreed")
    assert "2 of 2 requests were decided" in answer.text
    assert desk.states() == {"a": "approved window agreed", "b": "approved window agreed"}


def test_denials_need_a_comment_and_without_one_nothing_is_denied(desk: Several) -> None:
    page = desk.confirms("deny", [desk.asks("a"), desk.asks("b")])
    assert " required>" in page.text
    again = desk.decides(page, comment=" ")
    assert (again.status_code, SAY_WHY in text(again)) == (400, True)
    assert desk.states() == {"a": "pending", "b": "pending"}
    desk.decides(again, comment="not today")
    assert desk.states() == {"a": "denied not today", "b": "denied not today"}


def test_a_comment_that_cannot_be_kept_is_shown_again(desk: Several) -> None:
    page = desk.confirms("approve", [desk.asks("a")])
    again = desk.decides(page, comment="x" * 2001)
    assert (again.status_code, "x" * 2001 in again.text) == (400, True)
    assert desk.states() == {"a": "pending"}


def test_who_asked_withdraws_several_without_a_word_and_approves_none(desk: Several) -> None:
    rows = [desk.asks("a"), desk.asks("b")]
    refused = desk.confirms("approve", rows, who="alice")
    assert "Nothing to approve" in refused.text
    assert refused.text.count("You cannot approve your own job request!") == 2
    answer = desk.decides(desk.confirms("deny", rows, who="alice"), who="alice")
    assert answer.text.count("withdrawn by you") == 2
    assert desk.states() == {"a": "withdrawn", "b": "withdrawn"}


def test_what_has_changed_since_it_was_shown_is_not_decided_about_and_the_rest_is(desk: Several) -> None:
    changed, other, gone = desk.asks("changed"), desk.asks("other"), desk.asks("gone")
    page = desk.confirms("approve", [changed, other, gone])
    with desk.origin.store.transaction() as tx:
        tx.change(changed, inputs={"file": "elsewhere"}, edited=True)
        tx.remove(gone)
    answer = desk.decides(page)
    assert "1 of 3 requests were decided" in answer.text
    assert f">changed</a>: {CHANGED}" in text(answer)
    assert GONE in answer.text
    assert {name: state for name, state in desk.states().items() if name != "gone"} == {
        "changed": "pending",
        "other": "approved",
    }


def test_what_was_decided_since_names_who_did(desk: Several) -> None:
    row = desk.asks("a")
    page = desk.confirms("approve", [row])
    desk.origin.user("carol")
    desk.origin.ask("POST", f"/api/extras/scheduled-jobs/{row.id}/approve/", "carol")
    assert "carol approved this request on" in desk.decides(page).text


@pytest.mark.parametrize(
    ("start", "state"),
    [
        pytest.param(NOW - timedelta(hours=1), "approved", id="shown as past due"),
        pytest.param(NOW + timedelta(hours=1), "pending", id="past due since"),
    ],
)
def test_what_is_past_due_is_approved_if_it_was_shown_so(desk: Several, clock: Clock, start: Any, state: str) -> None:
    page = desk.confirms("approve", [desk.asks("a", interval=Interval.FUTURE, start_time=start)])
    clock.now += timedelta(hours=2)
    answer = desk.decides(page)
    assert desk.states() == {"a": state}
    assert (PAST_DUE_SINCE in answer.text) is (state == "pending")


def test_a_form_that_names_no_version_decides_nothing(desk: Several) -> None:
    row = desk.asks("a")
    answer = desk.does("/decisions", "bob", {"decision": "approve", "id": [str(row.id)]})
    assert "0 of 1 request was decided" in answer.text
    assert desk.states() == {"a": "pending"}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"decision": "approve"}, id="no request"),
        pytest.param({"decision": "approve", "id": ["x"]}, id="no id"),
    ],
)
def test_who_selects_nothing_is_told_so(desk: Several, form: dict[str, Any]) -> None:
    for answer in (desk.does("/decisions", "bob", form), desk.sees("/decisions?" + str(httpx.QueryParams(form)))):
        assert (answer.status_code, answer.headers["location"]) == (303, QUEUE)


def test_there_are_two_decisions(desk: Several) -> None:
    destroy = {"decision": "destroy", "id": [str(desk.asks("a").id)]}
    assert desk.sees("/decisions?" + str(httpx.QueryParams(destroy))).status_code == 303
    assert desk.does("/decisions", "bob", destroy).status_code == 404
    assert desk.states() == {"a": "pending"}


def test_what_one_may_not_view_is_not_told_from_what_there_is_not(desk: Several) -> None:
    row = desk.asks("hidden")
    zoe = desk.origin.user("zoe", superuser=False)
    sees = Permission(
        id=uuid4(),
        name="zoe's",
        object_types=("extras.scheduledjob",),
        actions=("view",),
        constraints={"name": "other"},
    )
    desk.origin.add(sees, PermissionUser(permission_id=sees.id, user_id=zoe.id))
    desk.signed_in["zoe"] = asyncio.run(desk.origin.sessions.sign_in("zoe", desk.origin.keys["zoe"], ""))
    shown = desk.confirms("approve", [row], who="zoe")
    assert "1 request that no longer exists" in shown.text
    assert "hidden" not in within(shown.text)
    answer = desk.does("/decisions", "zoe", {"decision": "approve", "id": [str(row.id)]})
    assert "hidden" not in within(answer.text)
    assert desk.states() == {"hidden": "pending"}
