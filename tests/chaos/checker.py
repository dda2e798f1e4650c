"""What must hold whatever was done to a system; each rule is a pure function that yields what violates it.

* Nothing that was acknowledged is lost: it stands in the API or the audit has it, and what was accepted to run ends.
* A run that ended well has executed, once; nothing executes twice, and nothing fails that was never let go.
* Nothing executes that nobody has decided about, or that was denied: the last decision on it before it was let go is
  an approval, by somebody who has neither requested, owned nor changed it.
* What executes does so as its owner of that moment, with the inputs that the approver had read, and with no code that
  was written after the approval.
* A nominal time executes at most once. Each of a schedule that nobody touched is recorded; it is not passed over where
  the schedule says that all are made up for, nor while nothing was wrong.
* The audit is whole: its chain and its signature are, and an earlier export is its beginning.
* Nothing in Prefect is orphaned: what is not over there is something that waits or goes on here, and each deployment
  is of a Job or of a schedule.

The audit's chain and signature are computed here anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.chaos.facts import Facts
from tests.chaos.load import Asked

GUARDED = frozenset({"Guarded", "Rewritten"})
FINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
FINAL_IN_PREFECT = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
RECOVERS = 90.0
"""Seconds that a system has after it was harmed, before it is to do what it does when nothing is wrong."""
MISSED_AFTER = 90.0
"""Seconds after which a firing that no worker has taken is missed."""
REMOVED = ("the originating user has been removed", "its owner has been deactivated")
NO_LONGER = ("The scheduled job has not been approved.", "The scheduled job is disabled.")
"""Why a run is refused that was on its way when somebody changed or disabled what it was made for."""

Shape = Mapping[str, Any]
Rule = Callable[["World"], Iterable[str]]


class World:
    """The facts, as the rules look them up.

    Args:
        facts: they.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @cached_property
    def events_of(self) -> Mapping[str, Sequence[Shape]]:
        """The events of the audit about each scheduled job, the oldest first."""
        found = defaultdict(list)
        for event in self.facts.audit:
            if event["scheduled_job_id"]:
                found[event["scheduled_job_id"]].append(event)
        return found

    @cached_property
    def by_request(self) -> Mapping[str, Sequence[Shape]]:
        """The events that each attempt has caused."""
        found = defaultdict(list)
        for event in self.facts.audit:
            if "request_id" in event["data"]:
                found[event["data"]["request_id"]].append(event)
        return found

    @cached_property
    def admitted(self) -> Mapping[str, Shape]:
        """The event of each run of Prefect's that was let go."""
        return {each["flow_run_id"]: each for each in self.facts.audit if each["act"] == "run.admitted"}

    @cached_property
    def asked_for(self) -> Mapping[str, Asked]:
        """What was asked, by the ids of what it became; who cancels that later has not made it."""
        found: dict[str, Asked] = {}
        for each in self.facts.asked:
            if each.is_done:
                found |= {thing: each for thing in each.made.values() if thing not in found}
        return found

    @cached_property
    def executed(self) -> Counter[str]:
        """How often each job result has executed."""
        return Counter(line["result"] for line in self.facts.executions)

    @cached_property
    def results_of(self) -> Mapping[str, Sequence[Shape]]:
        """The job results of each scheduled job."""
        found = defaultdict(list)
        for each in self.facts.results.values():
            if each["scheduled_job"]:
                found[each["scheduled_job"]["id"]].append(each)
        return found

    def caused(self, asked: Asked, *acts: str) -> bool:
        """Say whether one of the attempts is in the audit as one of these acts."""
        return any(event["act"] in acts for each in asked.attempts for event in self.by_request.get(each, ()))

    def was_so(self, asked: Asked) -> bool:
        """Say whether what was asked was so already, which is answered with success and is no event of its own."""
        events = self.events_of.get(asked.about.get("scheduled_job", ""), ())
        if asked.kind == "approve":
            return any((each["act"], each["actor"]) == ("approval.approved", asked.who) for each in events)
        # Whose owner is gone is disabled when it is to run.
        refused = (each["data"]["reason"] for each in events if each["act"] == "run.refused")
        return asked.kind == "disable" and any(reason in why for why in refused for reason in REMOVED)

    def owner(self, scheduled_job: str, before: int) -> str:
        """Return who owned a scheduled job when an event was recorded; empty if nobody knows."""
        owner = asked.who if (asked := self.asked_for.get(scheduled_job)) else ""
        for event in self.events_of.get(scheduled_job, ()):
            if event["number"] >= before:
                break
            if event["act"] == "approval.requested" and event["actor"] and not owner:
                owner = event["actor"]
            if event["act"] == "schedule.assumed":
                owner = event["actor"]
        return owner


