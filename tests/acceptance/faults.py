"""What goes wrong at which call, and what comes of it: the table that ``test_faults.py`` plays.

* Each call of a worker, of a run's process and of the server, while it follows what was asked, finds Prefect busy, once
  and for long, and loses its answer.
* The process of a run, the fork server, the worker and the server are killed, each while runs stand before each of
  their calls, and after; the server also while it stands before each call by which it follows, and after.

A run that was not let go yet is started again, and executes once. One that was let go is never started again: it has
executed at most once, and its record says how it ended. What the server follows is as it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

Ends = tuple[tuple[str, int], ...]
"""How what was asked may end, each with how often it has executed then."""
Fault = tuple[str, int]
"""What happens at a call (``faulty_up.py``), and how often."""

# How runs end

ONCE: Ends = (("SUCCESS", 1),)
LET_GO: Ends = (("FAILURE", 0),)
EXECUTED: Ends = (("FAILURE", 1),)
ANY: Ends = (*ONCE, *LET_GO, *EXECUTED)
THERE: Ends = (("there", 0),)
GONE: Ends = (("gone", 0),)

# What goes wrong

BUSY, BUSY_FOR_LONG, LOST = ("busy", 1), ("busy", 8), ("lose", 1)
"""Prefect's client and ours try six times."""
KILL, KILL_AFTER = ("kill", 1), ("kill after", 1)
HOLD, HOLD_AFTER = ("hold", 1), ("hold after", 1)

# The calls of a worker and of a run's process, in the order in which they make them

POOL = "worker GET /api/work_pools/signoff"
LIVES = "worker POST /api/work_pools/signoff/workers/heartbeat"
ASKS = "worker POST /api/work_pools/signoff/get_scheduled_flow_runs"
DEPLOYMENT = "worker GET /api/deployments/{id}"
TAKES = "worker POST /api/flow_runs/{id}/set_state PENDING"
FLOW = "worker GET /api/flows/{id}"
STORAGE = "worker GET /api/admin/storage"
BEGINS = "run POST /api/flow_runs/{id}/set_state RUNNING"
ADMISSION = "run POST /api/signoff/admission/"
LOG = "run POST /api/logs/"
OUTCOME = "run POST /api/signoff/outcome/"
ENDS = "run POST /api/flow_runs/{id}/set_state COMPLETED"

AT_INTERVALS = (POOL, LIVES)
"""Told on Prefect's channel where that is open, and else by calls."""
SHARED = (*AT_INTERVALS, ASKS, DEPLOYMENT, FLOW, STORAGE)
"""A worker asks these for many runs, and knows the answer for a while."""

STEPS: dict[str, tuple[str, Ends, Ends]] = {
    "its worker takes it": (TAKES, ONCE, ONCE),
    "its process begins": (BEGINS, ONCE, ONCE),
    "its process asks for admission": (ADMISSION, ONCE, LET_GO),
    "its process sends its log": (LOG, ANY, ANY),
    "its process tells the outcome": (OUTCOME, EXECUTED, ONCE),
    "its process ends it": (ENDS, ONCE, ONCE),
}
"""The calls of one run, and what comes of it if its process ends before the call and after it.

A log is sent beside everything else: nobody knows how far a run has come then.
"""

# What is asked, and the calls by which the server follows it


class Way(StrEnum):
    """What is asked of the server."""

    NOW = "a run"
    LATER = "a run for later"
    LOST = "a run whose process was killed"
    REPEATED = "a schedule"
    DELETED = "a schedule that is deleted"
    REQUESTED = "a request"
    APPROVED = "a request that is approved"
    DENIED = "a request that is denied"


