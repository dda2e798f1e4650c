"""What people do, as a seed says: each thing is asked again, with the same key, until it is answered.

* Whoever gets no answer within a while, or that something is unavailable, asks again, wherever. What has no key by
  itself, such as a decision, may have come through the first time, and is then refused or repeated without effect.
* A quick run in Prefect has no key at all: it is asked for once.
* Each attempt has an id of its own, by which the audit knows it.
* Each request to run has inputs of its own, and so has each edit. Who approves has read the request before, and
  approves what they have read.
* Several ask at once, each for requests of its own: what happens to one request happens in turn, but for attempts that
  were given up and come through later.
* Answered counts what was answered, also with a refusal: of two things that exclude each other one is refused.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.chaos.system import System
from tests.live import NO_TLS

PEOPLE = ("anna", "ben", "carla", "dora", "emil")
"""Who may do everything about requests that four eyes allow."""
LEAVERS = 12
"""How many more there are who are removed one after the other."""
CLIENTS = 4
PATIENCE = 15.0
"""Seconds until an attempt is given up."""
PACE = (0.3, 2.0)
"""Seconds between two things that a client asks for, the shortest and the longest: runs take longer than requests."""
RECURRING = 1
"""How many schedules that fire each minute each client keeps, at most."""

API = "/api/extras"
JOBS, SCHEDULES, RESULTS = f"{API}/jobs", f"{API}/scheduled-jobs", f"{API}/job-results"
EACH_MINUTE = {"interval": "custom", "crontab": "* * * * *", "time_zone": "UTC"}
STEADY = (("Free", "last"), ("Free", "all"), ("Guarded", "skip"), ("Guarded", "last"))
"""The schedules that nobody touches: of which Job, and what becomes of what is missed."""

Shape = dict[str, Any]


@dataclass
class Asked:
    """One thing that was asked for, and what was answered.

    Args:
        kind: what.
        who: by whom.
        attempts: the ids of the attempts.
        began: when it was asked first.
        about: what it is about: ids, inputs, what was seen.
        answered: when it was answered; None while it has not been.
        status: of the answer.
        made: what the answer tells: the ids of a scheduled job, a job result or a run of Prefect's.
    """

    kind: str
    who: str
    attempts: list[str]
    began: float
    about: Shape
    answered: float | None = None
    status: int | None = None
    made: Shape = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.status is not None and self.status < 300


@dataclass
class Request:
    """A scheduled job, as the client that has asked for it knows it.

    Args:
        took_part: who may not approve it.
    """

    id: str
    job: str
    owner: str
    recurring: bool
    took_part: set[str]


class Journal:
    """What was asked and answered, in memory and in a file.

    Args:
        file: it.
    """

    def __init__(self, file: Path) -> None:
        self.asked: list[Asked] = []
        self.unwell: list[tuple[int, str]] = []
        self._file = file
        self._lock = threading.Lock()

    def add(self, asked: Asked) -> None:
        with self._lock, self._file.open("a") as lines:
            self.asked.append(asked)
            lines.write(json.dumps(asdict(asked)) + "\n")

    def answered(self) -> int:
        """Return how much was answered."""
        return sum(each.answered is not None for each in self.asked)


class Desk:
    """Asks for people, until they are answered.

    Args:
        system: what is asked.
        journal: where it is written down.
        keys: by user.
    """

    def __init__(self, system: System, journal: Journal, keys: Mapping[str, str]) -> None:
        self.journal = journal
        self.keys = keys
        self._origins = system.origins
        self._client = httpx.Client(timeout=PATIENCE, verify=NO_TLS)

    def ask(
        self, kind: str, who: str, method: str, path: str, body: Any = None, *, once: bool = False, **about: Any
    ) -> tuple[Asked, Any]:
        """Ask until there is an answer, or once, and write it down.

        Returns:
            what is written down, and the answer's body; None if there is none.
        """
        name = f"chaos-{uuid4().hex[:12]}"
        asked = Asked(kind, who, [], time.time(), about)
        said = None
        while asked.answered is None:
            asked.attempts.append(f"{name}-{len(asked.attempts)}")
            answer = self._attempt(who, method, path, body, asked.attempts[-1], name)
            if answer is not None and answer.status_code < 500 and answer.status_code != 429:
                asked.answered, asked.status = time.time(), answer.status_code
                with contextlib.suppress(ValueError):
                    said = answer.json()
                asked.made = _made(said) if asked.is_done else {"refusal": answer.text[:300]}
            elif once:
                break
            else:
                time.sleep(0.3)
        self.journal.add(asked)
        return asked, said

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def read(self, who: str, path: str) -> Any:
        """Read until there is an answer; None for what is not there."""
        while (answer := self._attempt(who, "GET", path, None, f"read-{uuid4().hex[:12]}")) is None or (
            answer.status_code >= 500
        ):
            time.sleep(0.3)
        return answer.json() if answer.status_code == 200 else None

    def _attempt(
        self, who: str, method: str, path: str, body: Any, request_id: str, key: str = ""
    ) -> httpx.Response | None:
        headers = {"Authorization": f"Token {self.keys[who]}", "X-Request-ID": request_id}
        headers |= {"Idempotency-Key": key} if key else {}
        url = random.choice(self._origins) + path
        try:
            answer = self._client.request(method, url, json=body, headers=headers)
        except httpx.TransportError:
            return None
        if answer.status_code >= 500:
            self.journal.unwell.append((answer.status_code, answer.text[:200]))
        return answer


def _made(said: Any) -> Shape:
    """Return which things an answer tells of."""
    if not isinstance(said, Mapping):
        return {}
    if "scheduled_job" in said and "job_result" in said:
        return {name: said[name]["id"] for name in ("scheduled_job", "job_result") if said[name]}
    if said.get("object_type") == "extras.jobresult":
        return {"job_result": said["id"]}
    return {"flow_run": said["id"]} if "flow_id" in said else {}


def settle_people(system: System) -> dict[str, str]:
    """Make everybody, let them do what they do, and return their keys."""
    names = [*PEOPLE, *(f"leaver{number}" for number in range(LEAVERS))]
    keys = {"admin": system.admin}
    sees = ["extras.job", "extras.scheduledjob", "extras.jobresult", "extras.joblogentry", "extras.jobqueue"]
    may = [
        ("see", sees, ["view"]),
        ("run and approve", ["extras.job"], ["run", "approve"]),
        ("decide", ["extras.scheduledjob"], ["change", "delete"]),
    ]
    with system.client() as client:

        def post(path: str, body: Shape) -> Shape:
            answer = client.post(f"/api/users/{path}/", json=body)
            assert answer.status_code == 201, answer.text
            made: Shape = answer.json()
            return made

        for name in names:
            keys[name] = post("tokens", {"user": post("users", {"username": name})["id"]})["key"]
        for name, types, actions in may:
            post("permissions", {"name": name, "object_types": types, "actions": actions, "users": names})
        for job in ("Free", "Guarded", "Rewritten"):
            client.patch(f"{JOBS}/{job}/", json={"enabled": True}).raise_for_status()
    return keys


class Client:
    """Does one thing after the other.

    Args:
        desk: asks for it.
        chance: decides what.
        bases: the deployments in Prefect of the Jobs, by their names.
        leavers: the names and ids of those who are to be removed; all clients take them from here.
        publish: writes another version of the Job that is rewritten.
    """

    def __init__(
        self,
        desk: Desk,
        chance: random.Random,
        bases: Mapping[str, str],
        leavers: list[tuple[str, str]],
        publish: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._chance = chance
        self._bases = bases
        self._leavers = leavers
        self._publish = publish
        self._waiting: list[Request] = []
        self._recurring: list[Request] = []
        self._leaving: list[tuple[str, str]] = []
        self._results: list[str] = []
        self._ways: Sequence[tuple[int, Callable[[], None]]] = (
            (3, self._run),
            (6, self._create),
            (7, self._approve),
            (2, self._deny),
            (3, self._edit),
            (2, self._assume),
            (2, self._delete),
            (2, self._cancel),
            (2, self._run_again),
            (2, self._quick_run),
            (1, self._remove_user),
            (1, self._dry_run),
        )

    def step(self) -> None:
        """Do something, after a while."""
        time.sleep(self._chance.uniform(*PACE))
        if self._chance.random() < 0.01:
            self._publish()
        [(_, way)] = self._chance.choices(self._ways, [weight for weight, _ in self._ways])
        way()

    def _somebody(self, *but: str) -> str:
        return self._chance.choice([name for name in PEOPLE if name not in but])

    def _take(self, things: list[Any]) -> Any:
        return things.pop(self._chance.randrange(len(things))) if things else None

    # Runs

    def _run(self) -> None:
        self._start(0)

    def _start(self, seconds: int) -> str | None:
        token, who = uuid4().hex, self._somebody()
        body = {"data": {"token": token, "seconds": seconds}}
        asked, _ = self._desk.ask("run", who, "POST", f"{JOBS}/Free/run/", body, token=token, job="Free")
        result: str | None = asked.made.get("job_result")
        if result is not None and not seconds:
            self._results = [*self._results[-20:], result]
        return result

    def _quick_run(self) -> None:
        job, token, who = self._chance.choice(["Free", "Guarded"]), uuid4().hex, self._somebody()
        path = f"/api/deployments/{self._bases[job]}/create_flow_run"
        self._desk.ask(
            "quick run", who, "POST", path, {"parameters": {"token": token}}, once=True, token=token, job=job
        )

    def _cancel(self) -> None:
        result = self._start(30)
        if result is not None:
            time.sleep(self._chance.uniform(0, 6))
            # Whose run it is may; so may who administers.
            self._desk.ask("cancel", "admin", "POST", f"{RESULTS}/{result}/cancel/", {}, job_result=result)

    def _run_again(self) -> None:
        result = self._take(self._results)
        if result is None:
            self._run()
            return
        path = f"{RESULTS}/{result}/run-again/"
        self._desk.ask("run again", self._somebody(), "POST", path, {}, job_result=result, job="Free")

    # Requests

    def _create(self) -> None:
        job = self._chance.choice(["Guarded", "Guarded", "Rewritten"])
        ways: list[Shape] = [{"interval": "immediately"}, self._soon()]
        if len(self._recurring) < RECURRING:
            ways.append(EACH_MINUTE)
        self._request(job, self._somebody(), self._chance.choice(ways))

    def _soon(self) -> Shape:
        at = datetime.now(UTC) + timedelta(seconds=self._chance.uniform(3, 20))
        return {"interval": "future", "start_time": at.isoformat()}

    def _request(self, job: str, who: str, when: Shape) -> Request | None:
        token = uuid4().hex
        schedule = {"name": token, **when}
        path, body = f"{JOBS}/{job}/run/", {"data": {"token": token}, "schedule": schedule}
        about = {"token": token, "job": job, "when": when["interval"]}
        asked, _ = self._desk.ask("create", who, "POST", path, body, **about)
        made = asked.made.get("scheduled_job")
        if made is None:
            return None
        request = Request(made, job, who, when["interval"] == "custom", {who})
        (self._recurring if job == "Free" else self._waiting).append(request)
        return request

    def _approve(self) -> None:
        request = self._take(self._waiting)
        if request is None:
            self._create()
            return
        people = [name for name in PEOPLE if name not in request.took_part]
        who = self._chance.choice(people or PEOPLE)
        seen = self._desk.read(who, f"{SCHEDULES}/{request.id}/")
        if seen is None:
            return
        body = {"force": True, "version": seen["approval_version"], "comment": "seen"}
        about = {"scheduled_job": request.id, "token": seen["kwargs"]["token"]}
        asked, _ = self._desk.ask("approve", who, "POST", f"{SCHEDULES}/{request.id}/approve/", body, **about)
        if asked.is_done and request.recurring:
            self._recurring.append(request)
        elif not asked.is_done and people:
            self._waiting.append(request)

    def _deny(self) -> None:
        request = self._take(self._waiting)
        if request is None:
            self._create()
            return
        path = f"{SCHEDULES}/{request.id}/deny/"
        self._desk.ask("deny", self._somebody(), "POST", path, {}, scheduled_job=request.id)

    def _edit(self) -> None:
        request = self._take(self._recurring if self._chance.random() < 0.4 else self._waiting)
        if request is None:
            self._create()
            return
        token = uuid4().hex
        path = f"{SCHEDULES}/{request.id}/"
        about = {"scheduled_job": request.id, "token": token}
        # Nobody else may change what runs as its owner.
        self._desk.ask("edit", request.owner, "PATCH", path, {"data": {"token": token}}, **about)
        (self._recurring if request.job == "Free" else self._waiting).append(request)

    def _assume(self) -> None:
        request = self._take(self._recurring if self._chance.random() < 0.5 else self._waiting)
        if request is None:
            self._create()
            return
        who = self._somebody(request.owner)
        path = f"{SCHEDULES}/{request.id}/assume-ownership/"
        asked, said = self._desk.ask("assume", who, "POST", path, {}, scheduled_job=request.id)
        request.took_part.add(who)
        request.owner = who
        waits = asked.is_done and said["approval_state"] == "pending"
        (self._waiting if waits else self._recurring).append(request)

    def _delete(self) -> None:
        request = self._take(self._recurring if self._chance.random() < 0.4 else self._waiting)
        if request is None:
            self._create()
            return
        path = f"{SCHEDULES}/{request.id}/"
        self._desk.ask("delete", request.owner, "DELETE", path, scheduled_job=request.id)

    def _dry_run(self) -> None:
        guarded = [each for each in self._waiting if each.job == "Guarded"]
        if guarded:
            request = self._chance.choice(guarded)
            path = f"{SCHEDULES}/{request.id}/dry-run/"
            self._desk.ask("dry run", self._somebody(), "POST", path, {}, once=True, scheduled_job=request.id)

    def _remove_user(self) -> None:
        """Remove somebody who has a schedule; or let somebody have one, who will be removed later."""
        if self._leaving:
            name, user_id = self._take(self._leaving)
            self._desk.ask("remove user", "admin", "DELETE", f"/api/users/users/{user_id}/", user=name)
        elif self._leavers:
            name, user_id = self._leavers.pop()
            self._request(self._chance.choice(["Free", "Guarded"]), name, EACH_MINUTE)
            self._leaving.append((name, user_id))


class Load:
    """Several clients at once, and the schedules that nobody touches.

    Args:
        system: what is asked.
        seed: decides what.
    """

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.journal = Journal(system.folder / "journal")
        self.keys = settle_people(system)
        self.code: list[tuple[int, float]] = [(1, 0.0)]
        self.steady: list[Shape] = []
        self.faults: list[BaseException] = []
        self._over = threading.Event()
        self._publishing = threading.Lock()
        with system.client() as client:
            users = client.get("/api/users/users/?limit=100").json()["results"]
            leavers = [(each["username"], each["id"]) for each in users if each["username"].startswith("leaver")]
            found = client.post("/api/deployments/filter", json={"limit": 100}).json()
            flows = {each["id"]: each["name"] for each in client.post("/api/flows/filter", json={}).json()}
            bases = {flows[each["flow_id"]]: each["id"] for each in found if each["name"] == "default"}
        self._desk = Desk(system, self.journal, self.keys)
        self._desks = [Desk(system, self.journal, self.keys) for _ in range(CLIENTS)]
        self._clients = [
            Client(desk, random.Random(seed * 1000 + number), bases, leavers, self._publish)
            for number, desk in enumerate(self._desks)
        ]
        self._threads = [threading.Thread(target=self._go_on, args=(client,), daemon=True) for client in self._clients]

    def settle(self) -> None:
        """Make the schedules that nobody touches."""
        desk = self._desk
        for job, misfire in STEADY:
            token = f"steady {job} {misfire}"
            schedule = {"name": token, **EACH_MINUTE, "misfire": misfire}
            body = {"data": {"token": token}, "schedule": schedule}
            about = {"token": token, "job": job, "when": "custom"}
            asked, _ = desk.ask("create", "anna", "POST", f"{JOBS}/{job}/run/", body, **about)
            made = asked.made["scheduled_job"]
            if job == "Guarded":
                path, about = f"{SCHEDULES}/{made}/approve/", {"scheduled_job": made, "token": token}
                asked, _ = desk.ask("approve", "ben", "POST", path, {}, **about)
            self.steady.append({"id": made, "since": asked.answered, "misfire": misfire})

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ask for nothing more, and wait until everything is answered."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.faults:
            raise self.faults[0]

    def still(self) -> None:
        """Disable everything that fires."""
        desk = self._desk
        with self.system.client() as client:
            for row in pages(client, f"{SCHEDULES}/?enabled=true&limit=500"):
                if row["crontab"]:
                    path = f"{SCHEDULES}/{row['id']}/"
                    desk.ask("disable", "admin", "PATCH", path, {"enabled": False}, scheduled_job=row["id"])

    def close(self) -> None:
        """Close all connections."""
        for desk in (self._desk, *self._desks):
            desk.close()

    def _go_on(self, client: Client) -> None:
        try:
            while not self._over.is_set():
                client.step()
        except BaseException as error:
            self.faults.append(error)

    def _publish(self) -> None:
        """Write another version of the Job that is rewritten, at once."""
        file = self.system.jobs / "chaos_code.py"
        with self._publishing:
            last = self.code[-1][0]
            draft = file.with_suffix(".new")
            draft.write_text(file.read_text().replace(f"CODE = {last}", f"CODE = {last + 1}"))
            self.code.append((last + 1, time.time()))
            draft.replace(file)


def pages(client: httpx.Client, path: str) -> list[Shape]:
    """Return all rows of a list."""
    rows: list[Shape] = []
    page: str | None = path
    while page is not None:
        answer = client.get(page).raise_for_status().json()
        rows += answer["results"]
        page = answer["next"]
    return rows