# Acknowledged

DONE_BY = {
    "approve": ("approval.approved",),
    "deny": ("approval.denied", "approval.withdrawn"),
    "edit": ("schedule.changed",),
    "assume": ("schedule.assumed",),
    # Who deletes what waits, withdraws or denies it.
    "delete": ("schedule.deleted", "approval.withdrawn", "approval.denied"),
    "disable": ("schedule.disabled",),
    "remove user": ("user.removed",),
    "cancel": ("result.cancelled",),
}
"""How the audit calls what was done."""


def nothing_acknowledged_is_lost(world: World) -> Iterator[str]:
    """Yield what was answered with success and is nowhere."""
    gone = {"schedule.deleted", "approval.denied", "approval.withdrawn"}
    for each in world.facts.asked:
        if not each.is_done:
            continue
        if each.kind in DONE_BY and not (world.caused(each, *DONE_BY[each.kind]) or world.was_so(each)):
            yield f"{each.kind} by {each.who} is not in the audit: {each.attempts} {each.about}"
        result, scheduled = each.made.get("job_result"), each.made.get("scheduled_job")
        if result is not None and result not in world.facts.results:
            yield f"{each.kind} by {each.who} made the job result {result}, which is not there"
        ended = any(event["act"] in gone for event in world.events_of.get(scheduled or "", ()))
        if scheduled is not None and scheduled not in world.facts.schedules and not ended:
            yield f"{each.kind} by {each.who} made the scheduled job {scheduled}, which is not there"


def everything_ends(world: World) -> Iterator[str]:
    """Yield what was accepted to run and is not over, or never began."""
    for each in world.facts.results.values():
        if each["status"]["value"] not in FINAL:
            yield f"the job result {each['id']} ({each['name']}) is {each['status']['value']} still"
    for scheduled_id, row in world.facts.schedules.items():
        is_once = row["one_off"] and row["approval_state"] in ("approved", "not_required")
        if is_once and row["enabled"] and not world.results_of.get(scheduled_id):
            yield f"the request {scheduled_id} ({row['task']}) was approved and has not begun"


def nothing_is_made_twice(world: World) -> Iterator[str]:
    """Yield what was asked for once and has become several."""
    for each in world.facts.asked:
        requested = {
            event["scheduled_job_id"]
            for attempt in each.attempts
            for event in world.by_request.get(attempt, ())
            if event["act"] == "approval.requested"
        }
        if len(requested) > 1:
            yield f"{each.kind} by {each.who} has become several requests: {sorted(requested)}"
    tokens: Counter[str] = Counter()
    for each in world.facts.results.values():
        if each["scheduled_job"] is None and each["name"] == "Free" and each["nominal_time"] is None:
            tokens[each["task_kwargs"].get("token", "")] += 1
    again = Counter(
        token
        for each in world.facts.asked
        if each.kind == "run again" and (token := _token_of(world, each.about["job_result"]))
    )
    for token, count in tokens.items():
        if count > 1 + again[token]:
            yield f"the run with the inputs {token} was asked for {1 + again[token]} times and made {count} times"


def _token_of(world: World, result_id: str) -> str:
    result = world.facts.results.get(result_id)
    return str(result["task_kwargs"].get("token", "")) if result else ""


# Executed


def executes_once(world: World) -> Iterator[str]:
    """Yield what executed twice, or not although it ended well, or failed although it was never let go."""
    for result_id, times in world.executed.items():
        if times > 1:
            yield f"the job result {result_id} has executed {times} times"
        if result_id not in world.facts.results:
            yield f"the job result {result_id} has executed and is not there"
    for each in world.facts.results.values():
        executed, status = world.executed[each["id"]], each["status"]["value"]
        if status == "SUCCESS" and not executed:
            yield f"the job result {each['id']} ended well without having executed"
        if executed and each["date_started"] is None:
            yield f"the job result {each['id']} has executed without having been let go"
        if status == "FAILURE" and each["date_started"] is None and not _may_fail(each):
            yield f"the job result {each['id']} failed though it was never let go: {each['traceback']}"


