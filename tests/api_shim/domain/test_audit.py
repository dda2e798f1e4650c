"""The chain of the audit: everything an event says is in its hash, and no change of what was recorded goes unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api_shim.domain.audit import (
    FIRST_HASH,
    AuditEvent,
    AuditHead,
    EventType,
    account_event,
    chain_event,
    chain_events,
    fault,
    hash_of,
    scheduled_job_event,
    shape,
)
from tests.factories import NOW, make_job, make_scheduled, make_user

Chain = list[AuditEvent]


def chain(events: Sequence[AuditEvent]) -> tuple[Chain, AuditHead]:
    """Return the events as they are recorded one after the other, and the end."""
    head, recorded = AuditHead(), []
    for event in events:
        recorded.append(chain_event(event, head))
        head = replace(head, number=recorded[-1].number, hash=recorded[-1].hash)
    return recorded, head


def rehashed(event: AuditEvent, **to: Any) -> AuditEvent:
    """Return a changed event as a forger leaves it who knows how it is hashed."""
    event = replace(event, **to)
    return replace(event, hash=hash_of(event))


THREE, HEAD = chain(
    [AuditEvent(at=NOW, act=act) for act in (EventType.REQUESTED, EventType.APPROVED, EventType.ADMITTED)]
)


# Events


def test_events_that_are_recorded_at_once_stand_as_those_that_are_recorded_one_by_one() -> None:
    events = [AuditEvent(at=NOW, act=act) for act in (EventType.REQUESTED, EventType.APPROVED, EventType.ADMITTED)]
    assert chain_events(events, AuditHead()) == THREE
    assert chain_events(events[1:], AuditHead(number=1, hash=THREE[0].hash)) == THREE[1:]
    assert chain_events([], HEAD) == []


def test_an_event_about_a_scheduled_job_says_whose_act_it_was_and_what_it_was_about() -> None:
    alice, job = make_user("alice"), make_job()
    scheduled = make_scheduled(job, alice, flow_run_id=uuid4(), deployment_id=uuid4())
    assert scheduled_job_event(scheduled, EventType.APPROVED, NOW, alice, comment="fine", force=False) == AuditEvent(
        at=NOW,
        act=EventType.APPROVED,
        actor_id=alice.id,
        actor="alice",
        name=scheduled.name,
        scheduled_job_id=scheduled.id,
        job_id=job.id,
        flow_run_id=scheduled.flow_run_id,
        deployment_id=scheduled.deployment_id,
        data={"comment": "fine"},
    )


def test_what_happened_by_itself_has_no_actor_and_inputs_are_no_part_of_an_event() -> None:
    event = scheduled_job_event(
        make_scheduled(make_job(), None, inputs={"password": "hunter2"}), EventType.EXPIRED, NOW
    )
    assert (event.actor_id, event.actor) == (None, "")
    assert "hunter2" not in json.dumps(shape(event))


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        pytest.param({"name", "enabled"}, {"fields": ["enabled", "name"]}, id="the names of fields, in order"),
        pytest.param((), {}, id="none"),
    ],
)
def test_an_event_about_an_account_says_which_it_was_and_what_was_changed(fields: Any, data: dict[str, Any]) -> None:
    alice, thing_id = make_user("alice"), uuid4()
    event = account_event(thing_id, "see Jobs", EventType.PERMISSION_CHANGED, NOW, alice, fields)
    assert event == AuditEvent(
        at=NOW,
        act=EventType.PERMISSION_CHANGED,
        actor_id=alice.id,
        actor="alice",
        name="see Jobs",
        data={"id": str(thing_id), **data},
    )
    assert json.loads(json.dumps(shape(event)))["data"] == event.data


def test_an_event_in_json_form_has_all_its_fields() -> None:
    who, run = uuid4(), uuid4()
    event = AuditEvent(
        number=7, at=NOW, act=EventType.DENIED, actor_id=who, actor="Zoë", flow_run_id=run, data={"a": [1]}
    )
    assert json.loads(json.dumps(shape(event))) == {
        "number": 7,
        "at": "2026-05-04T12:00:00+00:00",
        "act": "approval.denied",
        "actor_id": str(who),
        "actor": "Zoë",
        "name": "",
        "scheduled_job_id": None,
        "job_id": None,
        "flow_run_id": str(run),
        "deployment_id": None,
        "data": {"a": [1]},
        "previous_hash": "",
        "hash": "",
    }


# Hashes


def test_each_event_is_hashed_with_the_one_before() -> None:
    assert [event.number for event in THREE] == [1, 2, 3]
    assert [event.previous_hash for event in THREE] == [FIRST_HASH, THREE[0].hash, THREE[1].hash]
    assert (HEAD.number, HEAD.hash) == (3, THREE[2].hash)


def test_a_hash_can_be_computed_from_the_json_form_with_other_tools() -> None:
    said = shape(THREE[1])
    told = said.pop("hash")
    assert told == hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


OTHER: dict[str, Any] = {
    "number": 2,
    "at": NOW + timedelta(microseconds=1),
    "act": EventType.DENIED,
    "actor_id": UUID(int=1),
    "actor": "mallory",
    "name": "another",
    "scheduled_job_id": UUID(int=1),
    "job_id": UUID(int=1),
    "flow_run_id": UUID(int=1),
    "deployment_id": UUID(int=1),
    "data": {"comment": "fine"},
    "previous_hash": "1" * 64,
}


@pytest.mark.parametrize("field", [each.name for each in fields(AuditEvent) if each.name != "hash"])
def test_every_field_is_in_the_hash(field: str) -> None:
    event = THREE[0]
    assert hash_of(replace(event, **{field: OTHER[field]})) != event.hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"actor": "ab", "name": "c"}, {"actor": "a", "name": "bc"}, id="where one text ends"),
        pytest.param({"data": {"a": 1}}, {"data": {"a": "1"}}, id="a number and its text"),
        pytest.param({"data": {"a": 1}}, {"data": {"a": True}}, id="a number and a truth"),
        pytest.param({"data": {}}, {"data": []}, id="an empty object and an empty list"),
        pytest.param({"actor_id": UUID(int=1)}, {"job_id": UUID(int=1)}, id="which field an id stands in"),
        pytest.param({"name": "é"}, {"name": "e\u0301"}, id="a letter and its look-alike"),
    ],
)
def test_what_differs_is_hashed_differently(one: dict[str, Any], other: dict[str, Any]) -> None:
    event = AuditEvent(at=NOW, act=EventType.DENIED)
    assert hash_of(replace(event, **one)) != hash_of(replace(event, **other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"at": NOW}, {"at": NOW.astimezone(timezone(timedelta(hours=5.5)))}, id="a moment elsewhere"),
        pytest.param({"data": {"a": 1, "b": 2}}, {"data": {"b": 2, "a": 1}}, id="an object in another order"),
        pytest.param({"data": {"a": (1, 2)}}, {"data": {"a": [1, 2]}}, id="a tuple, which is stored as a list"),
    ],
)
def test_what_the_store_gives_back_in_another_form_has_the_same_hash(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    event = AuditEvent(at=NOW, act=EventType.DENIED)
    assert hash_of(replace(event, **one)) == hash_of(replace(event, **other))


# Faults


def test_what_was_recorded_has_no_fault() -> None:
    assert fault([], AuditHead()) == ""
    assert fault(THREE, HEAD) == ""
    assert fault(iter(THREE), replace(HEAD, announced=2)) == ""


FIRST, SECOND, THIRD = THREE
LOST_1, LOST_2, LOST_3 = (f"Event {number} is missing." for number in (1, 2, 3))
CHANGED_1, CHANGED_2, CHANGED_3 = (f"Event {number} is not what was recorded." for number in (1, 2, 3))
END = "The last event is not what was recorded."


@pytest.mark.parametrize(
    ("events", "head", "sentence"),
    [
        pytest.param([FIRST, replace(SECOND, actor="mallory"), THIRD], HEAD, CHANGED_2, id="a change"),
        pytest.param([replace(FIRST, at=NOW + timedelta(1)), SECOND, THIRD], HEAD, CHANGED_1, id="of the first"),
        pytest.param([FIRST, SECOND, replace(THIRD, name="x")], HEAD, CHANGED_3, id="of the last"),
        pytest.param([FIRST, rehashed(SECOND, actor="mallory"), THIRD], HEAD, CHANGED_3, id="hashed again"),
        pytest.param([FIRST, SECOND, rehashed(THIRD, name="x")], HEAD, END, id="of the last, hashed again"),
        pytest.param([FIRST, replace(SECOND, hash="0" * 64), THIRD], HEAD, CHANGED_2, id="another hash"),
        pytest.param([SECOND, THIRD], HEAD, LOST_1, id="a missing beginning"),
        pytest.param([FIRST, THIRD], HEAD, LOST_2, id="a gap"),
        pytest.param([FIRST, rehashed(THIRD, number=2)], HEAD, CHANGED_2, id="a gap that was closed"),
        pytest.param([FIRST, SECOND], HEAD, LOST_3, id="a missing end"),
        pytest.param([], HEAD, LOST_1, id="nothing left"),
        pytest.param([FIRST, THIRD, SECOND], HEAD, LOST_2, id="another order"),
        pytest.param(
            [FIRST, replace(THIRD, number=2), replace(SECOND, number=3)], HEAD, CHANGED_2, id="numbers exchanged"
        ),
        pytest.param([FIRST, SECOND, SECOND, THIRD], HEAD, LOST_3, id="one twice"),
        pytest.param([replace(FIRST, number=0), *THREE], HEAD, LOST_1, id="one before the first"),
        pytest.param([*THREE, chain_event(FIRST, HEAD)], HEAD, END, id="one after the last"),
        pytest.param(THREE, AuditHead(), END, id="a missing head"),
        pytest.param(THREE, replace(HEAD, number=2, hash=SECOND.hash), END, id="a head that was set back"),
        pytest.param(THREE, replace(HEAD, number=4), "Event 4 is missing.", id="a head that was set forward"),
        pytest.param(THREE, replace(HEAD, hash=SECOND.hash), END, id="a head with another hash"),
    ],
)
def test_the_first_fault_is_told(events: Chain, head: AuditHead, sentence: str) -> None:
    assert fault(events, head) == sentence


IDS = st.none() | st.sampled_from([UUID(int=number) for number in range(3)])
TEXTS = st.text('aé\0\ud800"\\', max_size=3)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2, 2) | TEXTS, lambda inner: st.lists(inner, max_size=2))
CONTENT: dict[str, st.SearchStrategy[Any]] = {
    "at": st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001 - its zone is drawn
    "act": st.sampled_from(EventType),
    "actor_id": IDS,
    "actor": TEXTS,
    "name": TEXTS,
    "scheduled_job_id": IDS,
    "job_id": IDS,
    "flow_run_id": IDS,
    "deployment_id": IDS,
    "data": st.dictionaries(TEXTS, VALUES, max_size=2),
}
CHAINS = st.lists(st.builds(AuditEvent, **CONTENT), min_size=1, max_size=5).map(chain)


def written(events: Chain) -> str:
    return json.dumps([shape(event) for event in events], sort_keys=True)


@given(recorded=CHAINS, data=st.data(), again=st.booleans())
def test_any_single_change_is_found(recorded: tuple[Chain, AuditHead], data: st.DataObject, again: bool) -> None:
    events, head = recorded
    place = data.draw(st.integers(0, len(events) - 1))
    field = data.draw(st.sampled_from([*CONTENT, "number", "previous_hash", "hash"]))
    others = {"number": st.integers(0, 6), **dict.fromkeys(("previous_hash", "hash"), st.just("1" * 64)), **CONTENT}
    to = {field: data.draw(others[field])}
    changed = [*events]
    changed[place] = rehashed(events[place], **to) if again else replace(events[place], **to)
    assume(written(changed) != written(events))
    assert fault(events, head) == ""
    assert fault(changed, head).endswith((" is missing.", " is not what was recorded."))


def _without(events: Chain, place: int, _: int) -> Chain:
    return events[:place] + events[place + 1 :]


def _twice(events: Chain, place: int, other: int) -> Chain:
    return [*events[:place], events[other], *events[place:]]


def _exchanged(events: Chain, place: int, other: int) -> Chain:
    events = [*events]
    events[place], events[other] = events[other], events[place]
    return events


@pytest.mark.parametrize("numbered", [False, True], ids=["as they were", "numbered anew"])
@pytest.mark.parametrize("change", [_without, _twice, _exchanged])
@given(recorded=CHAINS, data=st.data())
def test_any_event_that_is_gone_or_elsewhere_is_found(
    change: Callable[[Chain, int, int], Chain],
    numbered: bool,
    recorded: tuple[Chain, AuditHead],
    data: st.DataObject,
) -> None:
    events, head = recorded
    place, other = (data.draw(st.integers(0, len(events) - 1)) for _ in range(2))
    changed = change(events, place, other)
    if numbered:
        changed = [replace(event, number=number) for number, event in enumerate(changed, 1)]
    assume(written(changed) != written(events))
    assert fault(changed, head).endswith((" is missing.", " is not what was recorded."))
