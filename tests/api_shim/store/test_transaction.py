"""What can be asked and told within a transaction, and that nobody sees what no permission shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api_shim.domain.accounts import User
from api_shim.domain.audit import AuditEvent, AuditHead, EventType, fault
from api_shim.domain.calendar_spans import Went
from api_shim.domain.model import Job, JobResult, PendingCleanup, ScheduledJob, Status
from api_shim.domain.query import FAILING, Condition
from api_shim.store import Duplicate, Listing, Page, Store, Transaction
from api_shim.store.columns import path_types
from approval_gate.constraints import Lookup, Op, parse
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.databases import sqlite_with_tables
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

pytestmark = pytest.mark.each_database

ADMIN = Actor(id=uuid4(), username="admin", superuser=True)
SCHEDULED = ObjectType.SCHEDULED_JOB


def who_may(*raws: Any, user: UUID | None = None, action: Action = Action.VIEW) -> Actor:
    """Return somebody who has this action on scheduled jobs, once for each of the constraints."""
    grants = (
        Grant(
            object_types=frozenset({SCHEDULED}),
            actions=frozenset({action}),
            constraint=parse(raw, path_types([SCHEDULED])),
        )
        for raw in raws
    )
    return Actor(id=user or uuid4(), username="someone", grants=tuple(grants))


def listing(**to: Any) -> Listing:
    return Listing(**{"limit": 50, **to})


def add(store: Store, *things: Any) -> None:
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)


def names(store: Store, actor: Actor, **asked: Any) -> list[str]:
    with store.transaction(write=False) as tx:
        return [row.name for row in tx.page(SCHEDULED, actor, listing(**asked)).rows]


# Values


def test_a_change_writes_only_the_fields_that_it_is_given(store: Store) -> None:
    alice = make_user("alice")
    add(store, alice)
    with store.transaction() as tx:
        seen = tx.get(User, id=alice.id)
        assert seen is not None
        tx.change(replace(seen, is_superuser=True), is_active=False)
    with store.transaction(write=False) as tx:
        assert tx.all(User) == [replace(alice, is_active=False)]


def test_a_change_returns_the_changed_copy_and_leaves_others_alone(store: Store) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    add(store, alice, bob)
    with store.transaction() as tx:
        assert tx.change(alice, is_active=False) == replace(alice, is_active=False)
    with store.transaction(write=False) as tx:
        assert tx.all(User, order="username") == [replace(alice, is_active=False), bob]


def test_two_changes_of_different_fields_both_hold(store: Store) -> None:
    alice = make_user("alice")
    add(store, alice)
    for to in ({"is_active": False}, {"is_superuser": True}):
        with store.transaction() as tx:
            tx.change(alice, **to)
    with store.transaction(write=False) as tx:
        assert tx.all(User) == [replace(alice, is_active=False, is_superuser=True)]


def test_what_is_changed_to_nothing_is_nothing(store: Store) -> None:
    job = make_job()
    result = make_result(job, None, inputs={"a": 1}, result=[1], traceback="x")
    add(store, job, result)
    with store.transaction() as tx:
        tx.change(result, inputs=None, result=None, traceback=None)
    with store.transaction(write=False) as tx:
        assert tx.all(JobResult) == [replace(result, inputs=None, result=None, traceback=None)]


def test_one_is_one_or_none(store: Store) -> None:
    alice = make_user("alice")
    add(store, alice, make_user("bob"))
    with store.transaction(write=False) as tx:
        assert tx.get(User, username="alice") == alice
        assert tx.get(User, username="carol") is None
        assert tx.get(User, username="alice", is_active=False) is None
        assert tx.exists(User)
        assert not tx.exists(User, is_superuser=True)


def test_all_takes_a_list_or_a_set_as_any_of_these(store: Store) -> None:
    alice, bob, carol = (make_user(name) for name in ("alice", "bob", "carol"))
    add(store, carol, alice, bob)
    with store.transaction(write=False) as tx:
        assert tx.all(User, order="username") == [alice, bob, carol]
        assert tx.all(User, order="username", id={carol.id, bob.id, uuid4()}) == [bob, carol]
        assert tx.all(User, username=["alice"]) == [alice]
        assert tx.all(User, id=[]) == []


def test_a_removed_value_is_gone_and_removing_it_again_is_nothing(store: Store) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    add(store, alice, bob)
    for _ in range(2):
        with store.transaction() as tx:
            tx.remove(alice)
    with store.transaction(write=False) as tx:
        assert tx.all(User) == [bob]


# Pages


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that is only read, once on each kind of database."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = sqlite_with_tables(tmp_path_factory.mktemp("filled") / "store.db")
        else:
            url = stack.enter_context(request.getfixturevalue("postgresql").with_tables())
        store = Store(url)
        stack.callback(store.close)
        yield store


@pytest.fixture(scope="module")
def rows(filled: Store) -> dict[str, ScheduledJob]:
    """Six scheduled jobs of alice, bob and nobody, of two Jobs."""
    alice, bob = make_user("alice"), make_user("bob")
    backup = make_job(name="Backup", module_name="jobs", grouping="Data")
    audit = make_job(name="Audit", module_name="jobs", job_class_name="AuditAll")
    made = [
        make_scheduled(backup, alice, name="a 100% sure", total_run_count=3),
        make_scheduled(backup, alice, name="b", description="nightly_run", total_run_count=1),
        make_scheduled(backup, bob, name="c", total_run_count=1, last_run_at=NOW),
        make_scheduled(audit, bob, name="d", description="Ünïcode", total_run_count=1, enabled=False),
        make_scheduled(audit, None, name="e", total_run_count=2, last_run_at=NOW - timedelta(hours=1)),
        make_scheduled(audit, alice, name="f\\g", total_run_count=1),
    ]
    add(filled, alice, bob, backup, audit, *reversed(made))
    return {row.name[0]: row for row in made}


@pytest.mark.parametrize(
    ("raws", "seen"),
    [
        pytest.param([], "", id="who has no permission sees nothing"),
        pytest.param([None], "abcdef", id="who has one without limits sees everything"),
        pytest.param([{"user": "$user"}], "abf", id="one's own"),
        pytest.param([{"job_model__name": "Audit"}], "def", id="those of a Job"),
        pytest.param([{"user__username__in": ["bob"]}, {"name": "b"}], "bcd", id="permissions add up"),
        pytest.param([{"user": None}], "e", id="those of nobody"),
        pytest.param([{"enabled": True, "user__username": "bob"}], "c", id="all of a constraint must match"),
        pytest.param([{"interval": "hourly"}], "abcdef", id="an enumeration is asked for as text"),
        pytest.param([{"name": "none"}], "", id="nothing that matches"),
    ],
)
def test_a_page_shows_what_the_permissions_show(
    filled: Store, rows: dict[str, ScheduledJob], raws: list[Any], seen: str
) -> None:
    actor = who_may(*raws, user=rows["a"].owner_id)
    with filled.transaction(write=False) as tx:
        page = tx.page(SCHEDULED, actor, listing())
        visible = tx.visible(SCHEDULED, actor, Action.VIEW, [row.id for row in rows.values()])
        shown = {letter: tx.attributes(SCHEDULED, row.id) for letter, row in rows.items()}
    assert page.rows == [rows[letter] for letter in seen]
    assert page.count == len(seen)
    assert visible == {rows[letter].id for letter in seen}
    assert [letter for letter, thing in shown.items() if actor.may(Action.VIEW, SCHEDULED, thing)] == list(seen)


def test_who_may_do_something_else_sees_nothing(filled: Store, rows: dict[str, ScheduledJob]) -> None:
    actor = who_may(None, action=Action.DELETE)
    ids = [row.id for row in rows.values()]
    assert names(filled, actor) == []
    with filled.transaction(write=False) as tx:
        assert tx.visible(SCHEDULED, actor, Action.VIEW, ids) == set()
        assert tx.visible(SCHEDULED, actor, Action.DELETE, [*ids, uuid4()]) == set(ids)
        assert tx.page(ObjectType.JOB, who_may(None), listing()).rows == []


def test_superusers_see_everything_that_is_there_and_nothing_else(filled: Store, rows: dict[str, ScheduledJob]) -> None:
    assert len(names(filled, ADMIN)) == 6
    with filled.transaction(write=False) as tx:
        assert tx.visible(SCHEDULED, ADMIN, Action.DELETE, [rows["a"].id, uuid4()]) == {rows["a"].id}
        assert tx.visible(SCHEDULED, ADMIN, Action.DELETE, []) == set()
        assert tx.page(ObjectType.JOB, ADMIN, listing()).count == 2


def test_as_many_ids_as_a_request_can_hold_are_looked_up(filled: Store, rows: dict[str, ScheduledJob]) -> None:
    many = [rows["a"].id, *(uuid4() for _ in range(70_000)), rows["b"].id]
    with filled.transaction(write=False) as tx:
        assert tx.visible(SCHEDULED, ADMIN, Action.VIEW, many) == {rows["a"].id, rows["b"].id}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        pytest.param("", "abcdef", id="nothing finds everything"),
        pytest.param("100%", "a", id="a percent sign is no pattern"),
        pytest.param("%", "a", id="nor is it alone"),
        pytest.param("_", "b", id="an underscore is no pattern"),
        pytest.param("NIGHTLY", "b", id="case does not matter"),
        pytest.param("\\", "f", id="a backslash is a backslash"),
        pytest.param("/", "", id="what would escape a pattern"),
        pytest.param("AuditAll", "def", id="a part of the task"),
        pytest.param("'; DROP TABLE users; --", "", id="a statement is a text"),
        pytest.param("Ünïcode", "d", id="other letters"),
    ],
)
def test_search(filled: Store, rows: dict[str, ScheduledJob], search: str, found: str) -> None:
    assert [name[0] for name in names(filled, ADMIN, search=search)] == list(found)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        pytest.param((), "abcdef", id="by name when nobody says"),
        pytest.param(("-name",), "fedcba", id="descending"),
        pytest.param(("total_run_count", "-name"), "fdcbea", id="by one and then another"),
        pytest.param(("last_run_at", "name"), "ecabdf", id="what has no value comes last"),
        pytest.param(("-last_run_at", "name"), "abdfce", id="and descending first"),
        pytest.param(("user__username", "name"), "abfcde", id="by what it refers to"),
    ],
)
def test_sort(filled: Store, rows: dict[str, ScheduledJob], sort: tuple[str, ...], order: str) -> None:
    assert [name[0] for name in names(filled, ADMIN, sort=sort)] == list(order)


@pytest.mark.parametrize("sort", [("total_run_count",), ("-enabled",), ("last_run_at",)])
def test_pages_together_have_each_row_once(filled: Store, rows: dict[str, ScheduledJob], sort: tuple[str, ...]) -> None:
    parts = [names(filled, ADMIN, sort=sort, limit=1, offset=offset) for offset in range(7)]
    together = [name for part in parts for name in part]
    assert sorted(name[0] for name in together) == list("abcdef")
    assert together == names(filled, ADMIN, sort=sort)
    assert parts[6] == []


def where(asked: dict[str, list[Any]]) -> tuple[Condition, ...]:
    """Return that each of these paths has any of these values."""
    tests = (Lookup(path=path, op=Op.IN, value=tuple(values)) for path, values in asked.items())
    return tuple(Condition(tests=(test,)) for test in tests)


def test_a_page_counts_what_matches_and_not_what_it_shows(filled: Store, rows: dict[str, ScheduledJob]) -> None:
    with filled.transaction(write=False) as tx:
        page = tx.page(SCHEDULED, ADMIN, listing(where=where({"user__username": ["alice", "bob"]}), limit=2, offset=1))
        nobody = tx.page(SCHEDULED, ADMIN, listing(where=where({"user": []})))
    assert (page.count, [row.name for row in page.rows]) == (5, ["b", "c"])
    assert (nobody.count, nobody.rows) == (0, [])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({"name": ["b", "c", "none"]}, "bc", id="any of several values"),
        pytest.param({"name": ["b", "c"], "enabled": [True]}, "bc", id="all of several fields"),
        pytest.param({"enabled": [False]}, "d", id="a box"),
        pytest.param({"job_model__name": ["Audit"]}, "def", id="what it refers to"),
        pytest.param({"interval": ["weekly"]}, "", id="an enumeration"),
    ],
)
def test_filter(filled: Store, rows: dict[str, ScheduledJob], asked: dict[str, Any], found: str) -> None:
    assert [name[0] for name in names(filled, ADMIN, where=where(asked))] == list(found)


# What the loops ask


FAILS = Condition(tests=(Lookup(path=FAILING, op=Op.EXACT, value=True),))
MINE = Condition(tests=(Lookup(path="user__username", op=Op.EXACT, value="alice"),))


def test_the_parts_of_a_list_are_counted_within_it(filled: Store, rows: dict[str, ScheduledJob]) -> None:
    parts = {"all": (), "enabled": where({"enabled": [True]}), "both": (MINE, *where({"total_run_count": [1]}))}
    with filled.transaction(write=False) as tx:
        assert tx.counts(SCHEDULED, ADMIN, listing(), parts) == {"all": 6, "enabled": 5, "both": 2}
        assert tx.counts(SCHEDULED, ADMIN, listing(search="nightly"), parts) == {"all": 1, "enabled": 1, "both": 1}
        assert tx.counts(SCHEDULED, ADMIN, listing(where=(MINE,)), parts) == {"all": 3, "enabled": 3, "both": 2}
        assert tx.counts(SCHEDULED, who_may({"name": "c"}), listing(), parts) == {"all": 1, "enabled": 1, "both": 0}
        assert tx.counts(SCHEDULED, who_may(), listing(), parts) == {"all": 0, "enabled": 0, "both": 0}


HOUR = timedelta(hours=1)


def test_what_fails_was_disabled_by_a_failure_or_failed_the_last_time(store: Store) -> None:
    user, job = make_user(), make_job()

    def scheduled(name: str, *statuses: Status, **to: Any) -> list[Any]:
        row = make_scheduled(job, user, name=name, **to)
        at = enumerate(statuses)
        firings = ({"nominal_time": NOW + n * HOUR, "date_created": NOW + n * HOUR, "status": each} for n, each in at)
        return [row, *(make_result(job, user, scheduled_job_id=row.id, **each) for each in firings)]

    add(store, user, job)
    for each in (
        scheduled("has never run"),
        scheduled("has gone well", Status.FAILURE, Status.SUCCESS),
        scheduled("has failed", Status.SUCCESS, Status.FAILURE),
        scheduled("has failed and runs again", Status.FAILURE, Status.STARTED),
        scheduled("was disabled by a failure", failure="No owner.", enabled=False),
        scheduled("has failed and is disabled", Status.FAILURE, enabled=False),
    ):
        add(store, *each)
    dry_run = {"status": Status.FAILURE, "nominal_time": None, "date_created": NOW + 9 * HOUR}
    with store.transaction() as tx:
        [well] = tx.all(ScheduledJob, name="has gone well")
        tx.add(make_result(job, user, scheduled_job_id=well.id, **dry_run))
    failed = ["has failed", "has failed and runs again", "was disabled by a failure"]
    assert names(store, ADMIN, where=(FAILS,), sort=("name",)) == failed
    # Who may not view results is not told how they ended.
    assert names(store, who_may(None), where=(FAILS,)) == ["was disabled by a failure"]


def test_what_has_fired_is_summed_by_part_as_far_as_one_may_view_it(store: Store) -> None:
    user, job = make_user(), make_job()
    often, once, long_ago = (make_scheduled(job, user, name=name) for name in ("often", "once", "long ago"))

    def fired(row: ScheduledJob, hours: float, status: Status, **to: Any) -> JobResult:
        return make_result(job, user, scheduled_job_id=row.id, nominal_time=NOW + hours * HOUR, status=status, **to)

    succeeded = fired(often, 1, Status.SUCCESS)
    skipped = fired(once, 7, Status.REVOKED)
    add(
        store,
        *(user, job, often, once, long_ago, succeeded, skipped),
        fired(long_ago, -1, Status.SUCCESS),
        fired(often, 5, Status.FAILURE),
        fired(often, 6, Status.REVOKED, cancelled_by="bob"),
        fired(often, 8, Status.PENDING),
        fired(often, 9, Status.REVOKED, date_started=NOW),
        fired(often, 24, Status.SUCCESS),
    )
    ends, between = (NOW, NOW + 24 * HOUR), [NOW + 4 * HOUR, NOW + 7 * HOUR]
    with store.transaction(write=False) as tx:
        rows = [(often.id, "often", NOW + HOUR), (once.id, "once", NOW + 7 * HOUR)]
        assert tx.first_fired(ADMIN, listing(), ends) == Page(2, rows)
        assert tx.first_fired(ADMIN, listing(limit=1), ends) == Page(2, rows[:1])
        assert tx.first_fired(who_may({"name": "once"}), listing(), ends) == Page(0, [])
        found = tx.fired(ADMIN, [often.id, once.id, long_ago.id], ends, between)
        assert tx.fired(who_may(None), [often.id], ends, between) == []
    assert [(each.scheduled_id, each.first, each.last, each.counts) for each in found] == [
        (often.id, NOW + HOUR, NOW + HOUR, {Went.SUCCEEDED: 1}),
        (often.id, NOW + 5 * HOUR, NOW + 6 * HOUR, {Went.FAILED: 1, Went.CANCELLED: 1}),
        (once.id, NOW + 7 * HOUR, NOW + 7 * HOUR, {Went.SKIPPED: 1}),
        (often.id, NOW + 8 * HOUR, NOW + 9 * HOUR, {Went.UNDER_WAY: 1, Went.CANCELLED: 1}),
    ]
    assert (found[0].result_id, found[2].result_id) == (succeeded.id, skipped.id)


def test_what_lags_is_what_prefect_has_not_followed(store: Store) -> None:
    behind, level = make_job(version=3, projected_version=2), make_job(version=2, projected_version=2)
    add(store, behind, level, *(make_scheduled(level, None, version=number) for number in (0, 1, 2)))
    with store.transaction(write=False) as tx:
        assert tx.lagging(Job, 10) == [behind]
        assert {row.version for row in tx.lagging(ScheduledJob, 10)} == {1, 2}
        assert len(tx.lagging(ScheduledJob, 1)) == 1


def test_what_is_to_be_looked_at_comes_in_the_order_of_its_time(store: Store) -> None:
    job = make_job()
    times = [NOW + timedelta(seconds=seconds) for seconds in (1, 0, -60)]
    soon, now, before = (make_scheduled(job, None, next_look_at=time) for time in times)
    never = make_scheduled(job, None)
    add(store, job, soon, now, before, never)
    with store.transaction(write=False) as tx:
        assert tx.to_look_at(NOW, 10) == [before, now]
        assert tx.to_look_at(NOW, 1) == [before]


def test_unfinished_results_are_read_in_parts_each_once(store: Store) -> None:
    job = make_job()
    results = [make_result(job, None, status=status) for status in Status for _ in range(3)]
    add(store, job, *results)
    read: list[JobResult] = []
    after = None
    with store.transaction(write=False) as tx:
        while part := tx.unfinished(2, after):
            assert len(part) <= 2
            read += part
            after = part[-1].id
    assert {row.id for row in read} == {row.id for row in results if row.status in {"PENDING", "STARTED"}}
    assert len(read) == 6


def test_leftovers_are_kept_until_they_are_removed(store: Store) -> None:
    job = make_job()
    left = PendingCleanup(id=uuid4(), job_id=job.id, name="gone", message="It is gone.", deployment_id=uuid4())
    add(store, job, left)
    with store.transaction() as tx:
        assert tx.leftovers(10) == [left]
        tx.remove(left)
        assert tx.leftovers(10) == []


# The audit


def event(name: str = "", **to: Any) -> AuditEvent:
    return AuditEvent(**{"at": NOW, "act": EventType.REQUESTED, "name": name, **to})


def recorded(store: Store) -> list[AuditEvent]:
    """Return the whole audit, which has no fault."""
    with store.transaction(write=False) as tx:
        events = tx.events(0, 10_000)
        assert fault(events, tx.audit_head()) == ""
    return events


def _ends(tx: Transaction) -> None:
    tx.add(make_user("bob"))


def _raises(tx: Transaction) -> None:
    tx.add(make_user("bob"))
    raise RuntimeError("Something went wrong.")


def _is_refused(tx: Transaction) -> None:
    tx.add(make_user("bob"))
    tx.add(make_user("bob"))


@pytest.mark.parametrize(
    ("work", "error", "events", "users"),
    [
        pytest.param(_ends, None, ["before", "asked"], ["alice", "bob"], id="it ends"),
        pytest.param(_raises, RuntimeError, ["before"], ["alice"], id="it raises"),
        pytest.param(_is_refused, Duplicate, ["before"], ["alice"], id="the database refuses it"),
    ],
)
def test_an_event_is_there_exactly_when_its_transaction_commits(
    store: Store,
    work: Callable[[Transaction], None],
    error: type[Exception] | None,
    events: list[str],
    users: list[str],
) -> None:
    with store.transaction() as tx:
        tx.add(make_user("alice"))
        tx.record(event("before"))
    with pytest.raises(error) if error else ExitStack(), store.transaction() as tx:
        tx.record(event("asked"))
        work(tx)
    assert [each.name for each in recorded(store)] == events
    with store.transaction(write=False) as tx:
        assert [user.username for user in tx.all(User, order="username")] == users


def _remember(tx: Transaction, what: AuditEvent) -> None:
    tx.add(make_user("alice"))
    tx.record(what)


def test_an_event_that_cannot_be_kept_undoes_what_it_tells_of(store: Store) -> None:
    with pytest.raises(DBAPIError), store.transaction() as tx:
        _remember(tx, event(actor=None))
    assert recorded(store) == []
    with store.transaction(write=False) as tx:
        assert not tx.exists(User)


def test_what_is_remembered_comes_back_as_it_was_in_its_place(store: Store) -> None:
    ids = {name: uuid4() for name in ("actor_id", "scheduled_job_id", "job_id", "flow_run_id", "deployment_id")}
    said = {"comment": "Ä'\"\\%_😀\u202e\0", "force": True, "count": [1, -0.5, None, {"": {}}]}
    full = event("ünïcode", act=EventType.APPROVED, actor="Zoë", data=said, **ids)
    empty = event()
    with store.transaction() as tx:
        tx.record(full)
        tx.record(empty)
        assert tx.events(0, 10) == []
    first, second = recorded(store)
    assert first == replace(full, number=1, previous_hash=AuditHead().hash, hash=first.hash)
    assert second == replace(empty, number=2, previous_hash=first.hash, hash=second.hash)
    assert type(first.act) is EventType


@pytest.mark.parametrize("hours", [-12, 0, 5.5])
def test_an_event_is_whole_whatever_the_zone_of_its_time(store: Store, hours: float) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=hours)))
    with store.transaction() as tx:
        tx.record(event(at=there))
    [found] = recorded(store)
    assert found.at == there


def test_events_are_read_in_parts_from_either_end(store: Store) -> None:
    with store.transaction() as tx:
        for name in "abcde":
            tx.record(event(name))
    with store.transaction(write=False) as tx:
        parts = [tx.events(after, 2) for after in (0, 2, 4, 5)]
        newest = tx.newest_events(3)
    assert ["".join(each.name for each in part) for part in parts] == ["ab", "cd", "e", ""]
    assert "".join(each.name for each in newest) == "edc"


def asks(path: str, op: Op, value: Any) -> Condition:
    return Condition(tests=(Lookup(path=path, op=op, value=value),))


@pytest.mark.parametrize(
    ("where", "before", "found"),
    [
        pytest.param((), None, [4, 3, 2, 1], id="all, the newest first"),
        pytest.param((), 3, [2, 1], id="those before one"),
        pytest.param([asks("name", Op.ICONTAINS, "ONE")], None, [4, 1], id="in whatever letters"),
        pytest.param([asks("act", Op.EXACT, "approval.denied")], None, [2], id="one act"),
        pytest.param([asks("actor", Op.ICONTAINS, "zo"), asks("name", Op.ICONTAINS, "o")], None, [3, 1], id="both"),
        pytest.param(
            [asks("at", Op.GTE, NOW + timedelta(hours=1)), asks("at", Op.LT, NOW + timedelta(hours=3))],
            None,
            [3, 2],
            id="between two times",
        ),
    ],
)
def test_events_are_asked_for_by_what_they_say(
    store: Store, where: list[Condition], before: int | None, found: list[int]
) -> None:
    acts = (EventType.APPROVED, EventType.DENIED, EventType.APPROVED, EventType.APPROVED)
    for hours, (act, name, actor) in enumerate(
        zip(acts, ("one", "two", "two", "One"), ("zoe", "", "Zoe", ""), strict=True)
    ):
        with store.transaction() as tx:
            tx.record(AuditEvent(at=NOW + timedelta(hours=hours), act=act, name=name, actor=actor))
    with store.transaction(write=False) as tx:
        assert [event.number for event in tx.asked_events(where, before, 50)] == found
        assert [event.number for event in tx.asked_events(where, before, 1)] == found[:1]


def test_a_frozen_transaction_reads_what_was_there_when_it_first_read(store: Store) -> None:
    with store.transaction(write=False) as frozen:
        assert frozen.audit_head().number == 0
        with store.transaction() as tx:
            tx.record(event())
        assert (frozen.audit_head().number, frozen.events(0, 10)) == (0, [])
    assert len(recorded(store)) == 1


def test_many_who_remember_at_once_make_one_chain_without_a_gap(store: Store) -> None:
    def remember(number: int) -> None:
        with store.transaction() as tx:
            tx.add(make_user(f"user {number}"))
            tx.record(event(f"{number} a"))
            tx.record(event(f"{number} b"))
            if number % 4 == 0:
                raise RuntimeError("Something went wrong.")

    def attempt(number: int) -> None:
        with suppress(RuntimeError):
            remember(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(80)))
    events = recorded(store)
    assert [each.number for each in events] == [*range(1, 121)]
    pairs = [(one.name, other.name) for one, other in zip(events[::2], events[1::2], strict=True)]
    assert {*pairs} == {(f"{number} a", f"{number} b") for number in range(80) if number % 4}


def test_who_remembers_does_not_undo_how_far_prefect_has_been_told(store: Store) -> None:
    with store.transaction() as tx:
        tx.change(tx.audit_head(lock=True), announced=7)
        tx.record(event())
    with store.transaction() as tx:
        tx.record(event())
    with store.transaction(write=False) as tx:
        head = tx.audit_head()
    assert (head.number, head.announced) == (2, 7)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'mallory'",
        "UPDATE audit_events SET number = 3 WHERE number = 2",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE number = 2",
    ],
)
def test_the_database_itself_refuses_to_change_or_delete_an_event(store: Store, statement: str) -> None:
    with store.transaction() as tx:
        tx.record(event("a"))
        tx.record(event("b"))
    before = recorded(store)
    with pytest.raises(DBAPIError, match="only ever added to"), store.transaction() as tx:
        tx._connection.execute(text(statement))
    assert recorded(store) == before


def test_on_postgresql_the_audit_cannot_be_emptied_either(postgresql_url: str) -> None:
    refused = pytest.raises(DBAPIError, match="only ever added to")
    with closing(Store(postgresql_url)) as store, refused, store.transaction() as tx:
        tx._connection.execute(text("TRUNCATE audit_events"))


def test_an_audit_that_has_lost_its_head_records_nothing_more(store: Store) -> None:
    with store.transaction() as tx:
        tx.remove(tx.audit_head())
    with pytest.raises(LookupError, match="The audit has no head"), store.transaction() as tx:
        _remember(tx, event())
    with store.transaction(write=False) as tx:
        assert (tx.events(0, 10), tx.all(User)) == ([], [])