def _may_fail(result: Shape) -> bool:
    """Say whether a run may fail that was not let go: its owner is gone, its code is not what was approved, or it is
    not to run any more.
    """
    why = result["traceback"] or ""
    return any(reason in why for reason in REMOVED + NO_LONGER) or (result["name"] == "Rewritten" and "code" in why)


def executes_what_was_decided(world: World) -> Iterator[str]:
    """Yield what executed without an approval that holds, or with other inputs or code than were approved."""
    tokens = {
        attempt: each.about["token"]
        for each in world.facts.asked
        if each.kind == "approve"
        for attempt in each.attempts
    }
    written = dict(world.facts.code)
    for line in world.facts.executions:
        if line["job"] not in GUARDED or line["dryrun"]:
            continue
        said = f"the job result {line['result']} ({line['job']} of {line['schedule']})"
        admitted = world.admitted.get(line["run"])
        if line["schedule"] is None or admitted is None:
            yield f"{said} has executed without a request or without having been let go"
            continue
        before = [each for each in world.events_of.get(line["schedule"], ()) if each["number"] < admitted["number"]]
        decision = next((each for each in reversed(before) if each["act"] in DECIDES), None)
        if decision is None or decision["act"] != "approval.approved":
            yield f"{said} has executed after {decision['act'] if decision else 'nothing'}"
            continue
        took_part = {
            each["actor"] for each in before if each["act"] in TAKES_PART and each["number"] < decision["number"]
        }
        if decision["actor"] in took_part | {world.owner(line["schedule"], admitted["number"])}:
            yield f"{said} was approved by {decision['actor']}, who had requested, owned or changed it"
        seen = tokens.get(decision["data"].get("request_id", ""))
        if seen != line["token"]:
            yield f"{said} has executed {line['token']}, and approved was {seen}"
        if line["code"] and datetime.fromisoformat(decision["at"]).timestamp() < written[line["code"]]:
            yield f"{said} has executed version {line['code']} of its code, which was written after its approval"


TAKES_PART = frozenset({"approval.requested", "schedule.assumed", "schedule.changed"})
DECIDES = frozenset(
    {
        "approval.requested",
        "approval.approved",
        "approval.denied",
        "approval.withdrawn",
        "approval.returned",
        "approval.expired",
        "schedule.changed",
        "schedule.deleted",
    }
)
"""What settles whether a request may run: only after an approval it may."""


def executes_as_the_right_user(world: World) -> Iterator[str]:
    """Yield what executed as somebody else than its owner, or as somebody who had been removed."""
    removed = {each["name"]: each["number"] for each in world.facts.audit if each["act"] == "user.removed"}
    for line in world.facts.executions:
        said = f"the job result {line['result']} has executed as {line['user']}"
        admitted = world.admitted.get(line["run"])
        if admitted is None:
            yield f"{said} without having been let go"
            continue
        if line["schedule"]:
            owner = world.owner(line["schedule"], admitted["number"])
        else:
            asked = world.asked_for.get(line["result"]) or world.asked_for.get(line["run"])
            owner = asked.who if asked else ""
        # A quick run that was not answered is nobody's that we know of.
        if line["user"] != admitted["actor"] or owner not in ("", line["user"]):
            yield f"{said}, and its owner was {owner or admitted['actor']}"
        if removed.get(line["user"], admitted["number"]) < admitted["number"]:
            yield f"{said}, who had been removed"


# Nominal times


def a_nominal_time_executes_once(world: World) -> Iterator[str]:
    """Yield the nominal times that executed twice, or have two records."""
    kinds = {
        "has executed": Counter((line["schedule"], line["nominal"]) for line in world.facts.executions),
        "has a record": Counter(
            ((each["scheduled_job"] or {}).get("id"), each["nominal_time"]) for each in world.facts.results.values()
        ),
    }
    for said, times in kinds.items():
        for (scheduled, nominal), count in times.items():
            if scheduled and nominal and count > 1:
                yield f"{nominal} of {scheduled} {said} {count} times"


