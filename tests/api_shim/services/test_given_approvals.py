"""What becomes of the approvals that somebody has given when they leave, or may approve no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from api_shim.domain.accounts import Permission
from api_shim.domain.audit import EventType
from api_shim.domain.model import ScheduledJob
from api_shim.services.accounts import Accounts
from api_shim.services.authentication import actor_of
from api_shim.services.given_approvals import Approvals
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    AT_ONCE,
    HOURLY,
    LATER,
    asked,
    decide,
    events,
    may,
    now_of,
    person,
    shown,
)
from tests.factories import OPERATOR, administering

USER, GROUP, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.PERMISSION
PENDING, APPROVED = ApprovalState.PENDING, ApprovalState.APPROVED


class Office:
    """Alice, who requests and is the only superuser; bob, who approves as one of a group; carol, who approves too.

    Args:
        plant: one whose Job needs approval.
    """

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.admin = administering(plant.store)
        self.accounts = Accounts(plant.store, lambda: plant.now, "UTC")
        for name in ("bob", "carol"):
            self.admin.add_user(name, plant.now)
        self.admin.add_group("approvers", plant.now)
        self.admin.set_member("approvers", "bob", plant.now, member=True)
        rights = {"extras.scheduledjob": ["view", "change"], "extras.job": ["approve"]}
        for kind, actions in rights.items():
            to = {"users": ["carol"], "groups": ["approvers"]}
            self.admin.add_permission(kind, plant.now, types=[kind], actions=actions, **to)

    def actor(self, name: str) -> Actor:
        [user] = [user for user in self.admin.users() if user.username == name]
        with self.plant.store.transaction(write=False) as tx:
            return actor_of(tx, user)

    def approved(self, schedule: Any, by: str = "bob") -> ScheduledJob:
        return decide(self.plant, "approve", self.actor(by), asked(self.plant, schedule))

    def change(self, kind: ObjectType, name: str, body: dict[str, Any], by: Actor | None = None) -> Approvals:
        field = "username" if kind is USER else "name"
        changed = asyncio.run(self.accounts.change(by or self.plant.actor, kind, {field: name}, body))
        return changed.approvals

    def remove(self, kind: ObjectType, name: str, by: Actor | None = None, **how: bool) -> Approvals:
        field = "username" if kind is USER else "name"
        return asyncio.run(self.accounts.remove(by or self.plant.actor, kind, {field: name}, **how))

    def states(self) -> dict[str, ApprovalState]:
        return {row.name: row.approval for row in self.plant.all(ScheduledJob)}


@pytest.fixture
def office(plants: Plants) -> Office:
    return Office(plants.ready(**APPROVAL))


def names(approvals: Approvals) -> tuple[list[str], list[str]]:
    return [row.name for row in approvals.standing], [row.name for row in approvals.revoked]


LOSSES: list[Any] = [
    pytest.param(lambda at: at.change(USER, "bob", {"is_active": False}), id="they are deactivated"),
    pytest.param(lambda at: at.admin.set_active("bob", at.plant.now, active=False).approvals,
                 id="they are deactivated on the machine"),
    pytest.param(lambda at: at.remove(USER, "bob"), id="they are removed"),
    pytest.param(lambda at: at.admin.remove_user("bob", at.plant.now).approvals, id="they are removed on the machine"),
    pytest.param(lambda at: at.change(USER, "bob", {"groups": []}), id="they leave the group"),
    pytest.param(lambda at: at.admin.set_member("approvers", "bob", at.plant.now, member=False),
                 id="they leave the group on the machine"),
    pytest.param(lambda at: at.remove(GROUP, "approvers"), id="the group is removed"),
    pytest.param(lambda at: at.admin.remove_group("approvers", at.plant.now), id="the group is removed on the machine"),
    pytest.param(lambda at: at.change(PERMISSION, "extras.job", {"groups": []}), id="the permission is taken away"),
    pytest.param(lambda at: at.change(PERMISSION, "extras.job", {"enabled": False, "users": []}),
                 id="the permission is disabled"),
    pytest.param(lambda at: at.change(PERMISSION, "extras.scheduledjob", {"constraints": {"name": "x"}, "users": []}),
                 id="the permission is limited to others"),
    pytest.param(lambda at: at.remove(PERMISSION, "extras.job"), id="the permission is removed"),
    pytest.param(lambda at: at.admin.remove_permission("extras.job", at.plant.now),
                 id="the permission is removed on the machine"),
]  # fmt: skip


@pytest.mark.parametrize("lose", LOSSES)
def test_what_somebody_approved_stands_when_they_may_approve_no_longer_and_is_told(
    office: Office, lose: Callable[[Office], Approvals]
) -> None:
    office.approved(HOURLY)
    office.approved(LATER)
    asked(office.plant, {**HOURLY, "name": "waits"})
    assert names(lose(office)) == (["often", "once"], [])
    assert office.states() == {"often": APPROVED, "once": APPROVED, "waits": PENDING}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda at: at.change(USER, "bob", {"username": "robert"}), id="they get another name"),
        pytest.param(lambda at: at.change(USER, "carol", {"is_active": False}), id="another is deactivated"),
        pytest.param(lambda at: at.change(GROUP, "approvers", {"name": "others"}), id="the group gets another name"),
        pytest.param(lambda at: at.change(PERMISSION, "extras.job", {"actions": ["approve", "run"]}),
                     id="the permission gives more"),
        pytest.param(lambda at: at.change(USER, "bob", {"is_superuser": True, "groups": []}),
                     id="they may for another reason"),
    ],
)  # fmt: skip
def test_nothing_is_told_while_they_may_approve(office: Office, change: Callable[[Office], Approvals]) -> None:
    office.approved(HOURLY)
    assert names(change(office)) == ([], [])


def test_only_what_the_caller_may_view_is_told_and_all_is_revoked(office: Office) -> None:
    office.approved(HOURLY)
    clerk = person(office.plant, "clerk", may(USER, Action.VIEW, Action.CHANGE))
    deactivated = {"is_active": False, "revoke_approvals": True}
    assert names(office.change(USER, "bob", deactivated, clerk)) == ([], [])
    assert office.states() == {"often": PENDING}


REVOCATIONS = [
    pytest.param("deactivated", lambda at: at.change(USER, "bob", {"is_active": False, "revoke_approvals": True}),
                 "alice", id="deactivated"),
    pytest.param("removed", lambda at: at.remove(USER, "bob", revoke_approvals=True), "alice", id="removed"),
    pytest.param(
        "deactivated",
        lambda at: at.admin.set_active("bob", at.plant.now, active=False, revoke_approvals=True).approvals,
        OPERATOR.username,
        id="deactivated on the machine",
    ),
    pytest.param("removed", lambda at: at.admin.remove_user("bob", at.plant.now, revoke_approvals=True).approvals,
                 OPERATOR.username, id="removed on the machine"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "leave", "who"), REVOCATIONS)
def test_what_they_approved_waits_again_if_that_is_wanted(
    office: Office, how: str, leave: Callable[[Office], Approvals], who: str
) -> None:
    rows = [office.approved(HOURLY), office.approved(LATER)]
    by_carol = office.approved({**HOURLY, "name": "by carol"}, "carol")
    assert names(leave(office)) == ([], ["often", "once"])
    assert office.states() == {"often": PENDING, "once": PENDING, "by carol": APPROVED}
    reason = f"The approval of bob was revoked, because their account was {how}."
    for row in rows:
        found = now_of(office.plant, row)
        assert (found.approval_note, found.approved_by, found.approved_at) == (reason, "", None)
    told = {each.name: each for each in events(office.plant) if each.act is EventType.RETURNED}
    assert {name: (each.actor, each.data) for name, each in told.items()} == dict.fromkeys(
        ("often", "once"), (who, {"reason": reason})
    )
    office.plant.work_off()
    office.plant.now += HOUR
    office.plant.work_off()
    assert {row.scheduled_job_id for row in office.plant.results().values()} <= {by_carol.id}, "it does not run"


def test_what_was_revoked_is_approved_again_by_another(office: Office) -> None:
    row = office.approved(HOURLY)
    office.remove(USER, "bob", revoke_approvals=True)
    assert (
        decide(office.plant, "approve", office.actor("carol"), row, version=shown(office.plant, row)).approved_by
        == "carol"
    )


def test_what_has_run_for_good_keeps_its_approval(office: Office) -> None:
    office.approved(AT_ONCE)
    office.plant.work_off()
    [row] = office.plant.all(ScheduledJob)
    assert row.is_spent
    assert names(office.remove(USER, "bob", revoke_approvals=True)) == ([], [])
    assert office.states() == {"urgent": APPROVED}


@pytest.mark.parametrize("revokes", [False, True])
def test_what_would_become_of_them_is_foreseen_and_nothing_changes(office: Office, revokes: bool) -> None:
    office.approved(HOURLY)
    before = (office.plant.all(ScheduledJob), events(office.plant), office.plant.all(Permission))
    foreseen = office.admin.remove_user("bob", office.plant.now, revoke_approvals=revokes, dry_run=True)
    assert (office.plant.all(ScheduledJob), events(office.plant), office.plant.all(Permission)) == before
    assert foreseen.left == []
    assert names(foreseen.approvals) == (([], ["often"]) if revokes else (["often"], []))
    assert names(office.admin.remove_user("bob", office.plant.now, revoke_approvals=revokes).approvals) == names(
        foreseen.approvals
    )
