"""The list of results: its filters, its export, and deletion of several."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim.domain.model import JobResult, Status
from api_shim.store import Store
from api_shim.web.pages.results import EXPORTED
from tests.api_shim.origin import Origin
from tests.api_shim.web.pages.test_result import UNDER_WAY, Visitor
from tests.conftest import Clock
from tests.factories import NOW, make_scheduled


@pytest.fixture
def visitor(sqlite_store: Store, clock: Clock) -> Visitor:
    return Visitor(Origin(sqlite_store, clock), clock)


def ids(answer: httpx.Response) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/signoff/results/([^"]+)"', answer.text)


def listed(visitor: Visitor, **asked: Any) -> list[str]:
    answer = visitor.asks("GET", "/signoff/results", params=asked)
    assert answer.status_code == 200
    return ids(answer)


def remaining(visitor: Visitor) -> set[UUID]:
    with visitor.origin.store.transaction(write=False) as tx:
        return {result.id for result in tx.all(JobResult)}


def test_results_are_told_apart_and_filtered(visitor: Visitor) -> None:
    job, alice = visitor.origin.job(name="Sweep"), visitor.origin.user("alice")
    schedule = make_scheduled(job, alice, name="nightly sweep")
    visitor.origin.add(schedule)
    fired = visitor.ran(job_id=job.id, user_id=alice.id, scheduled_job_id=schedule.id, name="fired")
    dry = visitor.ran(job_id=job.id, user_id=alice.id, dry_run=True, name="dry")
    old = visitor.ran(job_id=job.id, status=Status.FAILURE, date_created=NOW - timedelta(days=3), name="old")
    everything = {str(each.id) for each in (fired, dry, old)}
    day = f"{NOW - timedelta(days=3):%Y-%m-%d}"
    rows: list[tuple[dict[str, Any], set[JobResult] | None]] = [
        ({"dry_run": "true"}, {dry}),
        ({"dry_run": "false"}, {fired, old}),
        ({"user": "LIC"}, {fired, dry}),
        ({"user": '"alice"'}, {fired, dry}),
        ({"user": '"lic"'}, set()),
        ({"schedule": "SWEEP"}, {fired}),
        ({"schedule": str(schedule.id)}, {fired}),
        ({"status": "FAILURE"}, {old}),
        ({"until": day}, {old}),
        ({"since": day, "until": day}, {old}),
        ({"since": f"{NOW:%Y-%m-%d}"}, {fired, dry}),
        ({"since": f"{NOW:%Y-%m-%d}", "until": f"{NOW:%Y-%m-%d}"}, {fired, dry}),
        ({"job": str(job.id), "q": "fire"}, {fired}),
        ({"job": str(uuid4())}, set()),
        ({"since": "soon", "until": "9999-12-31", "dry_run": "x", "status": "x", "job": "x", "limit": "7"}, None),
    ]
    for asked, expected in rows:
        found = listed(visitor, **asked)
        assert sorted(found) == sorted(everything if expected is None else {str(each.id) for each in expected}), asked
    page = visitor.asks("GET", "/signoff/results").text
    assert len(re.findall(r"</a> <span class=\"badge warn\">dry run</span></th>", page)) == 1
    assert f'<a href="/signoff/scheduled-jobs/{schedule.id}">nightly sweep</a>' in page
    assert '<a href="/signoff/people/alice">alice</a>' in page


def test_a_day_begins_where_the_visitor_reads_times(visitor: Visitor) -> None:
    midnight = NOW.replace(hour=0, minute=0)
    late = visitor.ran(date_created=midnight - timedelta(minutes=30))
    asked = {"params": {"since": f"{midnight:%Y-%m-%d}"}}
    found = {
        zone: ids(visitor.asks("GET", "/signoff/results", zone=zone, **asked)) for zone in ("UTC", "Europe/Berlin")
    }
    assert found == {"UTC": [], "Europe/Berlin": [str(late.id)]}


def test_a_list_is_sorted_and_its_pages_are_as_long_as_one_likes(visitor: Visitor) -> None:
    made = [visitor.ran(name=name, date_created=NOW - timedelta(hours=n)) for n, name in enumerate("bac" * 10)]
    newest_first = [str(each.id) for each in made]
    assert listed(visitor, limit=25) == newest_first[:25]
    assert listed(visitor, limit=25, offset=25) == newest_first[25:]
    assert listed(visitor, sort="date_created", limit=100) == newest_first[::-1]
    names = {str(each.id): each.name for each in made}
    assert [names[each] for each in listed(visitor, sort="-name", limit=100)] == [*"c" * 10, *"b" * 10, *"a" * 10]
    answer = visitor.asks("GET", "/signoff/results", params={"offset": 100, "sort": "nonsense"})
    assert "This page is empty." in answer.text


def test_an_export_has_what_the_filters_show(visitor: Visitor) -> None:
    wanted = visitor.ran(name="=1+1", dry_run=True, approval={"by": "bob", "at": NOW.isoformat(), "comment": ""})
    visitor.ran()
    answer = visitor.asks("GET", "/signoff/results/export", params={"dry_run": "true", "limit": 25})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="results.csv"'
    [row] = csv.DictReader(StringIO(answer.text))
    told = (row["id"], row["job"], row["status"], row["dry_run"], row["ran_as"], row["approved_by"])
    assert told == (str(wanted.id), "'=1+1", "succeeded", "yes", "admin", "bob")
    answer = visitor.asks("GET", "/signoff/results/export", params={"format": "json", "dry_run": "true"})
    [row] = json.loads(answer.text)
    assert (answer.headers["Content-Type"], row["job"], row["dry_run"]) == ("application/json", "=1+1", True)
    assert visitor.asks("GET", "/signoff/results/export", params={"format": "xml"}).status_code == 404
    assert visitor.asks("GET", "/signoff/results/export", params={"q": "no such"}).text == ",".join(EXPORTED) + "\r\n"


def test_several_are_deleted_after_one_question(visitor: Visitor) -> None:
    gone, kept, under_way = visitor.ran(), visitor.ran(), visitor.ran(**UNDER_WAY)
    back = "/signoff/results?status=SUCCESS"
    sent = {"id": [str(gone.id), str(under_way.id), str(uuid4()), "nonsense"], "back": back}
    question = visitor.sends("/signoff/results/delete", **sent)
    assert "Delete this result?" in question.text
    assert "2 of the selected results will not be deleted" in question.text
    assert remaining(visitor) == {gone.id, kept.id, under_way.id}
    answer = visitor.sends("/signoff/results/delete", **sent, confirmed="yes")
    assert (answer.status_code, answer.headers["Location"]) == (303, back)
    assert remaining(visitor) == {kept.id, under_way.id}
    assert "Deleted the result of" in visitor.asks("GET", back).text


def test_what_cannot_be_deleted_is_said(visitor: Visitor) -> None:
    assert visitor.sends("/signoff/results/delete").headers["Location"] == "/signoff/results"
    assert "Select the results to delete." in visitor.asks("GET", "/signoff/results").text
    elsewhere = visitor.sends("/signoff/results/delete", back="https://evil.example/signoff/results")
    assert elsewhere.headers["Location"] == "/signoff/results"
    assert "Nothing to delete" in visitor.sends("/signoff/results/delete", id=[str(uuid4())]).text
    with visitor.origin.store.transaction() as tx:
        tx.change(visitor.user, is_superuser=False)
    visitor.origin.identity.add_permission("sees", NOW, types=["extras.jobresult"], actions=["view"], users=["admin"])
    result = visitor.ran()
    assert 'name="id"' not in visitor.asks("GET", "/signoff/results").text
    answer = visitor.sends("/signoff/results/delete", id=[str(result.id)], confirmed="yes")
    assert answer.status_code == 403
    assert result.id in remaining(visitor)