def each_nominal_time_is_recorded(world: World) -> Iterator[str]:
    """Yield the nominal times that have no record, or were passed over although they were to run."""
    for steady in world.facts.steady:
        found = {_seconds(each["nominal_time"]): each for each in world.results_of.get(steady["id"], ())}
        last = max((at for at, each in found.items() if each["status"]["value"] == "SUCCESS"), default=0)
        first = int(steady["since"] // 60 + 1) * 60
        for minute in range(first, int(last) + 1, 60):
            said = f"the minute {datetime.fromtimestamp(minute).astimezone():%H:%M:%S} of {steady}"
            record = found.get(minute)
            if record is None:
                yield f"{said} has no record"
            elif record["date_started"] is None and (steady["misfire"] == "all" or _is_calm(world, minute)):
                yield f"{said} was passed over: {record['traceback']}"


def _is_calm(world: World, minute: float) -> bool:
    """Say whether nothing was wrong when something was to run, and something else did run."""
    begin, end = minute - RECOVERS, minute + MISSED_AFTER
    harmed = any(each["began"] < end and each["ended"] + RECOVERS > begin for each in world.facts.harm)
    return not harmed and any(minute <= line["at"] < end for line in world.facts.executions)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


# The audit


def the_audit_is_whole(world: World) -> Iterator[str]:
    """Yield what is wrong with the export of the audit."""
    if world.facts.audit_fault:
        yield world.facts.audit_fault
    last = "0" * 64
    for number, line in enumerate(world.facts.audit, 1):
        said = {name: value for name, value in line.items() if name not in ("hash", "key", "signature")}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        if (line["number"], line["previous_hash"], line["hash"]) != (number, last, digest):
            yield f"line {number} of the audit does not follow the one before, or is not what was recorded"
            return
        last = line["hash"]
    if not world.facts.audit:
        yield "the audit is empty"
        return
    head = world.facts.audit[-1]
    if not _is_signed(head):
        yield "the end of the audit is not signed"
    before = [line["hash"] for line in world.facts.audit_before]
    if before != [line["hash"] for line in world.facts.audit[: len(before)]]:
        yield "the audit is not what was exported before"


def _is_signed(head: Shape) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(head["key"]))
        key.verify(bytes.fromhex(head["signature"]), f"signoff audit head {head['number']} {head['hash']}".encode())
    except (InvalidSignature, KeyError, ValueError):
        return False
    return True


# Prefect


def nothing_is_orphaned(world: World) -> Iterator[str]:
    """Yield the runs and deployments in Prefect that belong to nothing."""
    facts = world.facts
    owned = {
        each["id"]: slug
        for each in facts.deployments
        for slug in [(each["schedules"] or [{}])[0].get("slug")]
        if slug is not None
    }
    for each in facts.deployments:
        if each["name"] != "default" and owned.get(each["id"]) not in facts.schedules:
            yield f"the deployment {each['name']} belongs to no schedule"
    open_ones = {id_ for id_, each in facts.results.items() if each["status"]["value"] not in FINAL}
    open_ones |= {id_ for id_, each in facts.schedules.items() if each["enabled"]}
    results = {each["flow_run_id"]: id_ for id_, each in facts.results.items() if each["flow_run_id"]}
    for run in facts.flow_runs:
        if run["state_type"] in FINAL_IN_PREFECT:
            continue
        key = (run["idempotency_key"] or "").removeprefix("signoff:").removeprefix("result:").partition("/")[0]
        of = results.get(run["id"]) or (key if key in facts.results or key in facts.schedules else None)
        if (of or owned.get(run["deployment_id"])) not in open_ones:
            yield f"the run {run['id']} ({run['name']}, {run['state_name']}) belongs to nothing that goes on"
    there = {run["id"] for run in facts.flow_runs}
    for run_id, result_id in results.items():
        if run_id not in there:
            yield f"the run {run_id} of the job result {result_id} is not in Prefect"


RULES: tuple[Rule, ...] = (
    nothing_acknowledged_is_lost,
    everything_ends,
    nothing_is_made_twice,
    executes_once,
    executes_what_was_decided,
    executes_as_the_right_user,
    a_nominal_time_executes_once,
    each_nominal_time_is_recorded,
    the_audit_is_whole,
    nothing_is_orphaned,
)


def violations(facts: Facts) -> list[str]:
    """Return everything that violates a rule, each as a sentence that begins with the rule."""
    world = World(facts)
    return [f"{rule.__name__}: {each}" for rule in RULES for each in rule(world)]
