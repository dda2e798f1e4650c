"""The use cases around Jobs: what the code declares, and what administrators make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType
from api_shim.domain.model import OVERRIDABLE, Job, ScheduledJob, queue_id
from api_shim.domain.recurrence import Interval
from api_shim.services.jobs import BOTH_FLAGS, JobCatalogue, JobCode
from api_shim.services.running_servers import ThisServer
from api_shim.store import SealedInputs, Store
from approval_gate.constraints import UNLIMITED
from approval_gate.errors import Forbidden, Invalid, NotFound, NotRunnable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Grant, ObjectType
from approval_gate.policy import MAY_NOT_SWITCH
from flows.definition import JobDefinition
from flows.examples import BackUp
from flows.job import Job as JobClass
from flows.variables import JSONVar, MultiChoiceVar
from tests.conftest import Clock
from tests.factories import NOW, OPERATOR, make_job, make_scheduled, make_user

ADMIN = Actor(id=uuid4(), username="admin", superuser=True)


def definition(name: str = "Back up", class_name: str = "BackUp", **to: Any) -> JobDefinition:
    fields = {"module_name": "pack", "grouping": "Tests", "parameter_schema": {}, "has_sensitive_variables": False}
    return JobDefinition(**{**fields, "name": name, "job_class_name": class_name, **to})


@pytest.fixture
def catalogue(store: Store, clock: Clock) -> JobCatalogue:
    return JobCatalogue(store, clock)


@pytest.fixture
def few(sqlite_store: Store, clock: Clock) -> JobCatalogue:
    """One on SQLite, where the database makes no difference."""
    return JobCatalogue(sqlite_store, clock)


def recorded(catalogue: JobCatalogue, *found: JobDefinition) -> dict[str, Job]:
    catalogue.record(found)
    return {job.class_path: job for job in catalogue.jobs()}


def change(catalogue: JobCatalogue, job: Job, body: object, actor: Actor = ADMIN) -> Job:
    with catalogue._store.transaction() as tx:
        tx.add_missing([make_user(str(actor.id), id=actor.id)])
    asyncio.run(catalogue.change(actor, job.id, body))
    return next(each for each in catalogue.jobs() if each.id == job.id)


# What the start finds


@pytest.mark.each_database
def test_a_new_job_is_recorded_disabled_with_all_that_its_code_says(catalogue: JobCatalogue) -> None:
    code = BackUp.definition()
    (job,) = recorded(catalogue, code).values()
    assert (job.enabled, job.installed, job.overridden) == (False, True, ())
    assert (job.created, job.last_updated) == (NOW, NOW)
    assert job.projected_version < job.version
    fields = ("name", "grouping", "description", "approval_required", "variables", "code_digest", "job_queues")
    for field in (*fields, "approval_expires"):
        assert getattr(job, field) == getattr(code, field)
    assert job.parameter_schema == code.parameter_schema
    assert set(job.declared) == set(OVERRIDABLE)


class Choosing(JobClass):
    """A Job with defaults that JSON has another form for."""

    some = MultiChoiceVar(["a", "b"], default=("a",))
    other = JSONVar(default={"a": [1.0]})

    class Meta:
        job_queues = ("a", "b")
        time_limit = 60

    def run(self, *, some: list[str], other: Any) -> None: ...


@pytest.mark.parametrize("code", [BackUp.definition(), Choosing.definition()], ids=lambda code: code.name)
def test_what_has_not_changed_is_not_touched(catalogue: JobCatalogue, clock: Clock, code: JobDefinition) -> None:
    before = recorded(catalogue, code)
    clock.forward(hours=1)
    assert recorded(catalogue, code) == before


def test_when_the_code_changes_the_job_and_prefect_follow(catalogue: JobCatalogue, clock: Clock) -> None:
    (before,) = recorded(catalogue, definition()).values()
    catalogue.set_enabled("Back up", OPERATOR, enabled=True)
    clock.forward(hours=1)
    code = definition(description="New.", code_digest="1", time_limit=5, approval_expires=60.0)
    (after,) = recorded(catalogue, code).values()
    assert (after.id, after.enabled, after.created) == (before.id, True, NOW)
    assert (after.description, after.code_digest, after.time_limit) == ("New.", "1", 5)
    assert after.approval_expires == 60.0
    assert (after.last_updated, after.version) == (clock.now, before.version + 1)


def test_what_an_administrator_overrode_stays_when_the_code_changes(catalogue: JobCatalogue) -> None:
    (job,) = recorded(catalogue, definition(description="Old.")).values()
    change(catalogue, job, {"description": "Ours.", "hidden": True})
    (job,) = recorded(catalogue, definition(description="New.", time_limit=5)).values()
    assert (job.description, job.hidden, job.time_limit) == ("Ours.", True, 5)
    job = change(catalogue, job, {"description_override": False})
    assert (job.description, job.hidden, job.overridden) == ("New.", True, ("hidden",))


def test_a_job_whose_code_is_gone_stays_and_comes_back(catalogue: JobCatalogue, store: Store) -> None:
    (before,) = recorded(catalogue, definition()).values()
    change(catalogue, before, {"enabled": True, "description": "Ours."})
    scheduled = make_scheduled(before, None)
    with store.transaction() as tx:
        tx.add(scheduled)
    (gone,) = recorded(catalogue).values()
    assert (gone.id, gone.installed, gone.enabled, gone.name) == (before.id, False, True, before.name)
    assert recorded(catalogue) == {gone.class_path: gone}, "it is gone once"
    (back,) = recorded(catalogue, definition()).values()
    assert (back.id, back.installed, back.enabled, back.description) == (before.id, True, True, "Ours.")
    assert back.version > gone.version
    with store.transaction(write=False) as tx:
        assert tx.exists(type(scheduled), id=scheduled.id, job_id=before.id)


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        pytest.param({}, {"image": "jobs:1"}, 1, id="some come"),
        pytest.param({"image": "jobs:1"}, {"image": "jobs:2"}, 1, id="others"),
        pytest.param({"image": "jobs:1"}, {}, 1, id="they go"),
        pytest.param({"image": "jobs:1"}, {"image": "jobs:1"}, 0, id="the same, though the description differs"),
        pytest.param(("nightly",), ("nightly", "network"), 1, id="other tags"),
    ],
)
def test_deployments_are_written_anew_when_what_they_have_of_the_job_changes(
    few: JobCatalogue, sqlite_store: Store, before: Any, after: Any, written: int
) -> None:
    field = "job_variables" if isinstance(before, dict) else "tags"
    (job,) = recorded(few, definition(**{field: before})).values()
    recurring, disabled, once = (
        make_scheduled(job, None, **to) for to in ({}, {"enabled": False}, {"interval": Interval.FUTURE})
    )
    with sqlite_store.transaction() as tx:
        for row in (recurring, disabled, once):
            tx.add(row)
    (now,) = recorded(few, definition(**{field: after}, description="New.")).values()
    assert getattr(now, field) == after
    with sqlite_store.transaction(write=False) as tx:
        versions = {row.id: row.version for row in tx.all(ScheduledJob)}
    grown = [versions[row.id] - row.version for row in (recurring, disabled, once)]
    assert grown == [written, written, 0]


# Several servers


def server(**to: Any) -> ThisServer:
    of = {"id": uuid4(), "place": f"host {uuid4()}", "process": 1, "silent_after": timedelta(minutes=15)}
    return ThisServer(**of | {"is_alive": lambda _: True} | to)


def started(store: Store, clock: Clock, me: ThisServer, *found: JobDefinition) -> JobCatalogue:
    """Let a server start with these Jobs."""
    catalogue = JobCatalogue(store, clock, me)
    catalogue.record(found)
    return catalogue


def installed(catalogue: JobCatalogue) -> dict[str, bool]:
    return {job.job_class_name: job.installed for job in catalogue.jobs()}


A, B = definition("A", "A"), definition("B", "B")


def test_servers_with_different_jobs_leave_each_other_theirs(store: Store, clock: Clock) -> None:
    one, two = started(store, clock, server(), A), started(store, clock, server(), B)
    assert installed(one) == {"A": True, "B": True}
    for _ in range(20):
        clock.forward(minutes=1)
        for each in (one, two):
            asyncio.run(each.tick())
    assert installed(one) == {"A": True, "B": True}


def test_no_job_is_gone_because_all_servers_stood_still(store: Store, clock: Clock) -> None:
    _, two = started(store, clock, server(), A), started(store, clock, server(), B)
    clock.forward(minutes=60)
    asyncio.run(two.tick())
    assert installed(two) == {"A": True, "B": True}


@pytest.mark.each_database
def test_a_job_is_gone_when_no_server_that_has_it_was_heard_of_for_a_while(store: Store, clock: Clock) -> None:
    one, two = started(store, clock, server(), A), started(store, clock, server(), B)
    for minutes, gone in ((15, False), (1, True)):
        for _ in range(minutes):
            clock.forward(minutes=1)
            asyncio.run(two.tick())
        assert installed(two) == {"A": not gone, "B": True}
    asyncio.run(one.tick())
    assert installed(one) == {"A": True, "B": True}, "it was only out of reach"


def test_a_server_that_starts_again_without_a_job_shows_it_at_once(store: Store, clock: Clock) -> None:
    here = server()
    started(store, clock, here, A, B)
    again = started(store, clock, server(place=here.place, process=2, is_alive=lambda _: False), B)
    assert installed(again) == {"A": False, "B": True}


def test_what_another_server_has_too_stays_when_one_starts_again_without_it(store: Store, clock: Clock) -> None:
    here = server()
    started(store, clock, here, A, B)
    started(store, clock, server(), A)
    again = started(store, clock, server(place=here.place), B)
    assert installed(again) == {"A": True, "B": True}


def test_of_two_modules_with_a_job_of_one_name_the_one_that_started_last_counts(store: Store, clock: Clock) -> None:
    one = started(store, clock, server(), definition("A", "Old"))
    two = started(store, clock, server(), definition("A", "New"))
    asyncio.run(one.tick())
    asyncio.run(two.tick())
    assert installed(two) == {"Old": False, "New": True}


def test_a_job_that_comes_back_with_other_code_returns_what_was_requested_before(store: Store, clock: Clock) -> None:
    one = started(store, clock, server(), definition("A", "A", approval_required=True))
    (job,) = one.jobs()
    row = make_scheduled(job, None)
    with store.transaction() as tx:
        tx.change(job, installed=False, approval_required=False)
        tx.add(row)
    asyncio.run(one.tick())
    assert installed(one) == {"A": True}
    with store.transaction(write=False) as tx:
        found = tx.get(ScheduledJob, id=row.id)
    assert found is not None
    assert found.approval is ApprovalState.PENDING


def test_a_job_that_comes_back_with_sensitive_variables_has_what_was_scheduled_before_encrypted(
    sqlite_store: Store, clock: Clock
) -> None:
    one = started(sqlite_store, clock, server(), definition("A", "A", has_sensitive_variables=True))
    (job,) = one.jobs()
    with sqlite_store.transaction() as tx:
        tx.change(job, installed=False, has_sensitive_variables=False)
        tx.add(make_scheduled(job, None, inputs={"password": "rosebud"}))
    asyncio.run(one.tick())
    with sqlite_store.transaction(write=False) as tx:
        [row] = tx.all(ScheduledJob)
    assert isinstance(row.inputs, SealedInputs)


def test_what_is_told_every_minute_changes_nothing_of_a_job(store: Store, clock: Clock) -> None:
    one = started(store, clock, server(), A)
    # A server with other code, which has not restarted since.
    two = started(store, clock, server(), definition("A", "A", code_digest="2"))
    before = two.jobs()
    clock.forward(minutes=1)
    for each in (one, two):
        asyncio.run(each.tick())
    assert two.jobs() == before


@pytest.mark.each_database
def test_a_job_that_is_renamed_is_the_same_job(catalogue: JobCatalogue) -> None:
    (before,) = recorded(catalogue, definition("Old name")).values()
    (after,) = recorded(catalogue, definition("New name")).values()
    assert (after.id, after.name, after.version) == (before.id, "New name", before.version + 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"A": "x", "B": "y"}, {"A": "y", "B": "x"}, id="they swap names"),
        pytest.param({"A": "x", "B": "y"}, {"A": "y", "B": "z"}, id="one takes the name that another leaves"),
        pytest.param({"A": "x", "B": "y"}, {"B": "x"}, id="one takes the name of one that is gone"),
        pytest.param({"A": "x"}, {"A": "y", "B": "x"}, id="a new one takes the name that another leaves"),
        pytest.param({"A": "x"}, {"B": "x"}, id="one has moved to another module"),
        pytest.param({"A": "x" * 255}, {"B": "x" * 255}, id="one with a long name has moved"),
    ],
)
def test_names_may_go_from_one_to_another(
    catalogue: JobCatalogue, before: dict[str, str], after: dict[str, str]
) -> None:
    first = recorded(catalogue, *(definition(name, class_name) for class_name, name in before.items()))
    second = recorded(catalogue, *(definition(name, class_name) for class_name, name in after.items()))
    assert {path.removeprefix("pack."): job.name for path, job in second.items() if job.installed} == after
    for path, job in first.items():
        assert second[path].id == job.id
    for job in second.values():
        assert job.installed or job.name not in after.values()


def test_a_job_can_move_again_and_again(catalogue: JobCatalogue) -> None:
    for number in range(4):
        recorded(catalogue, definition(module_name=f"company.of.a.rather.long.name.automation.v{number}"))
    jobs = catalogue.jobs()
    assert [job.module_name[-2:] for job in jobs if job.installed] == ["v3"]
    assert len({job.name for job in jobs}) == 4
    assert all("not installed" in job.name for job in jobs if not job.installed)


def test_a_job_that_moved_is_a_new_one_that_nobody_has_enabled(catalogue: JobCatalogue, store: Store) -> None:
    (old,) = recorded(catalogue, definition(module_name="old")).values()
    with store.transaction() as tx:
        tx.change(old, deployment_id=uuid4(), projected_version=old.version)
    catalogue.set_enabled("Back up", OPERATOR, enabled=True)
    jobs = recorded(catalogue, definition(module_name="new"))
    new, old = jobs["new.BackUp"], jobs["old.BackUp"]
    assert (new.name, new.enabled, new.installed) == ("Back up", False, True)
    assert (old.enabled, old.installed) == (True, False)
    assert old.deployment_id is None, "the deployment goes with the name"
    assert old.projected_version < old.version


# Enabling, on the machine


@pytest.mark.parametrize("name", ["Back up", "pack.BackUp"])
def test_a_job_is_enabled_by_its_name_or_class_path(few: JobCatalogue, clock: Clock, name: str) -> None:
    recorded(few, definition(), definition("Other", "Other"))
    clock.forward(hours=1)
    assert few.set_enabled(name, OPERATOR, enabled=True).enabled
    assert {job.name: job.enabled for job in few.jobs()} == {"Back up": True, "Other": False}
    assert few.set_enabled(name, OPERATOR, enabled=False).last_updated == clock.now


@pytest.mark.parametrize("name", ["back up", "BackUp", "", "%"])
def test_what_is_no_job_cannot_be_enabled(few: JobCatalogue, name: str) -> None:
    recorded(few, definition())
    with pytest.raises(NotFound, match="signoff job list"):
        few.set_enabled(name, OPERATOR, enabled=True)


# What administrators decide


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"enabled": True}, {"enabled": True, "overridden": ()}, id="enabling overrides nothing"),
        pytest.param({"approval_required": True}, {"approval_required": True, "overridden": ("approval_required",)},
                     id="a flag"),
        pytest.param({"time_limit": 5, "soft_time_limit": 2.5}, {"time_limit": 5.0, "soft_time_limit": 2.5},
                     id="limits"),
        pytest.param({"job_queues": ["a", "b", "a"]}, {"job_queues": ("a", "b")}, id="queues, each once"),
        pytest.param({"job_queues": []}, {"job_queues": (), "overridden": ("job_queues",)}, id="no queues"),
        pytest.param({"task_queues": ["a"]}, {"job_queues": ("a",), "overridden": ("job_queues",)},
                     id="queues under their older name"),
        pytest.param({"task_queues": ["a"], "job_queues": ["b"]}, {"job_queues": ("b",)},
                     id="both names: the newer counts"),
        pytest.param({"description": ""}, {"description": "", "overridden": ("description",)}, id="an empty text"),
        pytest.param({"hidden_override": True}, {"hidden": False, "overridden": ("hidden",)},
                     id="an override of what holds now"),
        pytest.param({"hidden": True, "hidden_override": True}, {"hidden": True, "overridden": ("hidden",)},
                     id="a value with its override"),
        pytest.param({"hidden": True, "hidden_override": False}, {"hidden": False, "overridden": ()},
                     id="a value whose override is taken back with it"),
        pytest.param({"hidden_override": False}, {"hidden": False, "overridden": ()}, id="nothing to take back"),
        pytest.param({"job_queues": [str(queue_id("default")), {"id": str(queue_id("default")), "url": "x"}]},
                     {"job_queues": (), "overridden": ("job_queues",)}, id="the queues that it has, by id"),
        pytest.param({}, {"overridden": ()}, id="nothing"),
    ],
)  # fmt: skip
def test_decides(few: JobCatalogue, body: dict[str, Any], expected: dict[str, Any]) -> None:
    (job,) = recorded(few, definition(description="Code.")).values()
    changed = change(few, job, body)
    assert {name: getattr(changed, name) for name in expected} == expected
    assert changed.version == job.version + 1


def test_an_override_that_is_taken_back_gives_what_the_code_says(few: JobCatalogue) -> None:
    code = definition(
        description="Code.",
        approval_required=True,
        is_singleton=True,
        hidden=True,
        dryrun_default=True,
        soft_time_limit=1.5,
        time_limit=60,
        job_queues=("a", "b"),
    )
    (job,) = recorded(few, code).values()
    ours = {"description": "Ours.", "job_queues": [], "soft_time_limit": 0, "time_limit": 0}
    flags = dict.fromkeys(("approval_required", "is_singleton", "hidden", "dryrun_default"), False)
    change(few, job, {**ours, **flags, "has_sensitive_variables": True})
    back = change(few, job, {f"{field}_override": False for field in OVERRIDABLE})
    assert replace(back, version=job.version) == job
    assert change(few, job, {"task_queues": ["x"]}).job_queues == ("x",)
    assert change(few, job, {"task_queues_override": False}).job_queues == ("a", "b")


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        pytest.param({"enabled": "true"}, ["enabled"], id="a text for a flag"),
        pytest.param({"hidden": 1, "enabled": None}, ["hidden", "enabled"], id="all faults at once"),
        pytest.param({"hidden_override": "no"}, ["hidden_override"], id="a text for an override"),
        pytest.param({"hidden": "x", "hidden_override": False}, ["hidden"], id="a bad value that would not count"),
        *[pytest.param({"time_limit": value}, ["time_limit"], id=f"the limit {value!r}")
          for value in (-1, "5", True, None, float("nan"), float("inf"), 1e8, [])],
        *[pytest.param({"description": value}, ["description"], id=f"the description {value!r:.12}")
          for value in (None, 5, "a\0b", "\ud800", "x" * 10_001)],
        *[pytest.param({"job_queues": value}, ["job_queues"], id=f"the queues {value!r:.12}")
          for value in ("a", None, [""], [5], ["a/b"], ["a%"], ["a\n"], ["\ud800"], ["x" * 256], {"a": 1})],
        pytest.param({"task_queues": "a"}, ["job_queues"], id="a text for queues under their older name"),
        pytest.param({"job_queues": [{"id": str(uuid4())}]}, ["job_queues"], id="an id of no queue"),
        pytest.param({"job_queues": [{"id": "default"}]}, ["job_queues"], id="a name for an id"),
        pytest.param({"name": "x", "installed": False, "id": "1", "bogus": 1, "enabled": True},
                     ["name", "installed", "id", "bogus"], id="what cannot be changed"),
    ],
)  # fmt: skip
def test_refuses_what_a_field_cannot_be(few: JobCatalogue, body: dict[str, Any], faults: list[str]) -> None:
    (job,) = recorded(few, definition()).values()
    with pytest.raises(Invalid) as refused:
        change(few, job, body)
    assert isinstance(refused.value.detail, dict)
    assert set(refused.value.detail) == set(faults)
    assert few.jobs() == [job]


@pytest.mark.parametrize("body", [[], "enabled", None, 5])
def test_refuses_what_is_no_object(few: JobCatalogue, body: object) -> None:
    (job,) = recorded(few, definition()).values()
    with pytest.raises(Invalid, match="Expected a dictionary"):
        change(few, job, body)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        pytest.param({}, {"approval_required": True, "has_sensitive_variables": True}, id="both at once"),
        pytest.param({"has_sensitive_variables": True}, {"approval_required": True}, id="one beside the code's other"),
        pytest.param({"approval_required": True}, {"has_sensitive_variables": True}, id="the other way round"),
    ],
)
def test_refuses_both_flags(few: JobCatalogue, code: dict[str, Any], body: dict[str, Any]) -> None:
    (job,) = recorded(few, definition(**code)).values()
    with pytest.raises(Invalid) as refused:
        change(few, job, body)
    assert refused.value.detail == {"approval_required": [BOTH_FLAGS]}
    assert few.jobs() == [job]


def test_refuses_to_take_back_an_override_where_that_gives_both_flags(few: JobCatalogue) -> None:
    (job,) = recorded(few, definition(has_sensitive_variables=True)).values()
    change(few, job, {"has_sensitive_variables": False, "approval_required": True})
    with pytest.raises(Invalid, match="sensitive"):
        change(few, job, {"has_sensitive_variables_override": False})


def someone(*actions: Action, read_only: bool = False) -> Actor:
    grant = Grant(object_types=frozenset({ObjectType.JOB}), actions=frozenset(actions), constraint=UNLIMITED)
    return Actor(id=uuid4(), username="someone", grants=(grant,), read_only=read_only)


def test_queues_are_referred_to_by_id_by_those_who_may_see_them(few: JobCatalogue) -> None:
    jobs = recorded(few, definition(), definition("Other", "Other", job_queues=("bulk",)))
    bulk = {"job_queues": [{"id": str(queue_id("bulk"))}]}
    with pytest.raises(Invalid, match="There is no job queue"):
        change(few, jobs["pack.BackUp"], bulk, someone(Action.CHANGE))
    assert change(few, jobs["pack.Other"], bulk, someone(Action.CHANGE)).job_queues == ("bulk",)
    assert change(few, jobs["pack.BackUp"], bulk).job_queues == ("bulk",)


@pytest.mark.parametrize(
    ("actor", "exists", "refusal"),
    [
        pytest.param(someone(Action.VIEW), True, Forbidden, id="who may only view"),
        pytest.param(someone(Action.VIEW), False, Forbidden, id="who may only view learns not whether it exists"),
        pytest.param(someone(Action.CHANGE, read_only=True), True, Forbidden, id="a read-only token"),
        pytest.param(someone(Action.CHANGE), False, NotFound, id="a Job that is not there"),
    ],
)
def test_who_may_not(few: JobCatalogue, actor: Actor, exists: bool, refusal: type[Exception]) -> None:
    (job,) = recorded(few, definition()).values()
    with pytest.raises(refusal):
        change(few, job if exists else make_job(), {"enabled": True}, actor)
    assert few.jobs() == [job]


def test_who_may_change_and_not_view_can_change(few: JobCatalogue) -> None:
    (job,) = recorded(few, definition()).values()
    assert change(few, job, {"enabled": True}, someone(Action.CHANGE)).enabled


def test_who_has_just_been_removed_can_change_nothing(few: JobCatalogue) -> None:
    (job,) = recorded(few, definition()).values()
    with pytest.raises(Forbidden, match="removed or deactivated"):
        asyncio.run(few.change(ADMIN, job.id, {"enabled": True}))


# Who switches approval off


OFF, ON = {"approval_required": False}, {"approval_required": True}


@pytest.mark.parametrize(
    ("code", "body", "needs"),
    [
        pytest.param({"approval_required": True}, OFF, True, id="approval is switched off"),
        pytest.param({}, ON, True, id="approval is switched on"),
        pytest.param({}, {"has_sensitive_variables": True}, True, id="it is said to be sensitive"),
        pytest.param({}, {"approval_required_override": True}, True, id="what the code says now is to stay"),
        pytest.param({"approval_required": True}, {"enabled": True}, False, id="it is enabled"),
        pytest.param({"approval_required": True}, {"approval_required_override": False}, False, id="what is so anyway"),
        pytest.param({"approval_required": True}, {"time_limit": 5}, False, id="a limit"),
    ],
)
def test_to_switch_approval_or_sensitivity_one_must_be_able_to_approve(
    few: JobCatalogue, code: dict[str, Any], body: dict[str, Any], needs: bool
) -> None:
    (job,) = recorded(few, definition(**code)).values()
    if needs:
        with pytest.raises(Forbidden, match=MAY_NOT_SWITCH):
            change(few, job, body, someone(Action.CHANGE))
        assert few.jobs() == [job]
    change(few, job, body, someone(Action.CHANGE, *([Action.APPROVE] if needs else [])))


def test_who_has_switched_approval_off_is_known_until_it_is_on(few: JobCatalogue, clock: Clock) -> None:
    (job,) = recorded(few, definition(approval_required=True)).values()
    off = change(few, job, OFF)
    assert off.approval_off == {"by": "admin", "at": NOW.isoformat()}
    clock.forward(hours=1)
    assert change(few, job, {"hidden": True}).approval_off == off.approval_off
    assert change(few, job, ON).approval_off is None


@pytest.mark.parametrize(
    ("before", "body", "after", "mark"),
    [
        pytest.param({"approval_required": True}, {}, {}, None, id="its code no longer asks for approval"),
        pytest.param({}, OFF, {"approval_required": True}, {"by": "", "at": NOW.isoformat()},
                     id="its code begins to ask, and an override stands against it"),
        pytest.param({}, ON, {"approval_required": True}, None, id="code and override agree"),
    ],
)  # fmt: skip
def test_code_that_changes_switches_nothing_off_by_itself(
    few: JobCatalogue, before: dict[str, Any], body: dict[str, Any], after: dict[str, Any], mark: object
) -> None:
    (job,) = recorded(few, definition(**before)).values()
    change(few, job, body)
    assert recorded(few, definition(**after))["pack.BackUp"].approval_off == mark


# Whose inputs may be sensitive


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(lambda few, job: change(few, job, {"has_sensitive_variables": True}), id="by a person"),
        pytest.param(lambda few, _: few.record([definition(has_sensitive_variables=True)]), id="by its code"),
    ],
)
def test_what_was_scheduled_before_a_job_is_marked_is_encrypted_then(
    few: JobCatalogue, mark: Callable[[JobCatalogue, Job], Any]
) -> None:
    (job,) = recorded(few, definition()).values()
    with few._store.transaction() as tx:
        tx.add(row := make_scheduled(job, None, inputs={"password": "rosebud"}))
    mark(few, job)
    with few._store.transaction(write=False) as tx:
        found = tx.get(ScheduledJob, id=row.id)
    assert found is not None
    assert isinstance(found.inputs, SealedInputs)
    assert dict(found.inputs) == row.inputs


# The audit


def events(catalogue: JobCatalogue) -> list[tuple[EventType, str, dict[str, Any]]]:
    with catalogue._store.transaction(write=False) as tx:
        return [(event.act, event.actor, dict(event.data)) for event in tx.events(0, 100)]


def test_a_switch_is_an_event_of_its_own_and_names_who_may_approve(few: JobCatalogue) -> None:
    (job,) = recorded(few, definition(approval_required=True)).values()
    with few._store.transaction() as tx:
        tx.add(make_user("boss", is_superuser=True), make_user("gone", is_superuser=True, is_active=False))
        tx.add(make_user("nobody"))
    change(few, job, {**OFF, "time_limit": 5, "job_queues": ["bulk"], "description": "x" * 500})
    change(few, job, ON)
    (off, changed, on) = events(few)
    switched = {"approval_required": {"old": True, "new": False}}
    assert off == (EventType.APPROVAL_SWITCHED_OFF, "admin", {"changes": switched, "approvers": ["boss"]})
    assert changed == (
        EventType.JOB_CHANGED,
        "admin",
        {
            "changes": {
                "description": {"old": "", "new": "x" * 200 + "…"},
                "job_queues": {"old": [], "new": ["bulk"]},
                "overridden": {"old": [], "new": ["approval_required", "description", "job_queues", "time_limit"]},
                "time_limit": {"old": 0.0, "new": 5.0},
            }
        },
    )
    assert on[0] is EventType.APPROVAL_SWITCHED_ON


@pytest.mark.parametrize(
    ("act", "recorded_as"),
    [
        pytest.param(lambda few, _: few.set_enabled("Back up", OPERATOR, enabled=True),
                     (EventType.JOB_CHANGED, OPERATOR.username, {"enabled": {"old": False, "new": True}}),
                     id="enabled on the machine"),
        pytest.param(lambda few, job: change(few, job, {"has_sensitive_variables": True}),
                     (EventType.SENSITIVITY_CHANGED, "admin", {"has_sensitive_variables": {"old": False, "new": True}}),
                     id="said to be sensitive"),
        pytest.param(lambda few, _: few.record([definition(approval_required=True)]),
                     (EventType.APPROVAL_SWITCHED_ON, "", {"approval_required": {"old": False, "new": True}}),
                     id="changed by its code"),
        pytest.param(lambda few, _: few.record([]),
                     (EventType.JOB_CHANGED, "", {"installed": {"old": True, "new": False}}), id="gone"),
    ],
)  # fmt: skip
def test_whatever_changes_a_job_is_recorded(
    few: JobCatalogue, act: Callable[[JobCatalogue, Job], Any], recorded_as: tuple[EventType, str, Any]
) -> None:
    (job,) = recorded(few, definition()).values()
    act(few, job)
    (done, by, said) = events(few)[0]
    assert (done, by, said["changes"]) == recorded_as


def test_what_changes_nothing_is_not_recorded(few: JobCatalogue) -> None:
    (job,) = recorded(few, definition()).values()
    change(few, job, {"enabled": False})
    recorded(few, definition(code_digest="1"))
    assert events(few) == []


# The code


def example(**to: Any) -> Job:
    code = BackUp.definition()
    return make_job(module_name=code.module_name, job_class_name=code.job_class_name, supports_dryrun=True, **to)


@pytest.mark.parametrize(
    ("job", "data", "dryrun"),
    [
        pytest.param(example(), {}, False, id="the administrator's default is no dry run"),
        pytest.param(example(dryrun_default=True), {}, True, id="it is one"),
        pytest.param(example(dryrun_default=True), {"dryrun": "off"}, False, id="who asks decides"),
    ],
)
def test_a_dry_run_that_nobody_mentions_is_as_the_administrator_says(
    job: Job, data: dict[str, Any], dryrun: bool
) -> None:
    inputs = JobCode().validate(job, {"source": "a", "target": "b", **data})
    assert inputs == {"source": "a", "target": "b", "keep": 7, "dryrun": dryrun}


@pytest.mark.parametrize("data", [[], None, "x", {"bogus": 1}])
def test_the_code_refuses_in_the_words_of_the_contract(data: object) -> None:
    with pytest.raises(Invalid) as refused:
        JobCode().validate(example(), data)
    assert isinstance(refused.value.detail, dict)
    assert set(refused.value.detail) == {"errors"}


def test_code_that_is_gone_cannot_be_asked() -> None:
    with pytest.raises(NotRunnable):
        JobCode().validate(make_job(), {})