FOLLOWED: dict[Way, tuple[Ends, tuple[str, ...]]] = {
    Way.NOW: (ONCE, ("job result POST /deployments/{id}/create_flow_run",)),
    Way.LATER: (ONCE, ("scheduled job POST /deployments/{id}/create_flow_run",)),
    Way.LOST: (ONCE, ("lost run POST /flow_runs/filter", "lost run POST /flow_runs/{id}/set_state SCHEDULED")),
    Way.REPEATED: (
        THERE,
        (
            "scheduled job POST /deployments/filter",
            "scheduled job POST /flows/",
            "scheduled job POST /deployments/",
            "scheduled job GET /deployments/{id}/schedules",
            "scheduled job PATCH /deployments/{id}/schedules/{id}",
            "scheduled job POST /deployments/{id}/schedule",
        ),
    ),
    Way.DELETED: (
        GONE,
        (
            "leftover POST /flow_runs/filter",
            "leftover DELETE /deployments/{id}",
        ),
    ),
    Way.REQUESTED: (
        ONCE,
        (
            "scheduled job POST /deployments/{id}/create_flow_run",
            "scheduled job GET /flow_runs/{id}",
            "scheduled job POST /flow_runs/{id}/input/filter",
            "scheduled job POST /logs/",
            "scheduled job POST /flow_runs/{id}/input",
        ),
    ),
    Way.APPROVED: (
        ONCE,
        (
            "scheduled job POST /flow_runs/filter",
            "scheduled job PATCH /flow_runs/{id}",
            "scheduled job POST /flow_runs/{id}/set_state SCHEDULED",
        ),
    ),
    Way.DENIED: (
        GONE,
        (
            "leftover POST /deployments/filter",
            "leftover POST /flow_runs/filter",
            "leftover GET /flow_runs/{id}",
            "leftover PATCH /flow_runs/{id}",
            "leftover POST /flow_runs/{id}/set_state CANCELLED",
        ),
    ),
}
"""How each ends, and the calls. Those of a request come before its approval, and those of the others after that."""

GOES_ON = {Way.NOW, Way.LATER, Way.LOST, Way.APPROVED}
"""Whose last call lets the run go on: it may end while the answer is held."""

REPEATS = (
    "server POST /work_pools/signoff/queues/filter",
    "server POST /work_pools/signoff/workers/filter",
    "server POST /flow_runs/filter",
    "server POST /flows/filter",
    "server POST /deployments/filter",
    "server POST /events",
)
"""The calls that the server makes at intervals."""

# The rows


