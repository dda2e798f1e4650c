"""Job buttons and hooks are of Jobs that receive them, by whoever may run these, and each change is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.domain.audit import EventType
from api_shim.parsing.trigger import NO_TYPES, NOT_A_GROUP, NOT_A_NAME, NOT_A_TEXT, NOT_A_WEIGHT
from api_shim.services.triggers import (
    NAME_TAKEN,
    NEEDS_APPROVAL,
    NO_BUTTON_RECEIVER,
    NO_CHANGES,
    NO_HOOK_RECEIVER,
    NO_JOB,
)
from api_shim.store import Store
from approval_gate.policy import MAY_NOT_RUN
from tests.api_shim.origin import Origin
from tests.conftest import Clock
from tests.factories import NOW

BUTTONS = "/api/extras/job-buttons/"
BUTTON = {"name": "inspect", "text": "Inspect", "job": "Press", "content_types": ["extras.jobresult"]}
WRITTEN = EventType.BUTTON_ADDED, EventType.BUTTON_CHANGED, EventType.BUTTON_REMOVED


@pytest.fixture
def origin(store: Store, clock: Clock) -> Origin:
    made = Origin(store, clock)
    made.user()
    made.job(name="Press", is_job_button_receiver=True)
    made.job(name="Hear", is_job_hook_receiver=True)
    made.job(name="Plain")
    made.job(name="Careful", is_job_button_receiver=True, is_job_hook_receiver=True, approval_required=True)
    return made


def events(origin: Origin) -> list[tuple[str, str, dict[str, Any]]]:
    with origin.store.transaction(write=False) as tx:
        found = [each for each in tx.events(0, 1000) if each.act.startswith("job-")]
    return [(each.act, each.name, each.data.get("changes", {})) for each in found]


@pytest.mark.each_database
def test_a_button_is_made_changed_and_removed_and_each_is_recorded(origin: Origin) -> None:
    made = origin.ask("POST", BUTTONS, json=BUTTON)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert {name: shown[name] for name in ("name", "text", "enabled", "weight", "group_name", "confirmation")} == {
        "name": "inspect",
        "text": "Inspect",
        "enabled": True,
        "weight": 100,
        "group_name": "",
        "confirmation": True,
    }
    assert (shown["button_class"], shown["content_types"]) == (
        {"value": "default", "label": "Default"},
        ["extras.jobresult"],
    )
    assert shown["job"]["object_type"] == "extras.job"
    # What was answered can be sent back, with what is to change.
    back = shown | {"weight": 7, "button_class": {"value": "danger", "label": "Danger"}}
    changed = origin.ask("PUT", f"{BUTTONS}inspect/", json=back)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["weight"], changed.json()["button_class"]["value"]) == (7, "danger")
    assert origin.ask("PATCH", f"{BUTTONS}inspect/", json={"weight": 7}).status_code == 200, "nothing changes"
    full = origin.ask("GET", f"{BUTTONS}?depth=1&job=Press&weight__lt=8&sort=-weight").json()["results"]
    assert [each["job"]["name"] for each in full] == ["Press"]
    assert origin.ask("DELETE", f"{BUTTONS}{shown['id']}/").status_code == 204
    assert origin.ask("GET", f"{BUTTONS}inspect/").status_code == 404
    told = events(origin)
    assert [(act, name) for act, name, _ in told] == [(act, "inspect") for act in WRITTEN]
    assert told[1][2] == {
        "button_class": {"old": "default", "new": "danger"},
        "weight": {"old": 100, "new": 7},
    }


@pytest.mark.parametrize(
    ("to", "told"),
    [
        pytest.param({"job": "Plain"}, {"job": [NO_BUTTON_RECEIVER.format(job="Plain")]}, id="another Job"),
        pytest.param({"job": "Careful"}, {"job": [NEEDS_APPROVAL.format(job="Careful")]}, id="a careful Job"),
        pytest.param({"job": "Nothing"}, {"job": [NO_JOB]}, id="no Job"),
        pytest.param({"job": 7}, {"job": ["Expected an id, a name, or an object with an id."]}, id="no reference"),
        pytest.param({"name": " x"}, {"name": [NOT_A_NAME]}, id="a space around the name"),
        pytest.param({"name": "x" * 101}, {"name": [NOT_A_NAME]}, id="a long name"),
        pytest.param({"text": " "}, {"text": [NOT_A_TEXT]}, id="no text"),
        pytest.param({"group_name": "a\n"}, {"group_name": [NOT_A_GROUP]}, id="a group of two lines"),
        pytest.param({"content_types": []}, {"content_types": [NO_TYPES]}, id="no types"),
        pytest.param(
            {"content_types": ["users.user"]},
            {
                "content_types": [
                    "There is no type 'users.user' of objects here; there are extras.job, extras.scheduledjob, "
                    "extras.jobresult."
                ]
            },
            id="another type",
        ),
        pytest.param({"content_types": "extras.job"}, {"content_types": ["Expected a list of words."]}, id="no list"),
        pytest.param({"weight": -1}, {"weight": [NOT_A_WEIGHT]}, id="a negative weight"),
        pytest.param({"weight": True}, {"weight": [NOT_A_WEIGHT]}, id="no weight"),
        pytest.param({"enabled": "yes"}, {"enabled": ["Must be a valid boolean."]}, id="no flag"),
        pytest.param({"button_class": "neon"}, {"button_class": ['"neon" is not a valid choice.']}, id="a class"),
        pytest.param({"created": "x"}, {"created": ["This field cannot be set."]}, id="what cannot be set"),
    ],
)
def test_a_fault_is_told_under_its_field(origin: Origin, to: dict[str, Any], told: dict[str, list[str]]) -> None:
    answer = origin.ask("POST", BUTTONS, json=BUTTON | to)
    assert (answer.status_code, answer.json()) == (400, told)
    assert origin.ask("POST", BUTTONS, json=BUTTON).status_code == 201
    answer = origin.ask("PATCH", f"{BUTTONS}inspect/", json=to)
    assert (answer.status_code, answer.json()) == (400, told)
    assert origin.ask("GET", f"{BUTTONS}inspect/").json()["weight"] == 100


def test_a_name_is_given_once_and_all_that_is_needed_is_asked_for(origin: Origin) -> None:
    assert origin.ask("POST", BUTTONS, json=BUTTON).status_code == 201
    assert origin.ask("POST", BUTTONS, json=BUTTON).json() == {"name": [NAME_TAKEN]}
    needed = ["This field is required."]
    assert origin.ask("POST", BUTTONS, json={}).json() == dict.fromkeys(
        ("name", "text", "job", "content_types"), needed
    )


def test_who_may_not_run_the_job_makes_no_button_of_it_and_changes_none(origin: Origin) -> None:
    origin.ask("POST", BUTTONS, json=BUTTON)
    origin.user("carol", superuser=False)
    kinds, acts = ["extras.jobbutton"], ["view", "add", "change"]
    origin.identity.add_permission("buttons", NOW, types=kinds, actions=acts, users=["carol"])
    limited = {"name": "Plain"}
    origin.identity.add_permission(
        "runs", NOW, types=["extras.job"], actions=["run"], users=["carol"], constraint=limited
    )
    for job in ("Press", "Nothing"):
        answer = origin.ask("POST", BUTTONS, "carol", json=BUTTON | {"name": "other", "job": job})
        assert (answer.status_code, answer.json()) == (403, {"detail": MAY_NOT_RUN}), "whether there is such a Job"
    answer = origin.ask("PATCH", f"{BUTTONS}inspect/", "carol", json={"text": "Delete all"})
    assert (answer.status_code, answer.json()) == (403, {"detail": MAY_NOT_RUN})
    assert origin.ask("GET", f"{BUTTONS}inspect/").json()["text"] == "Inspect"


def test_a_permission_may_be_limited_to_some_buttons(origin: Origin) -> None:
    origin.user("carol", superuser=False)
    limited = {"job__name": "Press", "name__startswith": "in"}
    origin.identity.add_permission(
        "some", NOW, types=["extras.jobbutton"], actions=["view", "add"], users=["carol"], constraint=limited
    )
    origin.identity.add_permission("runs", NOW, types=["extras.job"], actions=["run"], users=["carol"])
    assert origin.ask("POST", BUTTONS, "carol", json=BUTTON | {"name": "out"}).status_code == 403
    assert origin.ask("POST", BUTTONS, "carol", json=BUTTON).status_code == 201
    origin.ask("POST", BUTTONS, json=BUTTON | {"name": "other"})
    assert [each["name"] for each in origin.ask("GET", BUTTONS, "carol").json()["results"]] == ["inspect"]


# Hooks

HOOKS = "/api/extras/job-hooks/"
HOOK = {"name": "watch", "job": "Hear", "content_types": ["extras.scheduledjob"], "type_create": True}


@pytest.mark.each_database
def test_a_hook_is_made_changed_and_removed_and_each_is_recorded(origin: Origin) -> None:
    made = origin.ask("POST", HOOKS, json=HOOK)
    assert made.status_code == 201, made.text
    shown = made.json()
    flags = ("enabled", "type_create", "type_update", "type_delete")
    assert [shown[name] for name in flags] == [True, True, False, False]
    assert (shown["object_type"], shown["content_types"]) == ("extras.jobhook", ["extras.scheduledjob"])
    changed = origin.ask("PATCH", f"{HOOKS}watch/", json={"type_create": False, "type_delete": True})
    assert (changed.status_code, changed.json()["type_delete"]) == (200, True)
    found = origin.ask("GET", f"{HOOKS}?type_delete=true&job=Hear&q=wat").json()
    assert [each["id"] for each in found["results"]] == [shown["id"]]
    assert origin.ask("DELETE", f"{HOOKS}watch/").status_code == 204
    assert [(act, name) for act, name, _ in events(origin)] == [
        (EventType.HOOK_ADDED, "watch"),
        (EventType.HOOK_CHANGED, "watch"),
        (EventType.HOOK_REMOVED, "watch"),
    ]


@pytest.mark.parametrize(
    ("to", "told"),
    [
        pytest.param({"job": "Press"}, {"job": [NO_HOOK_RECEIVER.format(job="Press")]}, id="another Job"),
        pytest.param({"type_create": False}, {"non_field_errors": [NO_CHANGES]}, id="for nothing"),
        pytest.param({"type_update": None}, {"type_update": ["Must be a valid boolean."]}, id="no flag"),
        pytest.param({"text": "x"}, {"text": ["This field cannot be set."]}, id="what a button has"),
    ],
)
def test_a_fault_of_a_hook_is_told(origin: Origin, to: dict[str, Any], told: dict[str, list[str]]) -> None:
    answer = origin.ask("POST", HOOKS, json=HOOK | to)
    assert (answer.status_code, answer.json()) == (400, told)
    assert origin.ask("POST", HOOKS, json=HOOK).status_code == 201
    answer = origin.ask("PATCH", f"{HOOKS}watch/", json=to)
    assert (answer.status_code, answer.json()) == (400, told)


def test_what_is_refused_is_recorded_with_its_name(origin: Origin) -> None:
    origin.ask("POST", HOOKS, json=HOOK)
    origin.user("carol", superuser=False)
    assert origin.ask("POST", HOOKS, "carol", json=HOOK | {"name": "hunter2"}).status_code == 403
    assert origin.ask("DELETE", f"{HOOKS}watch/", "carol").status_code == 403
    with origin.store.transaction(write=False) as tx:
        found = [each for each in tx.events(0, 1000) if each.act is EventType.REQUEST_REFUSED]
    assert [(each.actor, each.name, each.data["asked"]) for each in found] == [
        ("carol", "", "add extras.jobhook"),
        ("carol", "watch", "remove extras.jobhook"),
    ]
