"""A hook hears of a schedule that is made and deleted, and a button is pressed, on a real server with a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.acceptance.people import RESULTS, People, schedule, unique
from tests.acceptance.test_pages import csrf_in, opened
from tests.live import Live, eventually

pytestmark = pytest.mark.slow

HOOKS, BUTTONS = "/api/extras/job-hooks/", "/api/extras/job-buttons/"


@pytest.fixture
def hook(admin: httpx.Client) -> Iterator[Mapping[str, Any]]:
    sent = {
        "name": unique("hook"),
        "job": "Hear",
        "content_types": ["extras.scheduledjob"],
        "type_create": True,
        "type_delete": True,
    }
    made = admin.post(HOOKS, json=sent)
    assert made.status_code == 201, made.text
    yield made.json()
    assert admin.delete(made.json()["url"]).status_code == 204


def heard(admin: httpx.Client, name: str) -> list[dict[str, Any]]:
    """Return the results of the runs that were told of a scheduled job of this name and are over, the oldest first."""
    rows = admin.get(RESULTS, params={"name": "Hear", "sort": "date_created", "limit": 100}).json()["results"]
    return [row for row in rows if row["date_done"] and name in str(row["result"])]


@pytest.mark.usefixtures("hook")
def test_a_hook_starts_its_receiver_once_for_each_change(admin: httpx.Client) -> None:
    made = schedule(admin)
    [first] = eventually(lambda: heard(admin, made["name"]))
    assert (first["status"]["value"], first["user"]) == ("SUCCESS", None), first["traceback"]
    address = f"/api/extras/scheduled-jobs/{made['id']}/"
    assert first["result"] == {"heard": ["create", made["name"], "admin"], "of": address}
    # What is changed is not what this hook is for.
    assert admin.patch(made["url"], json={"enabled": False}).status_code == 200
    assert admin.delete(made["url"]).status_code == 204
    both = eventually(lambda: len(found := heard(admin, made["name"])) > 1 and found)
    assert isinstance(both, list)
    assert [row["result"]["heard"][0] for row in both] == ["create", "delete"]
    assert both[1]["result"]["of"] is None


def test_a_button_runs_its_job_as_whoever_presses_it_and_nobody_else_can(
    live: Live, admin: httpx.Client, people: People
) -> None:
    sent = {"name": unique("button"), "text": "Press me", "job": "Press", "content_types": ["extras.jobresult"]}
    button = admin.post(BUTTONS, json=sent | {"confirmation": False}).json()
    about = people.result("Greet")
    page, press = f"/signoff/results/{about}", f"/signoff/job-buttons/{button['id']}"
    sees = ("extras.jobresult", "view", None)
    alice, carol = people.add(sees, ("extras.job", "run", {"name": "Press"})), people.add(sees)
    form = {"object_model_name": "extras.jobresult", "object_pk": about}
    with opened(live, alice) as browser:
        assert "Press me" in browser.client.get(page).text
        answer = browser.post(press, csrf=csrf_in(browser.client.get(page)), **form)
        assert answer.status_code == 303, answer.text
        result_id = answer.headers["location"].rpartition("/")[2]
        assert "Press has been started." in browser.client.get(answer.headers["location"]).text
    done = eventually(lambda: (row := admin.get(f"{RESULTS}{result_id}/").json())["date_done"] and row)
    assert (done["status"]["value"], done["traceback"]) == ("SUCCESS", None)
    assert done["result"] == {"pressed for": ["extras.jobresult", about, "Greet"], "by": alice}
    with opened(live, carol) as browser:
        assert "Press me" not in browser.client.get(page).text
        assert browser.post(press, csrf=csrf_in(browser.client.get(page)), **form).status_code == 404
    assert admin.get(RESULTS, params={"name": "Press", "user": carol}).json()["count"] == 0
    admin.delete(button["url"])
