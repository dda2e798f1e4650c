"""Who may do what: the type before the object, unknown before forbidden, and nothing that no permission gives.

And who may decide about a request: every permission, the four eyes, every state, and the order of refusals.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, product
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.constraints import UNLIMITED, parse
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable, Outdated
from approval_gate.identity import Identity
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, Denied, Grant, Hidden, ObjectType, Verdict
from approval_gate.ownership import assume, hand_over, inherit, receive
from approval_gate.policy import (
    ACCOUNT_INACTIVE,
    ACCOUNT_MAY_NOT,
    AUTOMATION_CHANGED,
    BEHIND_ITS_AGENT,
    BEHIND_ITS_AUTOMATION,
    BEHIND_ITS_RUN,
    CHANGED,
    DEEPEST,
    DRY_RUNS_ONLY,
    EDITED,
    FOR_NOBODY,
    ITS_ACCOUNT_GONE,
    ITS_PERSON_MAY_NOT,
    JOB_GONE,
    LAST_SUPERUSER,
    MAY_NOT_APPROVE,
    MAY_NOT_DENY,
    MAY_NOT_RUN,
    MAY_NOT_RUN_ITS_JOBS,
    MAY_NOT_SWITCH,
    NAMED_BEFORE,
    NO_DRY_RUN_BY_AGENTS,
    NO_JOB_VARIABLES,
    NO_PERMISSION,
    NOT_AS_BOUND,
    NOT_BOUND,
    NOT_BY_PASSWORD,
    NOT_ITS_POOL,
    NOT_ITS_RUN,
    NOT_ITS_WORKER,
    NOT_LET_GO,
    NOT_NAMED,
    NOT_NEEDED,
    ONCE_OWNED,
    ORIGIN_GONE,
    OUTLASTS,
    OWN_PASSWORD,
    OWN_REQUEST,
    PASSWORD_OUTLASTS,
    PAST_DUE,
    REUSED_BY_SUPERUSERS,
    RUN_CANCELLED,
    RUN_OVER,
    RUN_WITHOUT_USER,
    RUNS_NO_JOB,
    SAME_PERSON,
    SIGNS_IN_AS_THEM,
    SUPERUSERS_ONLY,
    TOO_DEEP,
    TOO_LONG_A_LINE,
    FiringFacts,
    RequestFacts,
    RunFacts,
    Runnable,
    acts_as_user,
    acts_by_automation,
    acts_on_what_was_seen,
    approve,
    bind_automation,
    cancel,
    change_job,
    check_object,
    check_result,
    check_type,
    deny,
    dry_run,
    enforce,
    may_administer,
    may_change_password,
    may_last,
    may_look_at_automations,
    may_lose_superuser,
    may_make_token,
    may_reuse_names,
    may_set_password,
    may_touch_superuser,
    missing,
    only_works,
    requests_as_agent,
    requests_from_run,
    resume,
    run_again,
    runnable,
    speaks_for_run,
    takes_run,
    views_all_of_prefect,
    views_anything_in_prefect,
    views_every_run,
    views_everybody,
    views_prefect,
    worker_speaks_for_run,
    works,
)

JOB, SCHEDULED, RESULT = ObjectType.JOB, ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT
USER, GROUP, TOKEN, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.TOKEN, ObjectType.PERMISSION
VIEW, ADD, CHANGE, DELETE = Action.VIEW, Action.ADD, Action.CHANGE, Action.DELETE
RUN, APPROVE = Action.RUN, Action.APPROVE
ME = UUID(int=1)
PATHS: dict[str, type] = {"name": str, "user": UUID}
MINE, THEIRS = {"name": "a", "user": ME}, {"name": "b", "user": UUID(int=2)}
SOON, LATER = datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 5, 5, tzinfo=UTC)
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
    assert check_type(who, action, kind) == verdict


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
    assert check_object(who, DELETE, SCHEDULED, thing) == verdict


def test_an_unrunnable_job_that_may_be_seen_is_forbidden_in_its_own_words() -> None:
    who = actor(grant(JOB, VIEW), grant(JOB, RUN, limit={"name": "a"}))
    assert check_object(who, RUN, JOB, THEIRS) == Denied(NO_RUN)


@pytest.mark.parametrize(
    ("kind", "noun"),
    [
        (JOB, "Job"),
        (SCHEDULED, "ScheduledJob"),
        (RESULT, "JobResult"),
        (USER, "User"),
        (GROUP, "Group"),
        (TOKEN, "Token"),
        (PERMISSION, "ObjectPermission"),
    ],
    ids=lambda value: str(value),
)
def test_what_is_hidden_is_not_found_in_the_contract_s_words(kind: ObjectType, noun: str) -> None:
    assert missing(kind).detail == f"No {noun} matches the given query."
    with pytest.raises(NotFound, match=f"No {noun} matches the given query."):
        enforce(Hidden(), kind)


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        pytest.param(Denied("because"), Forbidden, id="unless something else is said"),
        pytest.param(Denied("because", Conflict), Conflict, id="a contradiction"),
        pytest.param(Denied("because", Invalid), Invalid, id="a bad request"),
        pytest.param(Denied("because", NotRunnable), NotRunnable, id="a thing that cannot"),
    ],
)
def test_what_is_denied_is_the_error_that_it_names_with_its_reason(verdict: Denied, error: type[GateError]) -> None:
    with pytest.raises(GateError) as caught:
        enforce(verdict, JOB)
    assert type(caught.value) is error
    assert caught.value.detail == "because"


def test_what_is_allowed_passes_and_only_that() -> None:
    enforce(Allowed(), JOB)
    with pytest.raises(GateError):
        enforce(Denied(""), JOB)


# Settings of Jobs

SWITCH, OTHER = "approval_required", "time_limit"
CHANGES_ALL = grant(JOB, VIEW, CHANGE)

JOB_TABLE = [
    pytest.param(NOBODY, MINE, {OTHER}, Denied(NO_PERMISSION), id="who may nothing changes nothing"),
    pytest.param(
        actor(grant(JOB, APPROVE)), MINE, {SWITCH}, Denied(NO_PERMISSION), id="who only approves changes none"
    ),
    pytest.param(actor(CHANGES_ALL), MINE, {OTHER}, Allowed(), id="who changes Jobs changes other settings"),
    pytest.param(actor(CHANGES_ALL), MINE, {OTHER, SWITCH}, Denied(MAY_NOT_SWITCH), id="but not the need for approval"),
    pytest.param(
        actor(CHANGES_ALL), MINE, {"has_sensitive_variables"}, Denied(MAY_NOT_SWITCH), id="nor whether it is sensitive"
    ),
    pytest.param(actor(CHANGES_ALL, grant(JOB, APPROVE)), MINE, {SWITCH}, Allowed(), id="who approves too switches"),
    pytest.param(
        actor(CHANGES_ALL, grant(JOB, APPROVE, limit={"name": "a"})), MINE, {SWITCH}, Allowed(), id="of their own Jobs"
    ),
    pytest.param(
        actor(CHANGES_ALL, grant(JOB, APPROVE, limit={"name": "a"})),
        THEIRS,
        {SWITCH},
        Denied(MAY_NOT_SWITCH),
        id="but of no others",
    ),
    pytest.param(ROOT, THEIRS, {SWITCH}, Allowed(), id="a superuser switches"),
    pytest.param(
        actor(superuser=True, read_only=True),
        MINE,
        {SWITCH},
        Denied(NO_PERMISSION),
        id="but not with a read-only token",
    ),
    pytest.param(ROOT, None, {SWITCH}, Hidden(), id="what is not there is unknown"),
]


@pytest.mark.parametrize(("who", "job", "fields", "verdict"), JOB_TABLE)
def test_who_may_change_a_job(who: Actor, job: Any, fields: set[str], verdict: Verdict) -> None:
    assert change_job(who, job, fields) == verdict


# What an addition or a change makes of an object


@pytest.mark.parametrize("action", [ADD, CHANGE])
@pytest.mark.parametrize(
    ("limits", "thing", "verdict"),
    [
        pytest.param([None], THEIRS, Allowed(), id="who has no limits may make anything of it"),
        pytest.param([{"name": "a"}], MINE, Allowed(), id="what is within the limits may be"),
        pytest.param([{"name": "a"}], THEIRS, Denied(NO_PERMISSION), id="what is not is forbidden, not unknown"),
        pytest.param([{"name": "a"}, {"name": "b"}], THEIRS, Allowed(), id="permissions add up"),
        pytest.param([], MINE, Denied(NO_PERMISSION), id="without permission nothing may be"),
    ],
)
def test_what_is_made_of_an_object_is_within_the_limits_too(
    action: Action, limits: list[Any], thing: dict[str, Any], verdict: Verdict
) -> None:
    who = actor(*(grant(GROUP, action, limit=limit) for limit in limits))
    assert check_result(who, action, GROUP, thing) == verdict
    assert check_result(replace(who, superuser=True), action, GROUP, thing) == Allowed()


# Tokens

OWN_TOKEN = [
    pytest.param(NOBODY, MINE, Allowed(), id="who has no permission may with their own"),
    pytest.param(NOBODY, THEIRS, Hidden(), id="and knows of no other"),
    pytest.param(NOBODY, None, Hidden(), id="nor of one that is not there"),
    pytest.param(NOBODY, {"user": None}, Hidden(), id="nor of one that is nobody's"),
    pytest.param(actor(grant(TOKEN, VIEW, ADD, CHANGE, DELETE)), THEIRS, Allowed(), id="a permission gives others'"),
    pytest.param(
        actor(grant(TOKEN, VIEW, ADD, CHANGE, DELETE, limit={"name": "x"})),
        MINE,
        Allowed(),
        id="a permission that is limited to others takes their own from nobody",
    ),
    pytest.param(actor(grant(USER, VIEW, ADD, CHANGE, DELETE)), THEIRS, Hidden(), id="a user's token is not the user"),
    pytest.param(ROOT, THEIRS, Allowed(), id="a superuser may with anybody's"),
]


@pytest.mark.parametrize("action", [VIEW, CHANGE, DELETE])
@pytest.mark.parametrize(("who", "thing", "verdict"), OWN_TOKEN)
def test_everybody_may_with_tokens_of_their_own(
    who: Actor, thing: dict[str, Any] | None, verdict: Verdict, action: Action
) -> None:
    assert check_object(who, action, TOKEN, thing) == verdict


@pytest.mark.parametrize(
    ("thing", "verdict"),
    [pytest.param(MINE, Allowed(), id="for themselves"), pytest.param(THEIRS, Denied(NO_PERMISSION), id="for another")],
)
def test_everybody_makes_tokens_for_themselves(thing: dict[str, Any], verdict: Verdict) -> None:
    assert check_type(NOBODY, ADD, TOKEN) == Allowed()
    for action in (ADD, CHANGE):
        assert check_result(NOBODY, action, TOKEN, thing) == verdict


def test_who_sees_the_token_of_another_and_no_more_is_told_so() -> None:
    who = actor(grant(TOKEN, VIEW))
    for action in (CHANGE, DELETE):
        assert check_object(who, action, TOKEN, THEIRS) == Denied(NO_PERMISSION)


@pytest.mark.parametrize("who", [NOBODY, ROOT], ids=["of somebody", "of a superuser"])
def test_a_read_only_token_sees_their_tokens_and_makes_none(who: Actor) -> None:
    reader = replace(who, read_only=True)
    assert check_object(reader, VIEW, TOKEN, MINE) == Allowed()
    assert check_type(reader, ADD, TOKEN) == Denied(NO_PERMISSION)
    for action in (CHANGE, DELETE):
        assert check_object(reader, action, TOKEN, MINE) == Denied(NO_PERMISSION)


def test_what_is_everybodys_is_about_tokens_and_requests_alone() -> None:
    given = {(action, kind) for action in Action for kind in ObjectType if NOBODY.may(action, kind)}
    assert given == {(action, TOKEN) for action in (VIEW, ADD, CHANGE, DELETE)} | {(VIEW, ObjectType.APPROVAL_REQUEST)}


@pytest.mark.parametrize("part", ["user", "owner", "decided_by_user"])
def test_a_request_is_shown_to_who_had_a_part_in_it_and_to_nobody_else(part: str) -> None:
    others = dict.fromkeys(("user", "owner", "decided_by_user"), uuid4())
    assert NOBODY.may(VIEW, ObjectType.APPROVAL_REQUEST, {**others, part: NOBODY.id})
    assert not NOBODY.may(VIEW, ObjectType.APPROVAL_REQUEST, others)


@pytest.mark.parametrize(
    ("expires", "ends", "verdict"),
    [
        pytest.param(None, None, Allowed(), id="one that never ends makes others that never end"),
        pytest.param(LATER, None, Allowed(), id="and some that end"),
        pytest.param(SOON, LATER, Allowed(), id="one that ends gives others an earlier end"),
        pytest.param(LATER, LATER, Allowed(), id="and its own"),
        pytest.param(LATER, SOON, Denied(OUTLASTS, Invalid), id="and no later one"),
        pytest.param(None, SOON, Denied(OUTLASTS, Invalid), id="and none is without an end by its doing"),
    ],
)
def test_no_token_lasts_longer_by_its_own_doing(
    expires: datetime | None, ends: datetime | None, verdict: Verdict
) -> None:
    assert may_last(expires, ends=ends) == verdict


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        pytest.param(1, Allowed(), id="one that was not made with another"),
        pytest.param(4, Allowed(), id="the last but one of a line"),
        pytest.param(5, Denied(TOO_LONG_A_LINE), id="the last of a line makes none"),
    ],
)
def test_a_line_of_tokens_is_short(line: int, verdict: Verdict) -> None:
    assert may_make_token(line=line) == verdict


# Passwords and administration

OF_BOB = {"id": uuid4(), "user": ROOT.id, "user__username": "bob", "write_enabled": True, "expires": None}


def test_a_password_is_changed_by_who_has_signed_in_with_it() -> None:
    assert may_change_password(NOBODY, by_password=True) == Allowed()
    assert may_change_password(NOBODY, by_password=False) == Denied(NOT_BY_PASSWORD)
    assert may_change_password(replace(NOBODY, read_only=True), by_password=True) == Denied(NO_PERMISSION)


@pytest.mark.parametrize(
    ("actor", "ends", "verdict"),
    [
        pytest.param(replace(ROOT, id=uuid4()), None, Allowed(), id="a superuser"),
        pytest.param(ROOT, None, Denied(OWN_PASSWORD), id="nobody their own"),
        pytest.param(
            replace(NOBODY, id=uuid4()),
            None,
            Denied(SIGNS_IN_AS_THEM),
            id="nobody without the permission for such a token",
        ),
        pytest.param(replace(ROOT, id=uuid4()), SOON, Denied(PASSWORD_OUTLASTS), id="nobody with a token that ends"),
    ],
)
def test_who_sets_the_password_of_another_user(actor: Actor, ends: datetime | None, verdict: Verdict) -> None:
    assert may_set_password(actor, ROOT.id, OF_BOB, ends=ends) == verdict


def test_what_no_permission_shows_is_for_superusers() -> None:
    every = Grant(object_types=frozenset(ObjectType), actions=frozenset(Action), constraint=UNLIMITED)
    assert may_administer(ROOT) == Allowed()
    assert may_administer(replace(NOBODY, grants=(every,))) == Hidden()


# Superusers


@pytest.mark.parametrize(
    ("who", "superuser", "verdict"),
    [
        pytest.param(NOBODY, False, Allowed(), id="whom else it concerns is no matter of this rule"),
        pytest.param(ROOT, False, Allowed(), id="a superuser touches others"),
        pytest.param(ROOT, True, Allowed(), id="a superuser touches a superuser"),
        pytest.param(NOBODY, True, Denied(SUPERUSERS_ONLY), id="who is none does not"),
        pytest.param(
            actor(grant(USER, VIEW, ADD, CHANGE, DELETE), grant(TOKEN, VIEW, ADD, CHANGE, DELETE)),
            True,
            Denied(SUPERUSERS_ONLY),
            id="and no permission lets them",
        ),
    ],
)
def test_only_a_superuser_touches_a_superuser(who: Actor, superuser: bool, verdict: Verdict) -> None:
    assert may_touch_superuser(who, superuser=superuser) == verdict


def test_only_a_superuser_says_that_a_name_is_given_again() -> None:
    assert may_reuse_names(ROOT) == Allowed()
    assert may_reuse_names(actor(grant(USER, VIEW, ADD, CHANGE, DELETE))) == Denied(REUSED_BY_SUPERUSERS)


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        pytest.param(0, Denied(LAST_SUPERUSER, Conflict), id="the last one stays"),
        pytest.param(1, Allowed(), id="one other is enough"),
        pytest.param(2, Allowed(), id="and so are two"),
    ],
)
def test_one_superuser_remains(others: int, verdict: Verdict) -> None:
    assert may_lose_superuser(others=others) == verdict


# Whether a Job can be started

DISABLED = Denied("This job is not enabled to be run.", Forbidden)
NOT_INSTALLED = Denied("This job is not presently installed and cannot be run.", NotRunnable)
RECEIVER = Denied("This job is started by events and cannot be run directly.", NotRunnable)


def job(**to: bool) -> Runnable:
    return Runnable(**{"enabled": True, "installed": True, "is_job_hook_receiver": False, **to})


@pytest.mark.parametrize(
    ("it", "verdict"),
    [
        pytest.param(job(), Allowed(), id="an enabled, installed Job that people start can"),
        pytest.param(job(enabled=False), DISABLED, id="a disabled Job cannot"),
        pytest.param(job(installed=False), NOT_INSTALLED, id="a Job whose code is gone cannot"),
        pytest.param(job(is_job_hook_receiver=True), RECEIVER, id="a Job that events start cannot"),
        pytest.param(job(enabled=False, installed=False), DISABLED, id="disabled before gone"),
        pytest.param(job(enabled=False, is_job_hook_receiver=True), DISABLED, id="disabled before started by events"),
        pytest.param(
            job(installed=False, is_job_hook_receiver=True), NOT_INSTALLED, id="gone before started by events"
        ),
        pytest.param(
            job(enabled=False, installed=False, is_job_hook_receiver=True), DISABLED, id="disabled first of all"
        ),
    ],
)
def test_which_jobs_can_be_started(it: Runnable, verdict: Verdict) -> None:
    assert runnable(it) == verdict


# Decisions about requests: carol's, about which alice decides

CAROL, DAVE = UUID(int=3), UUID(int=4)
NIGHTLY, BACKUP = {"name": "nightly", "user": CAROL}, {"name": "backup", "user": None}
THIS_REQUEST, THIS_JOB, ANOTHER = {"name": "nightly"}, {"name": "backup"}, {"name": "another"}
BY_DAVE = "Approved by dave on 2026-05-04 at 12:00."
SETTLED = {
    ApprovalState.NOT_REQUIRED: "",
    ApprovalState.PENDING: "",
    ApprovalState.APPROVED: BY_DAVE,
    ApprovalState.DENIED: "Denied by dave on 2026-05-04 at 12:00.",
    ApprovalState.EXPIRED: "Expired on 2026-05-04 at 12:00; nobody had decided.",
    ApprovalState.WITHDRAWN: "Withdrawn by carol on 2026-05-04 at 12:00.",
}


def named(names: frozenset[str]) -> Identity:
    return Identity(names=names)


def request(approval: ApprovalState = ApprovalState.PENDING, **to: Any) -> RequestFacts:
    asked = RequestFacts(
        thing=NIGHTLY,
        job=BACKUP,
        requester=CAROL,
        owner=CAROL,
        owners=frozenset({CAROL}),
        editors=frozenset(),
        people=Identity(accounts=frozenset({CAROL}), names=frozenset({"carol"})),
        approval=approval,
        decided_by=DAVE if approval in {ApprovalState.APPROVED, ApprovalState.DENIED} else None,
        approver=Identity(accounts=frozenset({DAVE}), names=frozenset({"dave"})),
        settled=SETTLED[approval],
        runnable=job(),
        supports_dryrun=True,
        past_due=False,
    )
    return replace(asked, **to)


PENDING, GONE = request(), request(thing=None)
NOT_REQUIRED, APPROVED = request(ApprovalState.NOT_REQUIRED), request(ApprovalState.APPROVED)
DENIED, EXPIRED = request(ApprovalState.DENIED), request(ApprovalState.EXPIRED)
WITHDRAWN = request(ApprovalState.WITHDRAWN)
MY_OWN = request(requester=ME, owners=frozenset({ME}), people=named(frozenset({"alice"})))
ONCE_MINE = request(owners=frozenset({CAROL, ME}), people=named(frozenset({"carol", "alice"})))
SEES, CHANGES, DELETES = grant(SCHEDULED, VIEW), grant(SCHEDULED, CHANGE), grant(SCHEDULED, DELETE)
APPROVES, RUNS = grant(JOB, APPROVE), grant(JOB, RUN)
EVERYTHING = Grant(object_types=frozenset(ObjectType), actions=frozenset(Action), constraint=parse(None, PATHS))


def test_the_sentences_are_the_contract_s() -> None:
    assert NO_PERMISSION == "You do not have permission to perform this action."
    assert MAY_NOT_APPROVE == "You do not have permission to approve this request."
    assert MAY_NOT_DENY == "You do not have permission to deny this request."
    assert MAY_NOT_RUN == "You do not have permission to run this job."
    assert OWN_REQUEST == "You cannot approve your own job request!"
    assert PAST_DUE == (
        "The job's start time is in the past. If you want to force a run anyway, add the `force` query parameter."
    )


# Approving

APPROVER = actor(CHANGES, APPROVES)

APPROVE_PERMISSIONS = [
    pytest.param(NOBODY, PENDING, Denied(NO_PERMISSION), id="nobody may not"),
    pytest.param(APPROVER, PENDING, Allowed(), id="who may change it and approve its Job may"),
    pytest.param(actor(EVERYTHING), PENDING, Allowed(), id="who has everything in one permission may"),
    pytest.param(ROOT, PENDING, Allowed(), id="a superuser may"),
    pytest.param(actor(CHANGES), PENDING, Denied(MAY_NOT_APPROVE), id="to change it is not enough"),
    pytest.param(actor(APPROVES), PENDING, Denied(NO_PERMISSION), id="to approve its Job is not enough"),
    pytest.param(actor(SEES, APPROVES), PENDING, Denied(NO_PERMISSION), id="to see it is not to change it"),
    pytest.param(actor(DELETES, APPROVES), PENDING, Denied(NO_PERMISSION), id="to delete it is not to change it"),
    pytest.param(actor(CHANGES, RUNS), PENDING, Denied(MAY_NOT_APPROVE), id="to run its Job is not to approve it"),
    pytest.param(
        actor(CHANGES, grant(SCHEDULED, APPROVE)),
        PENDING,
        Denied(MAY_NOT_APPROVE),
        id="approve on scheduled jobs is not approve on Jobs",
    ),
    pytest.param(
        actor(grant(JOB, CHANGE), APPROVES), PENDING, Denied(NO_PERMISSION), id="to change the Job is not to change it"
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=THIS_REQUEST), APPROVES),
        PENDING,
        Allowed(),
        id="to change this one is enough",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=ANOTHER), APPROVES),
        PENDING,
        Hidden(),
        id="who may change only another, and see none, knows of none",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=ANOTHER), grant(SCHEDULED, VIEW, limit=ANOTHER), APPROVES),
        PENDING,
        Hidden(),
        id="who may change and see only another knows of none",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=ANOTHER), SEES, APPROVES),
        PENDING,
        Denied(NO_PERMISSION),
        id="who may change only another, and see this one, may not",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=OWN), APPROVES),
        PENDING,
        Hidden(),
        id="who may change their own knows of none",
    ),
    pytest.param(
        actor(CHANGES, grant(JOB, APPROVE, limit=THIS_JOB)), PENDING, Allowed(), id="to approve this Job is enough"
    ),
    pytest.param(
        actor(CHANGES, grant(JOB, APPROVE, limit=ANOTHER)),
        PENDING,
        Denied(MAY_NOT_APPROVE),
        id="who may approve only another Job may not",
    ),
    pytest.param(actor(CHANGES, APPROVES, read_only=True), PENDING, Denied(NO_PERMISSION), id="a read-only token"),
    pytest.param(
        actor(superuser=True, read_only=True), PENDING, Denied(NO_PERMISSION), id="a superuser's read-only token"
    ),
    pytest.param(NOBODY, GONE, Denied(NO_PERMISSION), id="nobody may not, also if there is none"),
    pytest.param(APPROVER, GONE, Hidden(), id="if there is none it is unknown"),
    pytest.param(ROOT, GONE, Hidden(), id="if there is none it is unknown to a superuser"),
]


@pytest.mark.parametrize(("who", "asked", "verdict"), APPROVE_PERMISSIONS)
def test_who_has_the_permission_to_approve(who: Actor, asked: RequestFacts, verdict: Verdict) -> None:
    assert approve(who, asked, force=False) == verdict
    assert approve(who, asked, force=True) == verdict


FOUR_EYES = [
    pytest.param(MY_OWN, OWN_REQUEST, id="their own request"),
    pytest.param(
        request(requester=ME, owners=frozenset(), people=named(frozenset())),
        OWN_REQUEST,
        id="their own request, though they are not recorded as owner",
    ),
    pytest.param(
        request(requester=ME, owners=frozenset({CAROL}), people=named(frozenset({"carol"}))),
        OWN_REQUEST,
        id="their own request, which another has taken over",
    ),
    pytest.param(ONCE_MINE, ONCE_OWNED, id="a request that they owned once"),
    pytest.param(
        request(owners=frozenset({CAROL, ME}), people=named(frozenset({"carol", "alice before she married"}))),
        ONCE_OWNED,
        id="a request that they owned once, under another name",
    ),
    pytest.param(
        request(people=named(frozenset({"carol", "alice"}))),
        SAME_PERSON,
        id="a request that somebody of their name owned once",
    ),
    pytest.param(
        request(requester=None, owners=frozenset(), people=named(frozenset({"alice"}))),
        SAME_PERSON,
        id="a request of somebody who was removed and came back under a new id",
    ),
    pytest.param(
        request(requester=None, owners=frozenset({ME}), people=named(frozenset())),
        ONCE_OWNED,
        id="a request that they owned once, whose requester was removed",
    ),
    pytest.param(
        request(people=Identity(accounts=frozenset({CAROL, ME}))),
        SAME_PERSON,
        id="a request of an account whose earlier name they have had",
    ),
]


@pytest.mark.parametrize(
    ("seen", "needed", "verdict"),
    [
        pytest.param(None, "", Allowed(), id="names none, of what nobody touched"),
        pytest.param(None, EDITED, Denied(EDITED, Conflict), id="names none, of what was edited"),
        pytest.param(None, NAMED_BEFORE, Denied(NAMED_BEFORE, Conflict), id="names none, of a name of another before"),
        pytest.param("now", "", Allowed(), id="names the version as it stands"),
        pytest.param("now", EDITED, Allowed(), id="names the version as it stands, of what was edited"),
        pytest.param("before", "", Denied(CHANGED, Outdated), id="names another one"),
        pytest.param("before", EDITED, Denied(CHANGED, Outdated), id="names another one, of what was edited"),
        pytest.param("", "", Denied(CHANGED, Outdated), id="names an empty one"),
    ],
)
def test_who_names_a_version_acts_on_no_other(seen: str | None, needed: str, verdict: Verdict) -> None:
    assert acts_on_what_was_seen(seen, "now", needed=needed) == verdict


@pytest.mark.parametrize(("asked", "sentence"), FOUR_EYES)
@pytest.mark.parametrize(
    "who",
    [
        pytest.param(APPROVER, id="an approver"),
        pytest.param(ROOT, id="a superuser"),
        pytest.param(actor(EVERYTHING, superuser=True), id="a superuser with every permission"),
    ],
)
@pytest.mark.parametrize("force", [False, True], ids=["without force", "with force"])
def test_nobody_approves(who: Actor, asked: RequestFacts, sentence: str, force: bool) -> None:
    assert approve(who, asked, force=force) == Denied(sentence, Forbidden)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(PENDING, id="a request of another"),
        pytest.param(
            request(requester=None, owners=frozenset(), people=named(frozenset({"carol"}))),
            id="a request of somebody removed",
        ),
        pytest.param(
            request(owners=frozenset({CAROL, DAVE}), people=named(frozenset({"carol", "dave"}))),
            id="a request that several others have owned",
        ),
        pytest.param(
            request(people=named(frozenset({"alic", "alice2"}))), id="a request of somebody of a similar name"
        ),
        pytest.param(request(decided_by=ME), id="a request that they approved before it was returned"),
    ],
)
def test_others_approve(asked: RequestFacts) -> None:
    assert approve(APPROVER, asked, force=False) == Allowed()
    assert approve(ROOT, asked, force=False) == Allowed()


def approved_by_me(**to: Any) -> RequestFacts:
    return request(ApprovalState.APPROVED, **{"decided_by": ME, "settled": "Approved by alice.", **to})


APPROVE_STATES = [
    pytest.param(PENDING, Allowed(), id="pending: yes"),
    pytest.param(approved_by_me(), Allowed(), id="approved by themselves: yes, again"),
    pytest.param(approved_by_me(past_due=True), Allowed(), id="approved by themselves, and past due since: yes, again"),
    pytest.param(
        approved_by_me(runnable=job(enabled=False)),
        Allowed(),
        id="approved by themselves, and its Job disabled since: yes, again",
    ),
    pytest.param(
        approved_by_me(owners=frozenset({CAROL, ME}), people=named(frozenset({"carol", "alice"}))),
        Allowed(),
        id="approved by themselves, and taken over by them since: yes, again",
    ),
    pytest.param(APPROVED, Denied(BY_DAVE, Conflict), id="approved by another: who and when"),
    pytest.param(
        request(ApprovalState.APPROVED, decided_by=None),
        Denied(BY_DAVE, Conflict),
        id="approved by somebody who was removed: who and when",
    ),
    pytest.param(NOT_REQUIRED, Denied("This scheduled job needs no approval.", Conflict), id="not required: needless"),
    pytest.param(DENIED, Denied(DENIED.settled, Conflict), id="denied by another: who and when"),
    pytest.param(
        request(ApprovalState.DENIED, decided_by=ME),
        Denied(DENIED.settled, Conflict),
        id="denied by themselves: no return",
    ),
    pytest.param(EXPIRED, Denied(EXPIRED.settled, Conflict), id="expired: when"),
    pytest.param(WITHDRAWN, Denied(WITHDRAWN.settled, Conflict), id="withdrawn: by whom and when"),
]


@pytest.mark.parametrize(("asked", "verdict"), APPROVE_STATES)
@pytest.mark.parametrize("who", [pytest.param(APPROVER, id="an approver"), pytest.param(ROOT, id="a superuser")])
@pytest.mark.parametrize("force", [False, True], ids=["without force", "with force"])
def test_what_can_be_approved(who: Actor, asked: RequestFacts, verdict: Verdict, force: bool) -> None:
    assert approve(who, asked, force=force) == verdict


def test_who_approved_it_and_has_lost_the_permission_is_told_so() -> None:
    assert approve(actor(CHANGES), approved_by_me(), force=False) == Denied(MAY_NOT_APPROVE)
    assert approve(NOBODY, approved_by_me(), force=False) == Denied(NO_PERMISSION)


@pytest.mark.parametrize(
    ("to", "force", "verdict"),
    [
        pytest.param({"runnable": job(enabled=False)}, False, DISABLED, id="its Job disabled"),
        pytest.param({"runnable": job(installed=False)}, False, NOT_INSTALLED, id="its Job's code gone"),
        pytest.param({"runnable": job(is_job_hook_receiver=True)}, False, RECEIVER, id="its Job started by events"),
        pytest.param({"runnable": job(enabled=False)}, True, DISABLED, id="its Job disabled: force does not help"),
        pytest.param({"supports_dryrun": False}, False, Allowed(), id="its Job without dry run"),
        pytest.param({"past_due": False}, True, Allowed(), id="in time, with force"),
        pytest.param({"past_due": True}, False, Denied(PAST_DUE, Invalid), id="past due, without force"),
        pytest.param({"past_due": True}, True, Allowed(), id="past due, with force"),
    ],
)
@pytest.mark.parametrize("who", [pytest.param(APPROVER, id="an approver"), pytest.param(ROOT, id="a superuser")])
def test_what_else_stands_against_an_approval(who: Actor, to: dict[str, Any], force: bool, verdict: Verdict) -> None:
    assert approve(who, replace(PENDING, **to), force=force) == verdict


OBSTACLES: list[tuple[str, dict[str, Any], Verdict]] = [
    ("no change on the type", {"changes": None}, Denied(NO_PERMISSION)),
    ("no such request", {"thing": None}, Hidden()),
    ("no change on this one", {"limit": ANOTHER}, Denied(NO_PERMISSION)),
    ("no approve on its Job", {"approves": None}, Denied(MAY_NOT_APPROVE)),
    ("own request", {"requester": ME}, Denied(OWN_REQUEST)),
    ("former owner", {"owners": frozenset({ME})}, Denied(ONCE_OWNED)),
    ("expired", {"approval": ApprovalState.EXPIRED, "settled": "Expired."}, Denied("Expired.", Conflict)),
    ("Job disabled", {"enabled": False}, DISABLED),
    ("Job not installed", {"installed": False}, NOT_INSTALLED),
    ("Job started by events", {"is_job_hook_receiver": True}, RECEIVER),
    ("past due", {"past_due": True}, Denied(PAST_DUE, Invalid)),
]
"""What stands against an approval, in the order in which it is told."""


def hindered(*hindrances: dict[str, Any]) -> tuple[Actor, RequestFacts]:
    """Return who wants to approve what, with these hindrances at once."""
    to = {key: value for each in hindrances for key, value in each.items()}
    change = grant(SCHEDULED, CHANGE, limit=to.pop("limit", None))
    changes = (change,) if to.pop("changes", True) else ()
    approves = (APPROVES,) if to.pop("approves", True) else ()
    flags = {flag: to.pop(flag) for flag in ("enabled", "installed", "is_job_hook_receiver") if flag in to}
    return actor(SEES, *changes, *approves), request(runnable=job(**flags), **to)


@pytest.mark.parametrize(("hindrance", "verdict"), [pytest.param(*rest, id=words) for words, *rest in OBSTACLES])
def test_each_obstacle_is_told(hindrance: dict[str, Any], verdict: Verdict) -> None:
    assert approve(*hindered(hindrance), force=False) == verdict


@pytest.mark.parametrize(
    ("first", "then", "verdict"),
    [
        pytest.param(first, then, verdict, id=f"{words} before {others}")
        for (words, first, verdict), (others, then, _) in combinations(OBSTACLES, 2)
    ],
)
def test_of_two_obstacles_the_first_is_told(first: dict[str, Any], then: dict[str, Any], verdict: Verdict) -> None:
    assert approve(*hindered(first, then), force=False) == verdict


def test_no_obstacle_is_no_obstacle() -> None:
    assert approve(*hindered(), force=False) == Allowed()


# Denying

DENIER = actor(DELETES, APPROVES)

DENY_PERMISSIONS = [
    pytest.param(NOBODY, PENDING, Denied(MAY_NOT_DENY), id="nobody may not"),
    pytest.param(DENIER, PENDING, Allowed(), id="who may delete it and approve its Job may"),
    pytest.param(actor(EVERYTHING), PENDING, Allowed(), id="who has everything in one permission may"),
    pytest.param(ROOT, PENDING, Allowed(), id="a superuser may"),
    pytest.param(actor(DELETES), PENDING, Denied(MAY_NOT_DENY), id="to delete it is not enough"),
    pytest.param(actor(APPROVES), PENDING, Denied(MAY_NOT_DENY), id="to approve its Job is not enough"),
    pytest.param(actor(SEES, APPROVES), PENDING, Denied(MAY_NOT_DENY), id="to see it is not to delete it"),
    pytest.param(APPROVER, PENDING, Denied(MAY_NOT_DENY), id="who may approve it may not for that"),
    pytest.param(actor(DELETES, RUNS), PENDING, Denied(MAY_NOT_DENY), id="to run its Job is not to approve it"),
    pytest.param(
        actor(DELETES, grant(SCHEDULED, APPROVE)),
        PENDING,
        Denied(MAY_NOT_DENY),
        id="approve on scheduled jobs is not approve on Jobs",
    ),
    pytest.param(
        actor(grant(JOB, DELETE), APPROVES), PENDING, Denied(MAY_NOT_DENY), id="to delete the Job is not to delete it"
    ),
    pytest.param(
        actor(grant(SCHEDULED, DELETE, limit=THIS_REQUEST), APPROVES),
        PENDING,
        Allowed(),
        id="to delete this one is enough",
    ),
    pytest.param(
        actor(grant(SCHEDULED, DELETE, limit=ANOTHER), APPROVES),
        PENDING,
        Hidden(),
        id="who may delete only another, and see none, knows of none",
    ),
    pytest.param(
        actor(grant(SCHEDULED, DELETE, limit=ANOTHER), grant(SCHEDULED, VIEW, limit=ANOTHER), APPROVES),
        PENDING,
        Hidden(),
        id="who may delete and see only another knows of none",
    ),
    pytest.param(
        actor(grant(SCHEDULED, DELETE, limit=ANOTHER), SEES, APPROVES),
        PENDING,
        Denied(MAY_NOT_DENY),
        id="who may delete only another, and see this one, may not",
    ),
    pytest.param(
        actor(DELETES, grant(JOB, APPROVE, limit=THIS_JOB)), PENDING, Allowed(), id="to approve this Job is enough"
    ),
    pytest.param(
        actor(DELETES, grant(JOB, APPROVE, limit=ANOTHER)),
        PENDING,
        Denied(MAY_NOT_DENY),
        id="who may approve only another Job may not",
    ),
    pytest.param(
        actor(DELETES, APPROVES, read_only=True),
        PENDING,
        Denied(NO_PERMISSION),
        id="a read-only token",
    ),
    pytest.param(
        actor(superuser=True, read_only=True),
        PENDING,
        Denied(NO_PERMISSION),
        id="a superuser's read-only token",
    ),
    pytest.param(NOBODY, GONE, Denied(MAY_NOT_DENY), id="nobody may not, also if there is none"),
    pytest.param(DENIER, GONE, Hidden(), id="if there is none it is unknown"),
    pytest.param(ROOT, GONE, Hidden(), id="if there is none it is unknown to a superuser"),
]


@pytest.mark.parametrize(("who", "asked", "verdict"), DENY_PERMISSIONS)
def test_who_has_the_permission_to_deny(who: Actor, asked: RequestFacts, verdict: Verdict) -> None:
    assert deny(who, asked) == verdict


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        pytest.param(PENDING, Allowed(), id="pending: yes"),
        pytest.param(MY_OWN, Allowed(), id="their own: they withdraw it"),
        pytest.param(ONCE_MINE, Allowed(), id="one that they owned once: yes"),
        pytest.param(request(people=named(frozenset({"alice"}))), Allowed(), id="one of somebody of their name: yes"),
        pytest.param(request(past_due=True), Allowed(), id="past due: yes"),
        pytest.param(request(runnable=job(enabled=False)), Allowed(), id="its Job disabled: yes"),
        pytest.param(request(runnable=job(installed=False)), Allowed(), id="its Job's code gone: yes"),
        pytest.param(request(runnable=job(is_job_hook_receiver=True)), Allowed(), id="its Job started by events: yes"),
        pytest.param(APPROVED, Denied(BY_DAVE, Conflict), id="approved by another: who and when"),
        pytest.param(
            approved_by_me(), Denied("Approved by alice.", Conflict), id="approved by themselves: once is once"
        ),
        pytest.param(
            replace(MY_OWN, approval=ApprovalState.APPROVED, settled=BY_DAVE),
            Denied(BY_DAVE, Conflict),
            id="their own, approved: who and when",
        ),
        pytest.param(NOT_REQUIRED, Denied(NOT_NEEDED, Conflict), id="not required: needless"),
        pytest.param(DENIED, Denied(DENIED.settled, Conflict), id="denied by another: who and when"),
        pytest.param(
            request(ApprovalState.DENIED, decided_by=ME),
            Denied(DENIED.settled, Conflict),
            id="denied by themselves: only an approval can be repeated",
        ),
        pytest.param(EXPIRED, Denied(EXPIRED.settled, Conflict), id="expired: when"),
        pytest.param(WITHDRAWN, Denied(WITHDRAWN.settled, Conflict), id="withdrawn: by whom and when"),
    ],
)
@pytest.mark.parametrize("who", [pytest.param(DENIER, id="a denier"), pytest.param(ROOT, id="a superuser")])
def test_what_can_be_denied(who: Actor, asked: RequestFacts, verdict: Verdict) -> None:
    assert deny(who, asked) == verdict


@pytest.mark.parametrize(
    ("who", "verdict"),
    [
        pytest.param(actor(SEES, APPROVES), Denied(MAY_NOT_DENY), id="the permission on it before its state"),
        pytest.param(
            actor(grant(SCHEDULED, DELETE, limit=ANOTHER), APPROVES), Hidden(), id="what is unknown before its state"
        ),
        pytest.param(actor(DELETES), Denied(MAY_NOT_DENY), id="the permission on its Job before its state"),
        pytest.param(
            actor(grant(SCHEDULED, DELETE, limit=ANOTHER)),
            Hidden(),
            id="what is unknown before the permission on its Job",
        ),
    ],
)
def test_who_may_not_deny_is_not_told_what_was_decided(who: Actor, verdict: Verdict) -> None:
    assert deny(who, EXPIRED) == verdict


# Trying without effect

TRIER = actor(SEES, RUNS)
CANNOT = Denied("This job does not support dry runs.", NotRunnable)

DRY_RUN_PERMISSIONS = [
    pytest.param(NOBODY, PENDING, Denied(NO_PERMISSION), id="nobody may not"),
    pytest.param(TRIER, PENDING, Allowed(), id="who may see it and run its Job may"),
    pytest.param(actor(EVERYTHING), PENDING, Allowed(), id="who has everything in one permission may"),
    pytest.param(ROOT, PENDING, Allowed(), id="a superuser may"),
    pytest.param(actor(SEES), PENDING, Denied(MAY_NOT_RUN), id="to see it is not enough"),
    pytest.param(actor(RUNS), PENDING, Denied(NO_PERMISSION), id="to run its Job is not enough"),
    pytest.param(actor(CHANGES, DELETES, RUNS), PENDING, Denied(NO_PERMISSION), id="to change it is not to see it"),
    pytest.param(actor(SEES, APPROVES), PENDING, Denied(MAY_NOT_RUN), id="to approve its Job is not to run it"),
    pytest.param(
        actor(SEES, grant(SCHEDULED, RUN)), PENDING, Denied(MAY_NOT_RUN), id="run on scheduled jobs is not it"
    ),
    pytest.param(actor(grant(JOB, VIEW), RUNS), PENDING, Denied(NO_PERMISSION), id="to see the Job is not to see it"),
    pytest.param(
        actor(grant(SCHEDULED, VIEW, limit=THIS_REQUEST), RUNS), PENDING, Allowed(), id="to see this one is enough"
    ),
    pytest.param(
        actor(grant(SCHEDULED, VIEW, limit=ANOTHER), RUNS),
        PENDING,
        Hidden(),
        id="who may see only another knows of none",
    ),
    pytest.param(
        actor(grant(SCHEDULED, VIEW, limit=ANOTHER), CHANGES, DELETES, RUNS),
        PENDING,
        Hidden(),
        id="who may see only another, and change this one, knows of none",
    ),
    pytest.param(actor(SEES, grant(JOB, RUN, limit=THIS_JOB)), PENDING, Allowed(), id="to run this Job is enough"),
    pytest.param(
        actor(SEES, grant(JOB, RUN, limit=ANOTHER)),
        PENDING,
        Denied(MAY_NOT_RUN),
        id="who may run only another Job may not",
    ),
    pytest.param(actor(SEES, RUNS, read_only=True), PENDING, Denied(NO_PERMISSION), id="a read-only token"),
    pytest.param(
        actor(superuser=True, read_only=True),
        PENDING,
        Denied(NO_PERMISSION),
        id="a superuser's read-only token",
    ),
    pytest.param(NOBODY, GONE, Denied(NO_PERMISSION), id="nobody may not, also if there is none"),
    pytest.param(TRIER, GONE, Hidden(), id="if there is none it is unknown"),
    pytest.param(ROOT, GONE, Hidden(), id="if there is none it is unknown to a superuser"),
]


@pytest.mark.parametrize(("who", "asked", "verdict"), DRY_RUN_PERMISSIONS)
def test_who_has_the_permission_to_try(who: Actor, asked: RequestFacts, verdict: Verdict) -> None:
    assert dry_run(who, asked) == verdict


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        pytest.param(PENDING, Allowed(), id="of another"),
        pytest.param(MY_OWN, Allowed(), id="their own"),
        pytest.param(ONCE_MINE, Allowed(), id="one that they owned once"),
        pytest.param(request(past_due=True), Allowed(), id="past due"),
        pytest.param(NOT_REQUIRED, Allowed(), id="not required"),
        pytest.param(APPROVED, Allowed(), id="approved"),
        pytest.param(EXPIRED, Allowed(), id="expired"),
        pytest.param(request(supports_dryrun=False), CANNOT, id="its Job has no dry run"),
    ],
)
@pytest.mark.parametrize("who", [pytest.param(TRIER, id="a trier"), pytest.param(ROOT, id="a superuser")])
def test_what_can_be_tried(who: Actor, asked: RequestFacts, verdict: Verdict) -> None:
    assert dry_run(who, asked) == verdict


@pytest.mark.parametrize(
    "it",
    [
        pytest.param(job(enabled=False), id="disabled"),
        pytest.param(job(installed=False), id="whose code is gone"),
        pytest.param(job(is_job_hook_receiver=True), id="started by events"),
    ],
)
@pytest.mark.parametrize("who", [pytest.param(TRIER, id="a trier"), pytest.param(ROOT, id="a superuser")])
def test_a_job_that_cannot_run_cannot_be_tried_which_is_no_matter_of_permission(who: Actor, it: Runnable) -> None:
    verdict = dry_run(who, request(runnable=it))
    assert isinstance(verdict, Denied)
    assert verdict.error is NotRunnable


@pytest.mark.parametrize(
    ("who", "verdict"),
    [
        pytest.param(actor(RUNS), Denied(NO_PERMISSION), id="the permission on it before its Job's abilities"),
        pytest.param(actor(SEES), Denied(MAY_NOT_RUN), id="the permission on its Job before its abilities"),
        pytest.param(
            actor(grant(SCHEDULED, VIEW, limit=ANOTHER)), Hidden(), id="what is unknown before everything else"
        ),
    ],
)
def test_who_may_not_try_is_not_told_what_the_job_can(who: Actor, verdict: Verdict) -> None:
    assert dry_run(who, request(supports_dryrun=False, runnable=job(enabled=False))) == verdict


@pytest.mark.parametrize(
    "who",
    [
        pytest.param(actor(EVERYTHING, read_only=True), id="of somebody with every permission"),
        pytest.param(actor(superuser=True, read_only=True), id="of a superuser"),
    ],
)
def test_a_read_only_token_neither_approves_nor_denies_nor_tries(who: Actor) -> None:
    assert allowed(replace(who, read_only=False)) == [True, True, True]
    assert allowed(who) == [False, False, False]


def allowed(who: Actor) -> list[bool]:
    return [it == Allowed() for it in (approve(who, PENDING, force=True), deny(who, PENDING), dry_run(who, PENDING))]


# Whatever the facts

LIMITS = st.sampled_from([None, THIS_REQUEST, THIS_JOB, ANOTHER, OWN, [ANOTHER, THIS_REQUEST]])
GRANTS = st.builds(
    Grant,
    object_types=st.frozensets(st.sampled_from([JOB, SCHEDULED]), min_size=1),
    actions=st.frozensets(st.sampled_from([VIEW, CHANGE, DELETE, RUN, APPROVE]), min_size=1),
    constraint=LIMITS.map(lambda raw: parse(raw, PATHS)),
)
ACTORS = st.builds(
    Actor,
    id=st.just(ME),
    username=st.just("alice"),
    superuser=st.booleans(),
    grants=st.lists(GRANTS | st.just(EVERYTHING), max_size=4).map(tuple),
    read_only=st.booleans(),
)
PEOPLE, NAMES = st.sampled_from([ME, CAROL, DAVE]), st.sampled_from(["alice", "carol", "dave"])
IDENTITIES = st.builds(Identity, accounts=st.frozensets(PEOPLE), names=st.frozensets(NAMES))
REQUESTS = st.builds(
    RequestFacts,
    thing=st.none() | st.just(NIGHTLY) | st.just({"name": "nightly", "user": ME}),
    job=st.just(BACKUP),
    requester=st.none() | PEOPLE,
    owner=st.none() | PEOPLE,
    owners=st.frozensets(PEOPLE),
    editors=st.frozensets(PEOPLE),
    people=IDENTITIES,
    approval=st.sampled_from(ApprovalState),
    decided_by=st.none() | PEOPLE,
    approver=IDENTITIES,
    settled=st.sampled_from(["", "Decided by dave."]),
    runnable=st.just(job())
    | st.builds(Runnable, enabled=st.booleans(), installed=st.booleans(), is_job_hook_receiver=st.booleans()),
    supports_dryrun=st.booleans(),
    past_due=st.booleans(),
)


def has_had_it(who: Actor, asked: RequestFacts) -> bool:
    had = {asked.requester, *asked.owners, *asked.editors, *asked.people.accounts}
    return who.id in had or who.username in asked.people.names


@given(ACTORS, REQUESTS, st.sampled_from(["requester", "owner", "account", "name"]), st.booleans())
def test_nobody_who_ever_had_a_request_approves_it(who: Actor, asked: RequestFacts, how: str, force: bool) -> None:
    had: dict[str, dict[str, Any]] = {
        "requester": {"requester": who.id},
        "owner": {"owners": asked.owners | {who.id}},
        "account": {"people": Identity(accounts=asked.people.accounts | {who.id}, names=asked.people.names)},
        "name": {"people": Identity(accounts=asked.people.accounts, names=asked.people.names | {who.username})},
    }
    mine = replace(asked, approval=ApprovalState.PENDING, **had[how])
    assert approve(who, mine, force=force) != Allowed()


@given(ACTORS, REQUESTS, st.booleans())
def test_whatever_the_facts_only_a_sound_approval_is_allowed(who: Actor, asked: RequestFacts, force: bool) -> None:
    may = check_object(who, CHANGE, SCHEDULED, asked.thing) == Allowed() and who.may(APPROVE, JOB, asked.job)
    again = asked.approval is ApprovalState.APPROVED and asked.decided_by == who.id
    pending = asked.approval is ApprovalState.PENDING and not has_had_it(who, asked)
    can_run = asked.runnable == job() and (force or not asked.past_due)
    assert (approve(who, asked, force=force) == Allowed()) is (may and (again or (pending and can_run)))


@given(ACTORS, REQUESTS)
def test_whatever_the_facts_only_what_waits_is_denied(who: Actor, asked: RequestFacts) -> None:
    may = check_object(who, DELETE, SCHEDULED, asked.thing) == Allowed() and who.may(APPROVE, JOB, asked.job)
    assert (deny(who, asked) == Allowed()) is (may and asked.approval is ApprovalState.PENDING)


@given(ACTORS, REQUESTS)
def test_whatever_the_facts_only_what_can_run_and_is_permitted_is_tried(who: Actor, asked: RequestFacts) -> None:
    may = check_object(who, VIEW, SCHEDULED, asked.thing) == Allowed() and who.may(RUN, JOB, asked.job)
    can = asked.supports_dryrun and asked.runnable == job()
    assert (dry_run(who, asked) == Allowed()) is (may and can and not who.read_only)


@given(ACTORS, REQUESTS, st.booleans())
def test_who_does_not_get_the_request_learns_nothing_of_it(who: Actor, asked: RequestFacts, force: bool) -> None:
    unseen = [
        action for action in (VIEW, CHANGE, DELETE) if check_object(who, action, SCHEDULED, asked.thing) == Hidden()
    ]
    answers = {VIEW: dry_run(who, asked), CHANGE: approve(who, asked, force=force), DELETE: deny(who, asked)}
    for action in unseen:
        assert answers[action] == (Denied(NO_PERMISSION) if who.read_only else Hidden())


@given(ACTORS, REQUESTS, st.booleans())
def test_every_refusal_has_a_sentence(who: Actor, asked: RequestFacts, force: bool) -> None:
    for verdict in (approve(who, asked, force=force), deny(who, asked), dry_run(who, asked)):
        assert not isinstance(verdict, Denied) or verdict.reason.endswith((".", "!"))


# Runs


A_JOB, OTHER_JOB = {"name": "a"}, {"name": "b"}
RUNNER = Actor(id=ME, username="me", grants=(grant(RESULT, VIEW), grant(JOB, RUN, limit={"name": "a"})))
CHANGER = Actor(id=ME, username="me", grants=(grant(RESULT, CHANGE, VIEW, limit={"name": "a"}),))
NOBODY_ELSE = UUID(int=9)


@pytest.mark.parametrize(
    ("who", "thing", "runs_as", "verdict"),
    [
        pytest.param(Actor(id=ME, username="me"), MINE, ME, Allowed(), id="who it runs as, without a permission"),
        pytest.param(
            Actor(id=ME, username="me", read_only=True), MINE, ME, Denied(NO_PERMISSION), id="who comes to read only"
        ),
        pytest.param(CHANGER, MINE, NOBODY_ELSE, Allowed(), id="who may change it"),
        pytest.param(CHANGER, MINE, None, Allowed(), id="who may change one whose user is gone"),
        pytest.param(CHANGER, THEIRS, NOBODY_ELSE, Hidden(), id="who may change others and not see it"),
        pytest.param(RUNNER, MINE, NOBODY_ELSE, Denied(NO_PERMISSION), id="who may only see it"),
        pytest.param(CHANGER, None, None, Hidden(), id="one that is not there"),
        pytest.param(Actor(id=ME, username="me"), None, ME, Denied(NO_PERMISSION), id="nor for who may nothing"),
        pytest.param(Actor(id=ME, username="me", superuser=True), THEIRS, None, Allowed(), id="a superuser"),
    ],
)
def test_who_may_cancel_a_run(who: Actor, thing: Any, runs_as: UUID | None, verdict: Verdict) -> None:
    assert cancel(who, thing, runs_as) == verdict


@pytest.mark.parametrize(
    ("who", "thing", "job", "verdict"),
    [
        pytest.param(RUNNER, MINE, A_JOB, Allowed(), id="who may see it and run its Job"),
        pytest.param(RUNNER, MINE, OTHER_JOB, Denied(MAY_NOT_RUN), id="who may run other Jobs"),
        pytest.param(CHANGER, MINE, A_JOB, Denied(MAY_NOT_RUN), id="who may run none"),
        pytest.param(RUNNER, MINE, None, Denied(JOB_GONE, NotRunnable), id="one whose Job is gone"),
        pytest.param(RUNNER, None, None, Hidden(), id="one that is not there"),
        pytest.param(replace(RUNNER, read_only=True), MINE, A_JOB, Denied(NO_PERMISSION), id="who comes to read only"),
        pytest.param(
            Actor(id=ME, username="me", grants=(grant(JOB, RUN),)), MINE, A_JOB, Denied(NO_PERMISSION), id="unseen"
        ),
    ],
)
def test_who_may_request_a_run_again(who: Actor, thing: Any, job: Any, verdict: Verdict) -> None:
    assert run_again(who, thing, job) == verdict


@pytest.mark.parametrize(
    ("who", "every"),
    [
        pytest.param(NOBODY, False, id="who has no permission"),
        pytest.param(ROOT, True, id="a superuser"),
        pytest.param(actor(grant(ObjectType.USER, VIEW)), True, id="who may view users"),
        pytest.param(actor(grant(ObjectType.USER, CHANGE)), False, id="who may change them only"),
        pytest.param(actor(grant(ObjectType.USER, VIEW, limit=OWN)), False, id="who may view some"),
    ],
)
def test_who_views_everybody(who: Actor, every: bool) -> None:
    assert views_everybody(who) is every


# Prefect

EVERY_RUN = (grant(JOB, VIEW), grant(SCHEDULED, VIEW), grant(RESULT, VIEW))
PREFECT_VIEW, PREFECT_WRITE = grant(ObjectType.PREFECT, VIEW), grant(ObjectType.PREFECT, Action.WRITE)


@pytest.mark.parametrize(
    ("who", "runs", "prefect", "everything"),
    [
        pytest.param(NOBODY, False, False, False, id="who has no permission"),
        pytest.param(ROOT, True, True, True, id="a superuser"),
        pytest.param(actor(superuser=True, read_only=True), True, True, True, id="a superuser who may only read"),
        pytest.param(actor(*EVERY_RUN), True, False, False, id="who may view everything of ours"),
        pytest.param(actor(*EVERY_RUN[:2]), False, False, False, id="who may view no results"),
        pytest.param(
            actor(*EVERY_RUN[:2], grant(RESULT, VIEW, limit=OWN)), False, False, False, id="who may view their results"
        ),
        pytest.param(
            actor(*EVERY_RUN, grant(RESULT, VIEW, limit=OWN)), True, False, False, id="a limit beside no limit"
        ),
        pytest.param(actor(PREFECT_VIEW), False, True, False, id="who may view Prefect and nothing of ours"),
        pytest.param(actor(*EVERY_RUN, PREFECT_VIEW), True, True, True, id="who may view Prefect and all of ours"),
        pytest.param(actor(PREFECT_WRITE), False, True, True, id="who may write, and so run any code"),
        pytest.param(actor(PREFECT_WRITE, read_only=True), False, True, True, id="their token for reading"),
        pytest.param(actor(grant(ObjectType.PREFECT, CHANGE)), False, False, False, id="another action on Prefect"),
    ],
)
def test_what_of_prefect_somebody_views(who: Actor, runs: bool, prefect: bool, everything: bool) -> None:
    assert (views_every_run(who), views_prefect(who), views_all_of_prefect(who)) == (runs, prefect, everything)


@pytest.mark.parametrize(
    ("who", "anything"),
    [
        pytest.param(NOBODY, False, id="who has no permission"),
        pytest.param(ROOT, True, id="a superuser"),
        pytest.param(actor(grant(JOB, VIEW, limit=OWN)), True, id="who may view some Jobs"),
        pytest.param(actor(grant(SCHEDULED, VIEW)), True, id="who may view scheduled jobs"),
        pytest.param(actor(grant(RESULT, VIEW)), True, id="who may view results"),
        pytest.param(actor(PREFECT_VIEW), True, id="who may view Prefect"),
        pytest.param(actor(PREFECT_WRITE), True, id="who may write in Prefect"),
        pytest.param(actor(grant(JOB, RUN)), False, id="who may run Jobs and view none"),
        pytest.param(actor(grant(USER, VIEW)), False, id="who may view users"),
    ],
)
def test_whether_there_is_anything_in_prefect_for_somebody(who: Actor, anything: bool) -> None:
    assert views_anything_in_prefect(who) is anything


# Requests from runs

BY_RUN = ROOT.within_run(uuid4())
MAY_BY_RUN = {(VIEW, kind) for kind in (JOB, SCHEDULED, RESULT, ObjectType.JOB_LOG_ENTRY)} | {(RUN, JOB)}


def test_by_a_run_a_superuser_requests_and_reads_and_nothing_else() -> None:
    may = {(action, kind) for action in Action for kind in ObjectType if BY_RUN.may(action, kind, MINE)}
    assert may == MAY_BY_RUN
    assert {(a, k) for a in Action for k in ObjectType if check_type(BY_RUN, a, k) == Allowed()} == MAY_BY_RUN


def test_by_a_run_nobody_may_more_than_they_may_themselves() -> None:
    for who in (NOBODY, actor(ALL_OF_RUN), actor(grant(JOB, VIEW, limit=OWN)), actor(EVERYTHING), actor(works_for="x")):
        by_run = who.within_run(uuid4())
        for action, kind, thing in product(Action, ObjectType, (MINE, THEIRS)):
            assert by_run.may(action, kind, thing) is ((action, kind) in MAY_BY_RUN and who.may(action, kind, thing))
        assert (works(by_run), views_prefect(by_run), may_reuse_names(by_run)) == (
            False,
            False,
            Denied(REUSED_BY_SUPERUSERS),
        )


@pytest.mark.parametrize("more", [{"superuser": True}, {"works_for": "signoff"}])
def test_nobody_is_made_who_acts_by_a_run_and_may_more(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="within_run"):
        actor(by_run=uuid4(), **more)


def test_by_a_run_nothing_is_decided_ended_or_tried() -> None:
    for verdict in (
        approve(BY_RUN, PENDING, force=True),
        deny(BY_RUN, PENDING),
        dry_run(BY_RUN, PENDING),
        cancel(BY_RUN, MINE, ME),
        run_again(BY_RUN, MINE, BACKUP),
        change_job(BY_RUN, BACKUP, {"hidden"}),
        may_touch_superuser(BY_RUN, superuser=True),
    ):
        assert isinstance(verdict, Denied)


def run_facts(**to: bool) -> RunFacts:
    return RunFacts(**{"let_go": True, "over": False, "cancelled": False, "has_user": True, **to})


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        pytest.param({}, Allowed(), id="under way"),
        pytest.param({"let_go": False}, Denied(NOT_LET_GO), id="not let go"),
        pytest.param({"let_go": False, "over": True}, Denied(NOT_LET_GO), id="refused"),
        pytest.param({"over": True}, Denied(RUN_OVER), id="over"),
        pytest.param({"cancelled": True}, Denied(RUN_CANCELLED), id="told to end"),
        pytest.param({"has_user": False}, Denied(RUN_WITHOUT_USER), id="of nobody"),
    ],
)
def test_when_a_run_acts_as_its_user(facts: dict[str, bool], verdict: Verdict) -> None:
    assert acts_as_user(run_facts(**facts)) == verdict


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        pytest.param({}, Allowed(), id="a run that people have requested"),
        pytest.param({"depth": DEEPEST - 1}, Allowed(), id="the last that may"),
        pytest.param({"depth": DEEPEST}, Denied(TOO_DEEP), id="the first that may not"),
        pytest.param({"for_dry_run": True}, Allowed(), id="a dry run from a run"),
        pytest.param({"dry_run": True}, Denied(DRY_RUNS_ONLY), id="a run from a dry run"),
        pytest.param({"dry_run": True, "for_dry_run": True}, Allowed(), id="a dry run from a dry run"),
        pytest.param({"origin_known": False}, Denied(ORIGIN_GONE), id="of which it is not known who is behind it"),
    ],
)
def test_what_a_run_may_request(asked: dict[str, Any], verdict: Verdict) -> None:
    told = {"depth": 0, "dry_run": False, "for_dry_run": False, "origin_known": True, **asked}
    assert requests_from_run(**told) == verdict


def test_who_had_a_hand_in_a_run_does_not_approve_what_it_has_requested() -> None:
    me = actor(CHANGES, APPROVES)
    assert approve(me, request(editors=frozenset({ME}), from_run=True), force=False) == Denied(BEHIND_ITS_RUN)
    assert approve(me, request(from_run=True), force=False) == Allowed()


# Requests by agents

AGENT = actor(
    *(grant(kind, *Action) for kind in ObjectType if kind is not ObjectType.PREFECT), grant(ObjectType.PREFECT, *Action)
).as_agent()
"""An agent that was given everything there is."""
MAY_AS_AGENT = MAY_BY_RUN | {
    (VIEW, ObjectType.APPROVAL_REQUEST),
    (VIEW, ObjectType.JOB_QUEUE),
    (VIEW, TOKEN),
    (DELETE, SCHEDULED),
}


@pytest.mark.parametrize("who", [AGENT, ROOT.as_agent()], ids=["with every permission", "that was a superuser's"])
def test_an_agent_may_request_read_and_take_back_and_nothing_else(who: Actor) -> None:
    may = {(action, kind) for action in Action for kind in ObjectType if who.may(action, kind, MINE)}
    assert may <= MAY_AS_AGENT
    assert MAY_BY_RUN | {(DELETE, SCHEDULED)} <= may
    assert not who.may(DELETE, SCHEDULED, THEIRS), "it takes back its own requests only"


def test_an_agent_may_take_back_its_own_requests_and_has_no_other_permission_of_its_own() -> None:
    least = NOBODY.as_agent()
    assert {(a, k) for a in Action for k in ObjectType if least.may(a, k, MINE)} == {
        (DELETE, SCHEDULED),
        (VIEW, TOKEN),
        (VIEW, ObjectType.APPROVAL_REQUEST),
    }


def test_an_agent_by_a_run_of_its_own_may_what_a_run_may() -> None:
    by_run = AGENT.within_run(uuid4())
    assert by_run.agent
    assert {(a, k) for a in Action for k in ObjectType if by_run.may(a, k, MINE)} == MAY_BY_RUN


@pytest.mark.parametrize("more", [{"superuser": True}, {"works_for": "signoff"}])
def test_no_agent_is_more_than_one(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="as_agent"):
        actor(agent=True, **more)


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(approve(AGENT, request(thing=MINE, job=MINE), force=True), id="approve"),
        pytest.param(deny(AGENT, request(thing=MINE, job=MINE)), id="deny"),
        pytest.param(assume(AGENT, request(thing=MINE, job=MINE)), id="assume"),
        pytest.param(hand_over(AGENT, request(thing=MINE, job=MINE)), id="transfer"),
        pytest.param(receive(AGENT, request(thing=MINE, job=MINE), active=True), id="be given"),
        pytest.param(inherit(AGENT, request(thing=MINE, job=MINE)), id="inherit"),
        pytest.param(resume(AGENT, MINE, MINE), id="answer a run"),
        pytest.param(change_job(AGENT, MINE, {"hidden"}), id="change a Job"),
        pytest.param(cancel(AGENT, MINE, CAROL), id="cancel another's run"),
        pytest.param(may_touch_superuser(AGENT, superuser=True), id="change a superuser"),
        pytest.param(may_reuse_names(AGENT), id="give names again"),
        pytest.param(bind_automation(AGENT, account=AGENT, active=True, jobs=[MINE]), id="be bound"),
        pytest.param(bind_automation(ROOT, account=AGENT, active=True, jobs=[MINE]), id="be bound by somebody else"),
    ],
)
def test_what_an_agent_never_does(verdict: Verdict) -> None:
    assert isinstance(verdict, Denied)


@pytest.mark.parametrize(
    ("who", "facts", "verdict"),
    [
        pytest.param(AGENT, {}, Denied(NO_DRY_RUN_BY_AGENTS), id="an agent, of a Job that says nothing"),
        pytest.param(AGENT, {"dryrun_is_safe": True}, Allowed(), id="an agent, of a Job whose dry runs are safe"),
        pytest.param(
            actor(grant(SCHEDULED, VIEW), ALL_OF_RUN), {}, Allowed(), id="a person, of a Job that says nothing"
        ),
    ],
)
def test_who_tries_a_request(who: Actor, facts: dict[str, bool], verdict: Verdict) -> None:
    assert dry_run(who, request(thing=MINE, job=MINE, **facts)) == verdict


@pytest.mark.parametrize(
    ("person", "job", "verdict"),
    [
        pytest.param(None, None, Denied(FOR_NOBODY), id="for nobody"),
        pytest.param(None, MINE, Denied(FOR_NOBODY), id="for nobody, a Job"),
        pytest.param(NOBODY, MINE, Denied(ITS_PERSON_MAY_NOT), id="for who may not run it"),
        pytest.param(actor(ALL_OF_RUN), MINE, Allowed(), id="for who may run it"),
        pytest.param(NOBODY, None, Allowed(), id="before it is known which Job"),
    ],
)
def test_for_whom_an_agent_requests(person: Actor | None, job: Any, verdict: Verdict) -> None:
    assert requests_as_agent(person=person, job=job) == verdict


def test_the_person_for_whom_an_agent_asks_does_not_approve_it() -> None:
    me = actor(CHANGES, APPROVES)
    assert approve(me, request(editors=frozenset({ME}), from_agent=True), force=False) == Denied(BEHIND_ITS_AGENT)
    assert approve(me, request(from_agent=True), force=False) == Allowed()


# Requests by automations

RUNS_MINE = actor(grant(JOB, RUN, limit={"name": MINE["name"]}))


@pytest.mark.parametrize(
    ("who", "to", "verdict"),
    [
        pytest.param(RUNS_MINE, {}, Allowed(), id="who may run its Job, as somebody who may"),
        pytest.param(ROOT, {}, Allowed(), id="a superuser"),
        pytest.param(RUNS_MINE, {"jobs": []}, Denied(RUNS_NO_JOB, Invalid), id="one that runs no Job"),
        pytest.param(NOBODY, {}, Denied(MAY_NOT_RUN_ITS_JOBS), id="who may not run its Job"),
        pytest.param(RUNS_MINE, {"jobs": [MINE, THEIRS]}, Denied(MAY_NOT_RUN_ITS_JOBS), id="who may run one of two"),
        pytest.param(
            replace(RUNS_MINE, read_only=True), {}, Denied(MAY_NOT_RUN_ITS_JOBS), id="who has come to read only"
        ),
        pytest.param(RUNS_MINE, {"active": False}, Denied(ACCOUNT_INACTIVE, Conflict), id="a deactivated account"),
        pytest.param(RUNS_MINE, {"account": NOBODY}, Denied(ACCOUNT_MAY_NOT, Conflict), id="as who may not run it"),
        pytest.param(ROOT, {"jobs": [MINE, THEIRS]}, Denied(ACCOUNT_MAY_NOT, Conflict), id="as who may run one of two"),
    ],
)
def test_who_binds_an_automation(who: Actor, to: dict[str, Any], verdict: Verdict) -> None:
    assert bind_automation(who, **{"account": RUNS_MINE, "active": True, "jobs": [MINE], **to}) == verdict


@pytest.mark.parametrize(
    ("who", "verdict"),
    [
        pytest.param(actor(PREFECT_VIEW), Allowed(), id="who may view Prefect"),
        pytest.param(actor(PREFECT_WRITE), Allowed(), id="who may write there"),
        pytest.param(ROOT, Allowed(), id="a superuser"),
        pytest.param(actor(*EVERY_RUN), Denied(NO_PERMISSION), id="who may view everything of ours"),
        pytest.param(NOBODY, Denied(NO_PERMISSION), id="nobody"),
        pytest.param(BY_RUN, Denied(NO_PERMISSION), id="a superuser by a run"),
    ],
)
def test_who_looks_at_automations(who: Actor, verdict: Verdict) -> None:
    assert may_look_at_automations(who) == verdict


FIRING_ROWS = [
    pytest.param({}, Allowed(), id="bound, and as it was bound"),
    pytest.param({"bound": False, "as_bound": False, "active": False}, Denied(NOT_BOUND), id="not bound"),
    pytest.param({"changed": True}, Denied(AUTOMATION_CHANGED), id="changed since it fired"),
    pytest.param({"changed": True, "as_bound": False}, Denied(AUTOMATION_CHANGED), id="changed before it fired"),
    pytest.param({"as_bound": False}, Denied(NOT_AS_BOUND), id="bound after it fired as another one"),
    pytest.param({"names": False}, Denied(NOT_NAMED), id="a Job that it does not name"),
    pytest.param({"active": False}, Denied(ITS_ACCOUNT_GONE), id="as a deactivated account"),
    pytest.param({"job_variables": True}, Denied(NO_JOB_VARIABLES), id="with job variables"),
]


@pytest.mark.parametrize(("facts", "verdict"), FIRING_ROWS)
def test_when_an_automation_acts_as_its_account(facts: dict[str, bool], verdict: Verdict) -> None:
    good = {"bound": True, "changed": False, "as_bound": True, "names": True, "active": True, "job_variables": False}
    assert acts_by_automation(FiringFacts(**{**good, **facts})) == verdict


def test_who_has_bound_an_automation_does_not_approve_what_it_has_requested() -> None:
    me = actor(CHANGES, APPROVES)
    asked = request(editors=frozenset({ME}), from_automation=True)
    assert approve(me, asked, force=False) == Denied(BEHIND_ITS_AUTOMATION)
    assert approve(me, request(from_automation=True), force=False) == Allowed()


# Runs and workers

WORKER = uuid4()

WORKER_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], Verdict]] = {
    "a worker of the pool, for a run that it has taken": ({}, {}, Allowed()),
    "for one that nobody has taken": ({}, {"taken_by": None}, Denied(NOT_ITS_RUN)),
    "for one that was taken past us": ({}, {"taken_by": None, "taken_past_us": True}, Allowed()),
    "for one that was taken past us, of another pool": (
        {"works_for": "other"},
        {"taken_by": None, "taken_past_us": True},
        Denied(NOT_ITS_WORKER),
    ),
    "for one that another account has taken": ({}, {"taken_by": uuid4()}, Denied(NOT_ITS_RUN)),
    "of another pool": ({"works_for": "other"}, {}, Denied(NOT_ITS_WORKER)),
    "no worker": ({"works_for": ""}, {}, Denied(NOT_ITS_WORKER)),
    "no worker, and a run without a pool": ({"works_for": ""}, {"pool": ""}, Denied(NOT_ITS_WORKER)),
    "a run without a pool": ({}, {"pool": ""}, Denied(NOT_ITS_WORKER)),
    "a run that has a credential": ({}, {"has_credential": True}, Denied(NOT_ITS_RUN)),
    "of another pool, and the run has a credential": (
        {"works_for": "other"},
        {"has_credential": True},
        Denied(NOT_ITS_WORKER),
    ),
    "a superuser who was a worker once": ({"superuser": True}, {}, Denied(NOT_ITS_WORKER)),
    "a token that only reads": ({"read_only": True}, {}, Denied(NOT_ITS_WORKER)),
    "who may write to Prefect besides": ({"grants": (PREFECT_WRITE,)}, {}, Allowed()),
    "who may so, for a run that nobody has taken": (
        {"grants": (PREFECT_WRITE,)},
        {"taken_by": None},
        Denied(NOT_ITS_RUN),
    ),
    "who may write to Prefect, and is no worker": (
        {"grants": (PREFECT_WRITE,), "works_for": ""},
        {},
        Denied(NOT_ITS_WORKER),
    ),
}


def worker(**about: Any) -> Actor:
    return Actor(id=WORKER, username="worker", **{"works_for": "signoff", **about})


@pytest.mark.parametrize("row", WORKER_ROWS)
def test_which_account_speaks_for_a_run(row: str) -> None:
    about, facts, verdict = WORKER_ROWS[row]
    asked = {"pool": "signoff", "has_credential": False, "taken_by": WORKER, **facts}
    assert worker_speaks_for_run(worker(**about), **asked) == verdict


@pytest.mark.parametrize(
    ("about", "is_worker", "is_nothing_else"),
    [
        pytest.param({}, True, True, id="the account of a worker"),
        pytest.param({"works_for": ""}, False, False, id="any other"),
        pytest.param({"grants": (PREFECT_WRITE,)}, True, False, id="who may write to Prefect besides"),
        pytest.param({"grants": (PREFECT_VIEW,)}, True, True, id="who may view Prefect besides"),
        pytest.param({"superuser": True}, False, False, id="a superuser"),
        pytest.param({"read_only": True}, False, False, id="a token that only reads"),
    ],
)
def test_who_reaches_in_prefect_what_a_worker_needs(
    about: dict[str, Any], is_worker: bool, is_nothing_else: bool
) -> None:
    assert (works(worker(**about)), only_works(worker(**about))) == (is_worker, is_nothing_else)


def test_a_run_speaks_for_itself() -> None:
    run, other = uuid4(), uuid4()
    assert speaks_for_run(run, credential_of=run) == Allowed()
    assert speaks_for_run(run, credential_of=other) == Denied(NOT_ITS_RUN)


@pytest.mark.parametrize("row", WORKER_ROWS)
def test_who_speaks_for_a_run_without_a_credential_is_who_may_take_it(row: str) -> None:
    about, facts, verdict = WORKER_ROWS[row]
    found = takes_run(worker(**about), pool=facts.get("pool", "signoff"))
    assert found == (Denied(NOT_ITS_POOL) if verdict == Denied(NOT_ITS_WORKER) else Allowed())