class Victim(StrEnum):
    """Which process is killed, once, while all rows stand where it is to be killed."""

    NOBODY = ""
    FORK_SERVER = "fork server"
    WORKER = "worker"
    SERVER = "server"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Something that is asked, and what goes wrong about it.

    Args:
        name: says it; no other row has it.
        calls: at which calls.
        faults: what happens at each, one after the other.
        ends: how it may end.
        way: what is asked.
        victim: what is killed meanwhile.
        shared: the calls are those of others too, and whoever makes one meets the faults.
        brief: it is played every time, and not only with all others.
    """

    name: str
    calls: tuple[str, ...]
    faults: tuple[Fault, ...]
    ends: Ends
    way: Way = Way.NOW
    victim: Victim = Victim.NOBODY
    shared: bool = False
    brief: bool = False

    @property
    def runs_while_held(self) -> bool:
        """Whether the run that is asked for takes place while the server stands after the call that let it go on."""
        held_after_last = self.calls == FOLLOWED[self.way][1][-1:] and self.faults == (HOLD_AFTER,)
        return self.way in GOES_ON and held_after_last


def unanswered(way: Way) -> Row:
    """Return the row of something of which each call that follows it is not answered at first."""
    ends, calls = FOLLOWED[way]
    return Row(name=f"{way}: {UNANSWERED}", calls=calls, faults=(BUSY, LOST), ends=ends, way=way, brief=True)


UNANSWERED = "at each call Prefect is busy, and then the answer is lost"


def _rows() -> Iterator[Row]:
    yield from map(unanswered, Way)
    yield from _of_runs()
    yield from _of_the_server()
    for victim in (Victim.FORK_SERVER, Victim.WORKER, Victim.SERVER):
        yield from _killed(victim)
    yield from _killed_while_it_follows()


def _of_runs() -> Iterator[Row]:
    calls = tuple(call for call, *_ in STEPS.values())
    yield Row(name=f"its process: {UNANSWERED}", calls=calls, faults=(BUSY, LOST), ends=ONCE, brief=True)
    name = f"its worker: {UNANSWERED}, and then Prefect is busy for long"
    yield Row(name=name, calls=SHARED, faults=(BUSY, LOST, BUSY_FOR_LONG), ends=ONCE, shared=True, brief=True)
    for step, (call, before, after) in STEPS.items():
        for what, fault in (
            ("Prefect is busy", BUSY),
            ("the answer is lost", LOST),
            ("Prefect is busy for long", BUSY_FOR_LONG),
        ):
            yield Row(name=f"{step}, and {what}", calls=(call,), faults=(fault,), ends=ONCE)
        if call != TAKES:
            yield Row(name=f"{step}, and is killed before", calls=(call,), faults=(KILL,), ends=before, brief=True)
            yield Row(name=f"{step}, and is killed after", calls=(call,), faults=(KILL_AFTER,), ends=after, brief=True)


def _of_the_server() -> Iterator[Row]:
    for way, (ends, calls) in FOLLOWED.items():
        for call in calls:
            name = f"{way}: {call}, and Prefect is busy for long"
            yield Row(name=name, calls=(call,), faults=(BUSY_FOR_LONG,), ends=ends, way=way)
    name = "the server looks: at each call Prefect is busy for long, and then the answer is lost"
    yield Row(name=name, calls=REPEATS, faults=(BUSY_FOR_LONG, LOST), ends=ONCE, shared=True)


def _killed(victim: Victim) -> Iterator[Row]:
    for step, (call, before, after) in STEPS.items():
        for when, fault, ends in (("before", HOLD, before), ("after", HOLD_AFTER, after)):
            # The process of a run may outlive the server, and asks again then.
            may = tuple({*ends, *ONCE}) if victim is Victim.SERVER else ends
            name, brief = f"{step}, and the {victim} is killed {when}", (call, fault) in BRIEFLY
            yield Row(name=name, calls=(call,), faults=(fault,), ends=may, victim=victim, brief=brief)
    if victim is Victim.WORKER:
        # In this order, and when all others stand: who is not answered what is due asks for nothing more.
        for what, call in (("reads the deployment", DEPLOYMENT), ("asks what is due", ASKS)):
            name, faults = f"its worker {what}, and is killed", (HOLD_AFTER,)
            # What was read for another run is not read again for a second.
            yield Row(name=name, calls=(call,), faults=faults, ends=ONCE, way=Way.LATER, victim=victim, brief=True)


def _killed_while_it_follows() -> Iterator[Row]:
    for way, (ends, calls) in FOLLOWED.items():
        for call in calls:
            for when, fault in (("before", HOLD), ("after", HOLD_AFTER)):
                name, brief = f"{way}: {call}, and the server is killed {when}", fault is HOLD_AFTER and call in WRITES
                yield Row(
                    name=name, calls=(call,), faults=(fault,), ends=ends, way=way, victim=Victim.SERVER, brief=brief
                )


BRIEFLY = ((TAKES, HOLD_AFTER), (ADMISSION, HOLD), (ADMISSION, HOLD_AFTER), (OUTCOME, HOLD), (OUTCOME, HOLD_AFTER))
"""The steps at which each process is killed every time."""
WRITES = (
    "job result POST /deployments/{id}/create_flow_run",
    "lost run POST /flow_runs/{id}/set_state SCHEDULED",
    "scheduled job POST /deployments/",
    "scheduled job PATCH /deployments/{id}/schedules/{id}",
    "scheduled job POST /flow_runs/{id}/set_state SCHEDULED",
    "leftover DELETE /deployments/{id}",
    "leftover POST /flow_runs/{id}/set_state CANCELLED",
)
"""The calls after which the server is killed every time."""

TABLE: tuple[Row, ...] = tuple(_rows())
