"""What people prefer, over HTTP: their own, under the names that the reference documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.people import People
from tests.api_shim.in_process import InProcess

CONFIG = "/api/users/config/"
SIZES = "Choose one of 10, 25, 50, 100, or 0 for the usual number."


def test_everybody_reads_and_changes_their_own(server: InProcess, people: People) -> None:
    with server.client(people.add()) as alice, server.client(people.add()) as bob:
        usual = {"timezone": "", "pagination": {"per_page": 0}}
        assert alice.get(CONFIG).json() == usual
        assert alice.patch(CONFIG, json={"pagination": {"per_page": 50}}).json()["pagination"] == {"per_page": 50}
        changed = {"timezone": "Europe/Berlin", "pagination": {"per_page": 50}}
        assert alice.patch(CONFIG, json={"timezone": " Europe/Berlin "}).json() == changed
        assert alice.patch(CONFIG, json={}).json() == alice.get(CONFIG).json() == changed
        assert alice.patch(CONFIG, json={"timezone": "", "pagination": {"per_page": 0}}).json() == usual
        assert bob.get(CONFIG).json() == usual


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"timezone": 5}, {"timezone": ["Enter the name of a time zone, such as Europe/Berlin."]}),
        ({"pagination": {"per_page": True}}, {"pagination": [SIZES]}),
        ({"pagination": 5}, {"pagination": ["Invalid data. Expected a dictionary, but got int."]}),
        ({"theme": "dark"}, {"theme": ["This field cannot be changed."]}),
        ([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
    ],
    ids=["no zone", "no length", "no object", "what there is not", "a list"],
)
def test_what_cannot_be_preferred_is_told_under_its_name(
    server: InProcess, people: People, body: Any, faults: dict[str, Any]
) -> None:
    with server.client(people.add()) as client:
        answer = client.patch(CONFIG, json=body)
        assert (answer.status_code, answer.json()) == (400, faults)
        assert client.get(CONFIG).json()["timezone"] == ""
