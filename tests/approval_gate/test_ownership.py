"""Who takes a scheduled job over, hands it over and changes it, in tables; and what holds whatever the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.errors import Conflict
from approval_gate.identity import NOBODY as NO_ONE
from approval_gate.identity import Identity
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor, Allowed, Denied, Hidden, ObjectType, Verdict
from approval_gate.ownership import ALREADY_OWNER, NOT_OWNER, assume, change, hand_over, lapse, receive, run
from approval_gate.policy import (
    MAY_NOT_RUN,
    NO_PERMISSION,
    ONCE_CHANGED,
    ONCE_OWNED,
    OWN_REQUEST,
    SAME_PERSON,
    RequestFacts,
    approve,
    check_object,
)
from tests.approval_gate.test_policy import (
    ACTORS,
    ANOTHER,
    APPROVES,
    CAROL,
    CHANGE,
    CHANGES,
    DAVE,
    GONE,
    ME,
    NOBODY,
    OWN,
    PENDING,
    REQUESTS,
    ROOT,
    RUN,
    RUNS,
    SCHEDULED,
    SEES,
    THIS_JOB,
    THIS_REQUEST,
    actor,
    grant,
    job,
    request,
)

USER = ObjectType.USER
BOTH = actor(CHANGES, RUNS)
MY_OWN = request(owner=ME, owners=frozenset({ME}), thing={"name": "nightly", "user": ME})
OWNERLESS = request(owner=None)


# Taking over

ASSUME = [
    pytest.param(BOTH, PENDING, Allowed(), id="who may change it and run its Job takes it over"),
    pytest.param(ROOT, PENDING, Allowed(), id="a superuser takes it over"),
    pytest.param(BOTH, OWNERLESS, Allowed(), id="what has no owner is taken over"),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=THIS_REQUEST), grant(ObjectType.JOB, RUN, limit=THIS_JOB)),
        PENDING,
        Allowed(),
        id="to change this one and run this Job is enough",
    ),
    pytest.param(BOTH, MY_OWN, Denied(ALREADY_OWNER, Conflict), id="the owner is told that they are"),
    pytest.param(ROOT, MY_OWN, Denied(ALREADY_OWNER, Conflict), id="so is an owner who is a superuser"),
    pytest.param(NOBODY, PENDING, Denied(NO_PERMISSION), id="nobody may not"),
    pytest.param(actor(RUNS), PENDING, Denied(NO_PERMISSION), id="to run its Job is not enough"),
    pytest.param(actor(SEES, RUNS), PENDING, Denied(NO_PERMISSION), id="nor to see it as well"),
    pytest.param(actor(CHANGES), PENDING, Denied(MAY_NOT_RUN), id="to change it is not enough"),
    pytest.param(actor(CHANGES, APPROVES), PENDING, Denied(MAY_NOT_RUN), id="to approve its Job is not to run it"),
    pytest.param(
        actor(CHANGES, grant(ObjectType.JOB, RUN, limit=ANOTHER)),
        PENDING,
        Denied(MAY_NOT_RUN),
        id="who may run only another Job may not",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=ANOTHER), SEES, RUNS),
        PENDING,
        Denied(NO_PERMISSION),
        id="who may change only another, and see this one, may not",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=ANOTHER), RUNS),
        PENDING,
        Hidden(),
        id="who may change only another, and see none, knows of none",
    ),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=OWN), SEES, RUNS),
        PENDING,
        Denied(NO_PERMISSION),
        id="who may change what is their own may not",
    ),
    pytest.param(BOTH, GONE, Hidden(), id="if there is none it is unknown"),
    pytest.param(
        actor(CHANGES, RUNS, read_only=True), PENDING, Denied(NO_PERMISSION), id="a read-only token takes nothing over"
    ),
]


@pytest.mark.parametrize(("who", "it", "verdict"), ASSUME)
def test_who_takes_over(who: Actor, it: RequestFacts, verdict: Verdict) -> None:
    assert assume(who, it) == verdict


@given(ACTORS, REQUESTS)
def test_whatever_the_facts_only_who_may_change_it_and_run_its_job_takes_it_over(who: Actor, it: RequestFacts) -> None:
    may = check_object(who, CHANGE, SCHEDULED, it.thing) == Allowed() and who.may(RUN, ObjectType.JOB, it.job)
    assert (assume(who, it) == Allowed()) is (may and it.owner != who.id)


# Handing over


@pytest.mark.parametrize(
    ("who", "verdict"),
    [
        pytest.param(actor(CHANGES, grant(USER, CHANGE)), Allowed(), id="who may change it and accounts"),
        pytest.param(ROOT, Allowed(), id="a superuser"),
        pytest.param(BOTH, Denied(NO_PERMISSION), id="who may change no accounts: it would run as another"),
        pytest.param(actor(grant(USER, CHANGE), RUNS), Denied(NO_PERMISSION), id="who may not change it"),
    ],
)
def test_who_hands_over(who: Actor, verdict: Verdict) -> None:
    assert hand_over(who, PENDING) == verdict


RECEIVE = [
    pytest.param(BOTH, PENDING, True, Allowed(), id="who could take it over receives it"),
    pytest.param(ROOT, PENDING, True, Allowed(), id="a superuser receives it"),
    pytest.param(
        actor(grant(SCHEDULED, CHANGE, limit=OWN), RUNS),
        PENDING,
        True,
        Allowed(),
        id="who may change what is their own receives it, for then it is theirs",
    ),
    pytest.param(BOTH, PENDING, False, Denied("alice has been deactivated.", Conflict), id="not who is inactive"),
    pytest.param(
        BOTH, MY_OWN, True, Denied("alice already owns this scheduled job.", Conflict), id="not who owns it already"
    ),
    pytest.param(
        actor(RUNS),
        PENDING,
        True,
        Denied("alice does not have permission to change this scheduled job."),
        id="not who may not change it",
    ),
    pytest.param(
        actor(CHANGES),
        PENDING,
        True,
        Denied("alice does not have permission to run this job."),
        id="not who may not run its Job",
    ),
]


@pytest.mark.parametrize(("who", "it", "active", "verdict"), RECEIVE)
def test_who_receives(who: Actor, it: RequestFacts, active: bool, verdict: Verdict) -> None:
    assert receive(who, it, active=active) == verdict


# What becomes of the approval

STANDS = ""
LAPSES = "alice has approved this and owns it now, so someone else must approve it."


def approved(by: Identity, approval: ApprovalState = ApprovalState.APPROVED) -> RequestFacts:
    return request(approval, approver=by)


@pytest.mark.parametrize(
    ("it", "reason"),
    [
        pytest.param(approved(Identity(accounts=frozenset({ME}))), LAPSES, id="the new owner approved it: it lapses"),
        pytest.param(
            approved(Identity(accounts=frozenset({DAVE, ME}), names=frozenset({"dave"}))),
            LAPSES,
            id="the new owner approved it under an account that they had before: it lapses",
        ),
        pytest.param(
            approved(Identity(names=frozenset({"alice"}))),
            LAPSES,
            id="somebody of the new owner's name approved it, and was removed: it lapses",
        ),
        pytest.param(
            approved(Identity(accounts=frozenset({DAVE}), names=frozenset({"dave"}))),
            STANDS,
            id="another approved it: it stands",
        ),
        pytest.param(approved(NO_ONE), STANDS, id="nobody knows who approved it: it stands"),
        pytest.param(
            approved(Identity(accounts=frozenset({ME})), ApprovalState.PENDING),
            STANDS,
            id="it waits, though they approved it before: nothing lapses",
        ),
        pytest.param(
            approved(Identity(accounts=frozenset({ME})), ApprovalState.NOT_REQUIRED),
            STANDS,
            id="it needs no approval: nothing lapses",
        ),
    ],
)
def test_whose_takeover_ends_the_approval(it: RequestFacts, reason: str) -> None:
    assert lapse(ME, "alice", it.approval, it.approver) == reason


# Changing

CHANGE_TABLE = [
    pytest.param(BOTH, PENDING, True, False, Allowed(), id="who may change it and run its Job changes when it runs"),
    pytest.param(actor(CHANGES), PENDING, False, False, Allowed(), id="who may only change it renames and disables it"),
    pytest.param(actor(CHANGES), PENDING, True, False, Denied(MAY_NOT_RUN), id="and does not change when it runs"),
    pytest.param(BOTH, PENDING, True, True, Denied(NOT_OWNER), id="another's inputs are not changed: it runs as them"),
    pytest.param(ROOT, PENDING, True, True, Denied(NOT_OWNER), id="not by a superuser either"),
    pytest.param(BOTH, OWNERLESS, True, True, Denied(NOT_OWNER), id="nor where there is no owner"),
    pytest.param(BOTH, MY_OWN, True, True, Allowed(), id="the owner changes them"),
    pytest.param(actor(CHANGES), MY_OWN, True, True, Denied(MAY_NOT_RUN), id="unless they may no longer run the Job"),
    pytest.param(actor(SEES, RUNS), MY_OWN, False, False, Denied(NO_PERMISSION), id="not without the permission"),
    pytest.param(BOTH, GONE, False, False, Hidden(), id="if there is none it is unknown"),
]


@pytest.mark.parametrize(("who", "it", "runs_otherwise", "inputs", "verdict"), CHANGE_TABLE)
def test_who_changes(who: Actor, it: RequestFacts, runs_otherwise: bool, inputs: bool, verdict: Verdict) -> None:
    assert change(who, it, runs_otherwise=runs_otherwise, inputs=inputs) == verdict


@pytest.mark.parametrize(
    ("who", "it", "verdict"),
    [
        pytest.param(actor(RUNS), PENDING, Allowed(), id="who may run the Job"),
        pytest.param(NOBODY, PENDING, Denied(MAY_NOT_RUN), id="not who may not"),
        pytest.param(
            actor(RUNS),
            request(runnable=job(enabled=False)),
            Denied("This job is not enabled to be run."),
            id="not while the Job is disabled",
        ),
        pytest.param(actor(RUNS, read_only=True), PENDING, Denied(NO_PERMISSION), id="not with a read-only token"),
    ],
)
def test_who_runs(who: Actor, it: RequestFacts, verdict: Verdict) -> None:
    assert run(who, it) == verdict


# Ownership opens no way to approve one's own


@pytest.mark.parametrize(
    ("it", "reason"),
    [
        pytest.param(
            request(owner=CAROL, owners=frozenset({CAROL, ME})), ONCE_OWNED, id="taken over, and given back since"
        ),
        pytest.param(request(owner=ME, owners=frozenset({CAROL, ME})), ONCE_OWNED, id="taken over"),
        pytest.param(request(requester=ME, owner=CAROL), OWN_REQUEST, id="asked for, and taken over by another"),
        pytest.param(request(editors=frozenset({ME})), ONCE_CHANGED, id="changed, and never owned"),
        pytest.param(
            request(owner=None, people=Identity(names=frozenset({"alice"}))),
            SAME_PERSON,
            id="owned under an earlier account",
        ),
    ],
)
@pytest.mark.parametrize("who", [actor(CHANGES, APPROVES, RUNS), ROOT], ids=["with permissions", "a superuser"])
def test_who_had_a_hand_in_it_does_not_approve_it(who: Actor, it: RequestFacts, reason: str) -> None:
    assert approve(who, it, force=True) == Denied(reason)


@given(ACTORS, REQUESTS, st.booleans())
def test_whoever_takes_over_or_changes_what_runs_can_never_approve(who: Actor, it: RequestFacts, edits: bool) -> None:
    pending = replace(it, approval=ApprovalState.PENDING, decided_by=None)
    may = change(who, pending, runs_otherwise=True, inputs=False) if edits else assume(who, pending)
    if may == Allowed():
        hand = {"editors": pending.editors | {who.id}} if edits else {"owners": pending.owners | {who.id}}
        after = replace(pending, **hand) if edits else replace(pending, owner=who.id, **hand)
        assert approve(who, after, force=True) != Allowed()
