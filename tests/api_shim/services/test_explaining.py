"""What is explained: each sentence in each situation, only about people whom one may see, and as it then happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType
from api_shim.domain.model import Job, ScheduledJob
from api_shim.parsing.decision import Decision
from api_shim.parsing.run_request import RunRequest
from api_shim.services.forecast import HAD_ITS_TURN, NEVER_AGAIN
from api_shim.services.schedule_views import EXPLAINED, INACTIVE, UNSEEN, Explanation
from approval_gate import ownership, policy
from approval_gate.admission import DISABLED, JOB_DISABLED, JOB_GONE, NOT_APPROVED, Go
from approval_gate.errors import Forbidden, GateError, NotFound
from approval_gate.model import Actor, ObjectType
from approval_gate.policy import why_not
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    APPROVE,
    APPROVER,
    AT_ONCE,
    CHANGE,
    DELETE,
    GONE,
    HOURLY,
    JOB,
    LATER,
    RUN,
    SCHEDULED,
    SECOND,
    VIEW,
    approver,
    asked,
    decide,
    events,
    executed,
    may,
    now_of,
    person,
)
from tests.api_shim.services.test_schedule_changes import (
    NIGHTLY,
    TONIGHT,
    approved,
    edit,
    editor,
    has_expired,
    has_failed,
    has_run,
)
from tests.api_shim.statements import statements
from tests.factories import NOW, remove_user

DAY = timedelta(days=1)
NO = "You do not have permission to perform this action."
ALLOWED = dict.fromkeys(EXPLAINED, "")
ACCOUNTS = may(ObjectType.USER, VIEW)


def explain(plant: Plant, who: Actor, row: ScheduledJob, **about: Any) -> Explanation:
    return asyncio.run(plant.explainer.explain(who, {"id": row.id}, about or None))


def sentences(explanation: Explanation) -> dict[str, str]:
    return {asked: why_not(verdict, hidden=UNSEEN) for asked, verdict in explanation.verdicts.items()}


def names(explanation: Explanation) -> dict[str, list[str]]:
    return {asked: [user.username for user in people] for asked, people in explanation.people.items()}


def user_of(plant: Plant, username: str) -> User:
    [user] = [user for user in plant.all(User) if user.username == username]
    return user


# Who may do what, and why not


def takes_over(plant: Plant, row: ScheduledJob, who: Actor) -> None:
    asyncio.run(plant.ownership.assume(who, {"id": row.id}))


def former_owner(plant: Plant, row: ScheduledJob) -> None:
    takes_over(plant, row, person(plant, "zoe", *APPROVER))
    takes_over(plant, row, person(plant, "dave", *APPROVER))


def requester_no_more(plant: Plant, row: ScheduledJob) -> None:
    takes_over(plant, row, person(plant, "dave", *APPROVER))


def has_edited(plant: Plant, row: ScheduledJob) -> None:
    edit(plant, person(plant, "zoe", *APPROVER), row, crontab="0 21 * * *")


def zoe(*permissions: Any) -> Callable[[Plant, ScheduledJob], None]:
    return lambda plant, _row: person(plant, "zoe", *permissions) and None


def of_job(**to: Any) -> Callable[[Plant, ScheduledJob], None]:
    def happens(plant: Plant, _row: ScheduledJob) -> None:
        person(plant, "zoe", *APPROVER)
        plant.change(plant.only(Job), **to)

    return happens


def is_inactive(plant: Plant, _row: ScheduledJob) -> None:
    person(plant, "zoe", *APPROVER)
    plant.change(user_of(plant, "zoe"), is_active=False)


def bob_approves(plant: Plant, row: ScheduledJob) -> None:
    person(plant, "zoe", *APPROVER)
    decide(plant, "approve", approver(plant), row)


def she_approves(plant: Plant, row: ScheduledJob) -> None:
    decide(plant, "approve", person(plant, "zoe", *APPROVER), row)


def nobody_decides(plant: Plant, _row: ScheduledJob) -> None:
    person(plant, "zoe", *APPROVER)
    plant.change(plant.only(ScheduledJob), expires_at=NOW)


BOB_APPROVED = "bob approved this request on 2026-05-04 at 12:00:00 UTC."
SHE_APPROVED = "zoe approved this request on 2026-05-04 at 12:00:00 UTC."
OVER = "This request has expired, because nobody decided about it in time; request it again."
NOTHING = {
    "approve": NO,
    "deny": policy.MAY_NOT_DENY,
    "dry_run": NO,
    "run": policy.MAY_NOT_RUN,
    "assume_ownership": NO,
}
VERDICTS = [
    pytest.param("zoe", zoe(*APPROVER), {}, id="an approver"),
    pytest.param(
        "alice",
        zoe(),
        {"approve": policy.OWN_REQUEST, "assume_ownership": ownership.ALREADY_OWNER},
        id="its requester, a superuser",
    ),
    pytest.param(
        "alice", requester_no_more, {"approve": policy.OWN_REQUEST}, id="its requester, who does not own it any more"
    ),
    pytest.param("zoe", former_owner, {"approve": policy.ONCE_OWNED}, id="who owned it once"),
    pytest.param(
        "dave",
        former_owner,
        {"approve": policy.ONCE_OWNED, "assume_ownership": ownership.ALREADY_OWNER},
        id="who owns it now",
    ),
    pytest.param("zoe", has_edited, {"approve": policy.ONCE_CHANGED}, id="who changed what it runs"),
    pytest.param("zoe", zoe(), NOTHING, id="a stranger"),
    pytest.param(
        "zoe",
        zoe(may(SCHEDULED, VIEW, CHANGE, DELETE)),
        {
            "approve": policy.MAY_NOT_APPROVE,
            "deny": policy.MAY_NOT_DENY,
            "dry_run": policy.MAY_NOT_RUN,
            "run": policy.MAY_NOT_RUN,
            "assume_ownership": policy.MAY_NOT_RUN,
        },
        id="who may nothing with its Job",
    ),
    pytest.param(
        "zoe",
        zoe(may(SCHEDULED, VIEW, CHANGE, DELETE, limit={"name": "another"}), may(JOB, APPROVE, RUN)),
        {"approve": UNSEEN, "deny": UNSEEN, "dry_run": UNSEEN, "assume_ownership": UNSEEN},
        id="who may see another",
    ),
    pytest.param("zoe", is_inactive, dict.fromkeys(EXPLAINED, INACTIVE), id="who has been deactivated"),
    pytest.param("zoe", bob_approves, {"approve": BOB_APPROVED, "deny": BOB_APPROVED}, id="what bob has approved"),
    pytest.param("zoe", she_approves, {"deny": SHE_APPROVED}, id="what she has approved"),
    pytest.param("zoe", nobody_decides, {"approve": OVER, "deny": OVER}, id="what has expired"),
    pytest.param(
        "zoe",
        of_job(enabled=False),
        dict.fromkeys(["approve", "dry_run", "run"], JOB_DISABLED),
        id="whose Job is disabled",
    ),
    pytest.param(
        "zoe",
        of_job(installed=False),
        dict.fromkeys(["approve", "dry_run", "run"], JOB_GONE),
        id="whose Job is gone",
    ),
    pytest.param("zoe", of_job(supports_dryrun=False), {"dry_run": policy.NO_DRY_RUN}, id="whose Job has no dry run"),
]


@pytest.mark.parametrize(("username", "happens", "refused"), VERDICTS)
def test_who_may_do_what_and_why_not(
    plants: Plants, username: str, happens: Callable[[Plant, ScheduledJob], None], refused: dict[str, str]
) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, NIGHTLY)
    happens(plant, row)
    told = explain(plant, plant.actor, row, username=username)
    assert told.subject == user_of(plant, username)
    assert sentences(told) == {**ALLOWED, **refused}
    assert {asked: username in people for asked, people in names(told).items()} == {
        asked: not sentence for asked, sentence in sentences(told).items()
    }


def test_what_needs_no_approval_says_so(plants: Plants) -> None:
    plant = plants.ready()
    row, bob = asked(plant, NIGHTLY), approver(plant)
    told = sentences(explain(plant, bob, row))
    assert (told["approve"], told["deny"]) == (policy.NOT_NEEDED, policy.NOT_NEEDED)


@pytest.mark.parametrize(
    ("schedule", "late", "needs_force"),
    [
        pytest.param(LATER, False, False, id="a one-off before its start"),
        pytest.param(LATER, True, True, id="a one-off after it"),
        pytest.param(AT_ONCE, True, False, id="what was to run at once is never past its date"),
        pytest.param(HOURLY, True, False, id="what fires again and again"),
    ],
)
def test_who_approves_needs_force_after_its_only_start(
    plants: Plants, schedule: Any, late: bool, needs_force: bool
) -> None:
    plant = plants.ready(**APPROVAL)
    row, bob = asked(plant, schedule), approver(plant)
    plant.now += HOUR + SECOND if late else timedelta(0)
    told = explain(plant, bob, row)
    assert (told.needs_force, sentences(told)["approve"]) == (needs_force, "")


# About whom


def test_everybody_may_ask_about_themselves_by_any_name(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row, carol = asked(plant, NIGHTLY), person(plant, "carol", may(SCHEDULED, VIEW))
    themselves = explain(plant, carol, row)
    assert themselves.subject.username == "carol"
    assert themselves == explain(plant, carol, row, username="carol") == explain(plant, carol, row, id=carol.id)


def test_a_token_that_only_reads_does_not_count(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, NIGHTLY)
    bob = approver(plant)
    reader = Actor(id=bob.id, username="bob", grants=bob.grants, read_only=True)
    assert sentences(explain(plant, reader, row)) == ALLOWED, "what is explained is the person, not the token"


@pytest.mark.parametrize(
    ("accounts", "about", "error"),
    [
        pytest.param((), {"username": "bob"}, Forbidden, id="without a view of accounts"),
        pytest.param((), {"username": "nobody"}, Forbidden, id="without one nobody learns who there is"),
        pytest.param((), {"id": uuid4()}, Forbidden, id="nor by an id"),
        pytest.param((ACCOUNTS,), {"username": "bob"}, None, id="with a view of all"),
        pytest.param((ACCOUNTS,), {"username": "nobody"}, NotFound, id="somebody unknown"),
        pytest.param((ACCOUNTS,), {"id": uuid4()}, NotFound, id="an unknown id"),
        pytest.param((may(ObjectType.USER, VIEW, limit={"username": "bob"}),), {"username": "bob"}, None, id="of bob"),
        pytest.param(
            (may(ObjectType.USER, VIEW, limit={"username": "zoe"}),), {"username": "bob"}, NotFound, id="of another"
        ),
        pytest.param((may(ObjectType.USER, CHANGE),), {"username": "bob"}, Forbidden, id="with a change of accounts"),
    ],
)
def test_who_may_ask_about_others(plants: Plants, accounts: Any, about: Any, error: type[GateError] | None) -> None:
    plant = plants.ready(**APPROVAL)
    row, _bob = asked(plant, NIGHTLY), approver(plant)
    carol = person(plant, "carol", may(SCHEDULED, VIEW), *accounts)
    if error is None:
        assert explain(plant, carol, row, **about).subject.username == "bob"
        return
    with pytest.raises(error) as caught:
        explain(plant, carol, row, **about)
    assert caught.value.detail == (NO if error is Forbidden else "No User matches the given query.")


@pytest.mark.parametrize(
    ("permissions", "error", "sentence"),
    [
        pytest.param((), Forbidden, NO, id="no scheduled jobs"),
        pytest.param((may(SCHEDULED, CHANGE),), Forbidden, NO, id="only to change them"),
        pytest.param((may(SCHEDULED, VIEW, limit={"name": "another"}),), NotFound, GONE, id="another"),
    ],
)
def test_who_may_not_see_it_is_explained_nothing(
    plants: Plants, permissions: Any, error: type[GateError], sentence: str
) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, NIGHTLY)
    with pytest.raises(error, match=sentence):
        explain(plant, person(plant, "carol", *permissions, ACCOUNTS), row)


def test_what_is_not_there_is_not_found(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, NIGHTLY)
    asyncio.run(plant.schedules.delete(plant.actor, row.id))
    with pytest.raises(NotFound, match=GONE):
        explain(plant, plant.actor, row)
    with pytest.raises(NotFound, match=GONE):
        asyncio.run(plant.explainer.explain(plant.actor, {"name": "nightly"}, None))


@pytest.mark.parametrize(
    ("accounts", "seen"),
    [
        pytest.param((), {"carol"}, id="themselves alone"),
        pytest.param((may(ObjectType.USER, VIEW, limit={"username__in": ["bob", "zoe"]}),), {"bob", "carol"}, id="two"),
        pytest.param((ACCOUNTS,), {"alice", "bob", "carol", "dave"}, id="all, less who has been deactivated"),
    ],
)
def test_only_people_whom_one_may_see_are_named(plants: Plants, accounts: Any, seen: set[str]) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, NIGHTLY)
    for username in ("bob", "dave", "zoe"):
        approver(plant, username)
    plant.change(user_of(plant, "zoe"), is_active=False)
    carol = person(plant, "carol", *APPROVER, *accounts)
    explained = explain(plant, carol, row)
    told = names(explained)
    # Others are not named, but nobody takes them for nobody.
    assert explained.others == dict.fromkeys(EXPLAINED, "dave" not in seen)
    everybody = sorted(seen)
    assert told["approve"] == told["assume_ownership"] == [name for name in everybody if name != "alice"]
    assert told["deny"] == told["dry_run"] == told["run"] == everybody


def test_it_is_explained_with_as_many_questions_however_many_people_there_are(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row, counted = asked(plant, NIGHTLY), []
    for number in range(40):
        person(plant, f"person{number:02}", *APPROVER)
        if number in (0, 39):
            with statements(plant.store) as said:
                assert len(explain(plant, plant.actor, row).people["approve"]) == number + 1
            counted.append(len(said))
    assert counted[0] == counted[1] <= 25


# When it fires next, and why not


def nothing(_plant: Plant, _row: ScheduledJob) -> None:
    """Let it be."""


def disabled(plant: Plant, row: ScheduledJob) -> None:
    edit(plant, plant.actor, row, enabled=False)


def job(**to: Any) -> Callable[[Plant, ScheduledJob], None]:
    return lambda plant, _row: plant.change(plant.only(Job), **to)


def owner(**to: Any) -> Callable[[Plant, ScheduledJob], None]:
    """Let it belong to zoe, of whom something is true."""

    def happens(plant: Plant, row: ScheduledJob) -> None:
        takes_over(plant, row, person(plant, "zoe", *APPROVER))
        plant.change(user_of(plant, "zoe"), **to)

    return happens


def owner_removed(plant: Plant, row: ScheduledJob) -> None:
    takes_over(plant, row, person(plant, "zoe", *APPROVER))
    remove_user(plant.store, "zoe", plant.now)


def owner_may_not_run(plant: Plant, row: ScheduledJob) -> None:
    zoe = person(plant, "zoe", may(SCHEDULED, CHANGE))
    plant.change(now_of(plant, row), owner_id=zoe.id)


def approves(plant: Plant, row: ScheduledJob) -> None:
    decide(plant, "approve", approver(plant), row, force=True)


def stale(plant: Plant, row: ScheduledJob) -> None:
    approves(plant, row)
    plant.change(plant.only(Job), code_digest="2::another")
    plant.code = "2::another"


def is_late(plant: Plant, row: ScheduledJob) -> None:
    plant.now = row.start_time + HOUR


def is_approved_late(plant: Plant, row: ScheduledJob) -> None:
    is_late(plant, row)
    approves(plant, row)


def fails(plant: Plant, row: ScheduledJob) -> None:
    """Let a firing fail because its owner has been removed."""
    owner_removed(plant, row)
    plant.now = row.start_time
    plant.tick()
    plant.work(plant.engine.make_firing(plant.own_id(), row.start_time))


def changed_before_prefect_follows(plant: Plant, row: ScheduledJob) -> None:
    assert row.flow_run_id is not None
    plant.engine.delete_run(row.flow_run_id)
    plant.change(row, flow_run_id=None, run_outdated=True, version=row.version + 1)


def cannot(name: str, why: str) -> str:
    return f"Scheduled job '{name}' cannot run: {why}. Use 'Assume Ownership' to take it over."


REMOVED = "the originating user has been removed"
INACTIVE_OWNER = "its owner has been deactivated"
MAY_NOT = "its owner is no longer permitted to run this job"
HOUR_LATER = NOW + HOUR
FREE: dict[str, Any] = {}
NEXT = [
    pytest.param(NIGHTLY, FREE, nothing, TONIGHT, id="one that fires"),
    pytest.param(HOURLY, FREE, nothing, HOUR_LATER, id="one before its start"),
    pytest.param(NIGHTLY, FREE, disabled, DISABLED, id="disabled"),
    pytest.param(NIGHTLY, FREE, fails, cannot("nightly", REMOVED), id="failed"),
    pytest.param(NIGHTLY, FREE, owner_removed, cannot("nightly", REMOVED), id="whose owner was removed"),
    pytest.param(NIGHTLY, FREE, owner(is_active=False), cannot("nightly", INACTIVE_OWNER), id="of one who is inactive"),
    pytest.param(NIGHTLY, FREE, owner_may_not_run, cannot("nightly", MAY_NOT), id="of one who may not run its Job"),
    pytest.param(NIGHTLY, FREE, job(enabled=False), JOB_DISABLED, id="whose Job is disabled"),
    pytest.param(NIGHTLY, FREE, job(installed=False), JOB_GONE, id="whose Job is gone"),
    pytest.param(NIGHTLY, APPROVAL, nothing, NOT_APPROVED, id="that waits for approval"),
    pytest.param(NIGHTLY, APPROVAL, approves, TONIGHT, id="that was approved"),
    pytest.param(
        NIGHTLY, APPROVAL, stale, "The Job's code changed after bob approved it.", id="whose approval no longer fits"
    ),
    pytest.param(NIGHTLY, {**APPROVAL, "approval_expires": 60.0}, has_expired, OVER, id="that expired"),
    pytest.param(LATER, FREE, nothing, HOUR_LATER, id="a one-off"),
    pytest.param(LATER, FREE, disabled, DISABLED, id="a one-off that was disabled"),
    pytest.param(LATER, FREE, has_run, HAD_ITS_TURN, id="a one-off that has run"),
    pytest.param(LATER, FREE, has_failed, JOB_DISABLED, id="a one-off that has failed"),
    pytest.param(LATER, FREE, changed_before_prefect_follows, HOUR_LATER, id="a one-off that was just changed"),
    pytest.param(LATER, APPROVAL, is_late, NOT_APPROVED, id="a one-off that waits beyond its start"),
    pytest.param(LATER, APPROVAL, is_approved_late, NOW + 2 * HOUR, id="a one-off that was approved late"),
    pytest.param(AT_ONCE, APPROVAL, nothing, NOT_APPROVED, id="at once, and waits"),
    pytest.param(AT_ONCE, APPROVAL, approves, NOW, id="at once, and was approved"),
]


@pytest.mark.parametrize(("schedule", "job", "happens", "expected"), NEXT)
def test_when_it_fires_next_or_why_not_and_so_it_happens(
    plants: Plants,
    schedule: Any,
    job: dict[str, Any],
    happens: Callable[[Plant, ScheduledJob], None],
    expected: datetime | str,
) -> None:
    plant = plants.ready(**job)
    row = asked(plant, schedule)
    happens(plant, row)
    told = explain(plant, plant.actor, row)
    if isinstance(expected, str):
        assert (told.next_firing, told.why_not) == (None, expected)
    else:
        assert (told.next_firing, told.why_not) == (expected, "")
    done = len(executed(plant))
    plant.tick()
    plant.now = told.next_firing or (plant.now + DAY).replace(hour=20, minute=0)
    plant.tick()
    went = False
    for run in [run for run in plant.unended() if not run.by_schedule]:
        went = plant.work(run) == Go() or went
    for deployment_id, spec in plant.own().items():
        if spec.schedule.active:
            went = plant.work(plant.engine.make_firing(deployment_id, plant.now)) == Go() or went
    assert went is (told.next_firing is not None)
    assert len(executed(plant)) == done + went


def test_a_schedule_without_a_further_time_says_so(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = plants.ready()
    row = asked(plant, NIGHTLY)
    monkeypatch.setattr("api_shim.services.forecast.next_times", lambda *_asked: [])
    told = explain(plant, plant.actor, row)
    assert (told.next_firing, told.why_not) == (None, NEVER_AGAIN)


# What is explained is what happens


async def approve(plant: Plant, who: Actor, row: ScheduledJob) -> None:
    await plant.approvals.approve(who, {"id": row.id}, Decision(force=True))


async def deny(plant: Plant, who: Actor, row: ScheduledJob) -> None:
    await plant.approvals.deny(who, {"id": row.id}, Decision())


async def dry_run(plant: Plant, who: Actor, row: ScheduledJob) -> None:
    await plant.approvals.dry_run(who, {"id": row.id})


async def run(plant: Plant, who: Actor, row: ScheduledJob) -> None:
    await plant.schedules.request(who, row.job_id, RunRequest(data={}))


async def assume(plant: Plant, who: Actor, row: ScheduledJob) -> None:
    await plant.ownership.assume(who, {"id": row.id})


DOES = {"approve": approve, "deny": deny, "dry_run": dry_run, "run": run, "assume_ownership": assume}
PEOPLE = [
    pytest.param(APPROVER, id="an approver"),
    pytest.param((), id="a stranger"),
    pytest.param((may(SCHEDULED, VIEW), may(JOB, RUN)), id="a runner"),
    pytest.param((may(SCHEDULED, VIEW, CHANGE, DELETE),), id="who may change and delete"),
    pytest.param((may(SCHEDULED, VIEW, DELETE), may(JOB, APPROVE)), id="who may deny"),
    pytest.param((may(SCHEDULED, CHANGE, limit={"name": "another"}), may(JOB, RUN, APPROVE)), id="of another"),
    pytest.param((may(SCHEDULED, VIEW, CHANGE, limit={"user": "$user"}), may(JOB, RUN, APPROVE)), id="of their own"),
]
SITUATIONS = [
    pytest.param(nothing, {}, id="it waits"),
    pytest.param(approves, {}, id="it was approved"),
    pytest.param(nothing, {"approval_required": False}, id="it needs no approval"),
    pytest.param(is_late, {}, id="it is late"),
    pytest.param(job(enabled=False), {}, id="its Job is disabled"),
    pytest.param(job(installed=False), {}, id="its Job is gone"),
    pytest.param(nothing, {"supports_dryrun": False}, id="it has no dry run"),
    pytest.param(has_expired, {"approval_expires": 60.0}, id="it has expired"),
]


def rows_for_each(plant: Plant, happens: Callable[[Plant, ScheduledJob], None]) -> Iterator[tuple[str, ScheduledJob]]:
    """Make a request for each thing that can be done with it; then let the same happen to all."""
    rows = {name: asked(plant, {**NIGHTLY, "name": f"to {name}"}) for name in DOES}
    if happens is approves:
        bob = approver(plant)
        for row in rows.values():
            decide(plant, "approve", bob, row)
    else:
        happens(plant, rows["run"])
    yield from rows.items()


@pytest.mark.parametrize("permissions", PEOPLE)
@pytest.mark.parametrize(("happens", "job"), SITUATIONS)
def test_who_is_said_to_may_does_and_who_is_said_not_to_does_not_for_that_reason(
    plants: Plants, permissions: Any, happens: Callable[[Plant, ScheduledJob], None], job: dict[str, Any]
) -> None:
    plant = plants.ready(**{**APPROVAL, **job})
    zoe = person(plant, "zoe", *permissions)
    for name, row in rows_for_each(plant, happens):
        told = explain(plant, plant.actor, row, username="zoe")
        assert why_not(told.verdicts[name], hidden=UNSEEN) == answer(plant, zoe, name, row)


def answer(plant: Plant, who: Actor, name: str, row: ScheduledJob) -> str:
    """Do something; return the sentence that refuses it, in the words of what is explained."""
    try:
        asyncio.run(DOES[name](plant, who, row))
    except NotFound:
        return UNSEEN
    except GateError as error:
        # Who asks for a run of a Job is told so in the words for that.
        return {"This user does not have permission to run jobs.": policy.MAY_NOT_RUN}.get(str(error), str(error))
    return ""


def test_explaining_records_and_changes_nothing(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = approved(plant, NIGHTLY)
    before = (plant.all(ScheduledJob), events(plant), list(plant.engine.calls))
    explain(plant, editor(plant), row)
    assert (plant.all(ScheduledJob), events(plant), list(plant.engine.calls)) == before
    assert [each.act for each in events(plant)] == [EventType.REQUESTED, EventType.APPROVED]
