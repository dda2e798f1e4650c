"""Who may do what: the type before the object, unknown before forbidden, and nothing that no permission gives."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from approval_gate.constraints import parse
from approval_gate.errors import Forbidden, GateError, NotFound, NotRunnable
from approval_gate.model import Action, Actor, Allowed, Denied, Grant, Hidden, ObjectType, Verdict
from approval_gate.policy import (
    NO_PERMISSION,
    Runnable,
    check_runnable,
    enforce,
    missing,
    on_object,
    on_type,
)

JOB, SCHEDULED, RESULT = ObjectType.JOB, ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT
VIEW, RUN, DELETE = Action.VIEW, Action.RUN, Action.DELETE
ME = UUID(int=1)
PATHS: dict[str, type] = {"name": str, "user": UUID}
MINE, THEIRS = {"name": "a", "user": ME}, {"name": "b", "user": UUID(int=2)}
NO_RUN = "This user does not have permission to run jobs."


def grant(kind: ObjectType, *actions: Action, limit: Any = None) -> Grant:
    return Grant(object_types=frozenset({kind}), actions=frozenset(actions), constraint=parse(limit, PATHS))


def actor(*grants: Grant, **to: Any) -> Actor:
    return Actor(id=ME, username="alice", grants=grants, **to)


NOBODY = actor()
ROOT = actor(superuser=True)
ALL_OF_RUN = grant(JOB, RUN)
OWN = {"user": "$user"}

TYPE_TABLE = [
    pytest.param(NOBODY, VIEW, JOB, Denied(NO_PERMISSION), id="who has no permission may nothing"),
    pytest.param(NOBODY, RUN, JOB, Denied(NO_RUN), id="running has a sentence of its own"),
    pytest.param(NOBODY, RUN, SCHEDULED, Denied(NO_PERMISSION), id="that sentence is for Jobs only"),
    pytest.param(ROOT, DELETE, SCHEDULED, Allowed(), id="a superuser may"),
    pytest.param(actor(ALL_OF_RUN), RUN, JOB, Allowed(), id="a permission gives its action on its type"),
    pytest.param(actor(ALL_OF_RUN), VIEW, JOB, Denied(NO_PERMISSION), id="a permission gives no other action"),
    pytest.param(actor(ALL_OF_RUN), RUN, RESULT, Denied(NO_PERMISSION), id="a permission gives no other type"),
    pytest.param(actor(grant(JOB, VIEW, limit=OWN)), VIEW, JOB, Allowed(), id="a limited permission is enough here"),
    pytest.param(
        actor(superuser=True, read_only=True),
        DELETE,
        SCHEDULED,
        Denied(NO_PERMISSION),
        id="a superuser's read-only token deletes nothing",
    ),
    pytest.param(
        actor(ALL_OF_RUN, read_only=True), RUN, JOB, Denied(NO_PERMISSION), id="a read-only token runs nothing"
    ),
    pytest.param(actor(grant(JOB, VIEW), read_only=True), VIEW, JOB, Allowed(), id="a read-only token looks"),
]


@pytest.mark.parametrize(("who", "action", "kind", "verdict"), TYPE_TABLE)
def test_the_type_comes_first(who: Actor, action: Action, kind: ObjectType, verdict: Verdict) -> None:
    assert on_type(who, action, kind) == verdict


SEES_ALL_DELETES_OWN = actor(grant(SCHEDULED, VIEW), grant(SCHEDULED, DELETE, limit=OWN))
SEES_OWN_DELETES_ALL = actor(grant(SCHEDULED, VIEW, limit=OWN), grant(SCHEDULED, DELETE))
DELETES_OWN = actor(grant(SCHEDULED, DELETE, limit=OWN))

OBJECT_TABLE = [
    pytest.param(NOBODY, None, Denied(NO_PERMISSION), id="without the action on the type it is no, also of nothing"),
    pytest.param(NOBODY, MINE, Denied(NO_PERMISSION), id="without the action on the type the answer is no"),
    pytest.param(ROOT, None, Hidden(), id="what is not there is unknown even to a superuser"),
    pytest.param(ROOT, THEIRS, Allowed(), id="a superuser may with everything"),
    pytest.param(SEES_ALL_DELETES_OWN, MINE, Allowed(), id="what the constraint matches may be deleted"),
    pytest.param(
        SEES_ALL_DELETES_OWN, THEIRS, Denied(NO_PERMISSION), id="what may be seen but not deleted is forbidden"
    ),
    pytest.param(DELETES_OWN, THEIRS, Hidden(), id="what may not be seen is unknown"),
    pytest.param(DELETES_OWN, MINE, Allowed(), id="to delete one need not see"),
    pytest.param(SEES_OWN_DELETES_ALL, THEIRS, Allowed(), id="an action that is given is given unseen"),
    pytest.param(
        actor(grant(SCHEDULED, DELETE, limit={"name": "x"}), grant(SCHEDULED, DELETE, limit=[{"name": "y"}, OWN])),
        MINE,
        Allowed(),
        id="permissions add up, and so do the alternatives of one",
    ),
    pytest.param(
        actor(grant(SCHEDULED, DELETE, limit={"name": "a", "user": str(UUID(int=2))})),
        MINE,
        Hidden(),
        id="all lookups of one alternative must match",
    ),
    pytest.param(
        Actor(id=ME, username="x", superuser=True, read_only=True),
        MINE,
        Denied(NO_PERMISSION),
        id="read-only is read-only",
    ),
]


@pytest.mark.parametrize(("who", "thing", "verdict"), OBJECT_TABLE)
def test_then_comes_the_object(who: Actor, thing: dict[str, Any] | None, verdict: Verdict) -> None:
    assert on_object(who, DELETE, SCHEDULED, thing) == verdict


def test_an_unrunnable_job_that_may_be_seen_is_forbidden_in_its_own_words() -> None:
    who = actor(grant(JOB, VIEW), grant(JOB, RUN, limit={"name": "a"}))
    assert on_object(who, RUN, JOB, THEIRS) == Denied(NO_RUN)


@pytest.mark.parametrize(
    ("kind", "noun"), [(JOB, "Job"), (SCHEDULED, "ScheduledJob"), (RESULT, "JobResult")], ids=lambda value: str(value)
)
def test_what_is_hidden_is_not_found_in_the_contract_s_words(kind: ObjectType, noun: str) -> None:
    assert missing(kind).detail == f"No {noun} matches the given query."
    with pytest.raises(NotFound, match=f"No {noun} matches the given query."):
        enforce(Hidden(), kind)


def test_what_is_denied_is_forbidden_with_its_reason() -> None:
    with pytest.raises(Forbidden, match="because"):
        enforce(Denied("because"), JOB)


def test_what_is_allowed_passes() -> None:
    enforce(Allowed(), JOB)


def job(**to: bool) -> Runnable:
    return Runnable(**{"enabled": True, "installed": True, "is_job_hook_receiver": False, **to})


@pytest.mark.parametrize(
    ("it", "error", "message"),
    [
        pytest.param(job(enabled=False), Forbidden, "This job is not enabled to be run.", id="a disabled Job"),
        pytest.param(
            job(installed=False),
            NotRunnable,
            "This job is not presently installed and cannot be run.",
            id="a Job whose code is gone",
        ),
        pytest.param(
            job(is_job_hook_receiver=True),
            NotRunnable,
            "This job is started by events and cannot be run directly.",
            id="a Job that events start",
        ),
        pytest.param(
            job(enabled=False, installed=False, is_job_hook_receiver=True),
            Forbidden,
            "This job is not enabled to be run.",
            id="a disabled one first of all",
        ),
    ],
)
def test_nobody_runs(it: Runnable, error: type[GateError], message: str) -> None:
    with pytest.raises(error) as caught:
        check_runnable(it)
    assert caught.value.detail == message


def test_an_enabled_installed_job_that_people_start_is_runnable() -> None:
    check_runnable(job())
