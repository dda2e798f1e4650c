"""Over HTTP: a scheduled job is answered with its version, and whoever names another one changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from approval_gate.policy import CHANGED, EDITED, NAMED_BEFORE
from tests.acceptance.asking import answered
from tests.acceptance.people import SCHEDULES, People, schedule, unique
from tests.api_shim.in_process import InProcess

Shape = Mapping[str, Any]
OTHER = '"0123456789ab"'


@pytest.fixture
def bob(server: InProcess, people: People) -> Iterator[httpx.Client]:
    with server.client(people.add(superuser=True)) as client:
        yield client


@pytest.fixture
def row(admin: httpx.Client) -> Iterator[Shape]:
    made = schedule(admin, job="Change")
    yield made
    admin.delete(made["url"])


def tag(version: str) -> str:
    return f'"{version}"'


def test_every_answer_that_is_a_scheduled_job_has_its_version_as_etag(
    admin: httpx.Client, bob: httpx.Client, row: Shape
) -> None:
    url = row["url"]
    body = {"schedule": {"name": "etag", "interval": "future", "start_time": row["start_time"]}}
    made = admin.post("/api/extras/jobs/Change/run/", json=body)
    assert made.headers["ETag"] == tag(made.json()["scheduled_job"]["approval_version"])
    answers = [
        admin.get(url),
        admin.get(url, params={"depth": 1}),
        admin.patch(url, json={"start_time": "2031-01-01T00:00:00Z"}),
        bob.post(f"{url}assume-ownership/"),
        bob.post(f"{url}transfer/", json={"user": "admin"}),
    ]
    seen = bob.get(f"{url}review/")
    assert seen.headers["ETag"] == tag(seen.json()["scheduled_job"]["approval_version"])
    answers.append(admin.post(f"{made.json()['scheduled_job']['url']}deny/"))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"] == tag(answer.json()["approval_version"])
    assert len({answer.headers["ETag"] for answer in answers}) == 3, "when it runs, and as whom, are of the version"
    for address in (SCHEDULES, f"{url}explain/", "/api/extras/jobs/Change/"):
        assert "ETag" not in admin.get(address).headers


WAYS: Mapping[str, Callable[[httpx.Client, str, Any], httpx.Response]] = {
    "approve": lambda client, url, how: client.post(f"{url}approve/", **how),
    "deny": lambda client, url, how: client.post(f"{url}deny/", **how),
    "dry-run": lambda client, url, how: client.post(f"{url}dry-run/", **how),
    "assume": lambda client, url, how: client.post(f"{url}assume-ownership/", **how),
    "delete": lambda client, url, how: client.request("DELETE", url, **how),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_whoever_names_another_version_does_nothing(bob: httpx.Client, row: Shape, way: Any) -> None:
    before = bob.get(row["url"]).json()
    assert answered(way(bob, row["url"], {"headers": {"If-Match": OTHER}})) == (412, {"detail": CHANGED})
    assert answered(way(bob, row["url"], {"json": {"version": "another"}})) == (409, {"detail": CHANGED})
    assert way(bob, row["url"], {"headers": {"If-Match": "unquoted"}}).status_code == 400
    assert bob.get(row["url"]).json() == before
    named = way(bob, row["url"], {"headers": {"If-Match": tag(row["approval_version"])}})
    assert named.status_code in {200, 204}, named.text


def test_a_change_names_the_version_that_it_changes(admin: httpx.Client, row: Shape) -> None:
    url, old = row["url"], row["approval_version"]
    body = {"start_time": "2031-01-01T00:00:00Z"}
    changed = admin.patch(url, json=body, headers={"If-Match": tag(old)})
    assert changed.status_code == 200
    later = {"start_time": "2032-01-01T00:00:00Z"}
    assert answered(admin.patch(url, json=later, headers={"If-Match": tag(old)})) == (412, {"detail": CHANGED})
    assert answered(admin.patch(url, json={**later, "version": old})) == (409, {"detail": CHANGED})
    assert admin.patch(url, json={**later, "version": changed.json()["approval_version"]}).status_code == 200
    assert answered(admin.post(f"{url}transfer/", json={"user": "admin", "version": old})) == (409, {"detail": CHANGED})


def test_what_was_edited_is_approved_with_its_version_only(admin: httpx.Client, bob: httpx.Client, row: Shape) -> None:
    edited = admin.patch(row["url"], json={"start_time": "2031-01-01T00:00:00Z"})
    address = f"{row['url']}approve/"
    assert answered(bob.post(address)) == (409, {"detail": EDITED})
    assert answered(bob.post(address, headers={"If-Match": "*"})) == (409, {"detail": EDITED})
    approved = bob.post(address, headers={"If-Match": edited.headers["ETag"]})
    assert (approved.status_code, approved.json()["approval_state"]) == (200, "approved")


def test_several_are_deleted_with_their_versions_or_none_is(admin: httpx.Client, row: Shape) -> None:
    changed, kept = schedule(admin, job="Change"), schedule(admin, job="Change")
    admin.patch(changed["url"], json={"start_time": "2031-01-01T00:00:00Z"})
    body = [row["id"], *({"id": each["id"], "version": each["approval_version"]} for each in (changed, kept))]
    assert answered(admin.request("DELETE", SCHEDULES, json=body)) == (409, {changed["id"]: [CHANGED]})
    assert answered(admin.request("DELETE", SCHEDULES, json=[{**body[1], "version": 1}])) == (
        400,
        [{"version": ["Not a valid string."]}],
    )
    for each in (row, changed, kept):
        assert admin.get(each["url"]).status_code == 200
    body[1]["version"] = admin.get(changed["url"]).json()["approval_version"]
    assert admin.request("DELETE", SCHEDULES, json=body).status_code == 204
    assert admin.request("DELETE", SCHEDULES, json=body).status_code == 204, "what is gone is passed over"


def withdraw(client: httpx.Client, made: Shape) -> None:
    assert client.post(f"{made['url']}deny/").status_code == 200


def delete(client: httpx.Client, made: Shape) -> None:
    assert client.delete(made["url"]).status_code == 204


def rename(client: httpx.Client, made: Shape) -> None:
    assert client.patch(made["url"], json={"name": unique("renamed")}).status_code == 200


@pytest.mark.parametrize("end", [withdraw, delete, rename])
def test_what_has_the_name_of_an_earlier_request_is_approved_as_itself_only(
    admin: httpx.Client, bob: httpx.Client, end: Callable[[httpx.Client, Shape], None]
) -> None:
    name = unique("again")
    end(admin, schedule(admin, name, "Change"))
    made = schedule(admin, name, "Change", start_time="2031-01-01T00:00:00Z")
    by_name = f"{SCHEDULES}{name}/approve/"
    assert answered(bob.post(by_name)) == (409, {"detail": NAMED_BEFORE})
    assert answered(bob.post(by_name, json={"version": "another"})) == (409, {"detail": CHANGED})
    assert admin.get(made["url"]).json()["approval_state"] == "pending"
    assert bob.post(by_name, json={"version": made["approval_version"]}).status_code == 200
    admin.delete(made["url"])


def test_by_its_id_it_is_approved_as_documented_and_so_is_a_new_name(admin: httpx.Client, bob: httpx.Client) -> None:
    name = unique("again")
    withdraw(admin, schedule(admin, name, "Change"))
    made, other = schedule(admin, name, "Change"), schedule(admin, f"{name} new", "Change")
    assert bob.post(f"{made['url']}approve/").status_code == 200
    assert bob.post(f"{SCHEDULES}{other['name']}/approve/").status_code == 200
    for each in (made, other):
        admin.delete(each["url"])


def test_a_review_shows_what_an_approval_is_about(admin: httpx.Client, bob: httpx.Client, row: Shape) -> None:
    seen = bob.get(f"{row['url']}review/").json()
    shown = seen["scheduled_job"]
    assert {name: shown[name] for name in row} == row
    assert (shown["requested_by"], seen["runs_as"], shown["may_approve"]) == ("admin", "admin", True)
    assert {each["name"]: each["now"] for each in seen["circumstances"]}["Queue"] == row["queue"]
    assert bool(seen["compared_with"]) != bool(seen["nothing_to_compare"])
    bob.post(f"{row['url']}deny/", json={"comment": "no"})
    again = bob.get(f"{SCHEDULES}{row['name']}/review/")
    assert again.status_code == 409
    assert "denied this request" in again.json()["detail"]
