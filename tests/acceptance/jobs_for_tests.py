"""Jobs that the acceptance tests run on a real worker."""

from __future__ import annotations

import ctypes
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from flows import (
    BooleanVar,
    ChoiceVar,
    DateVar,
    DryRunVar,
    FileVar,
    IntegerVar,
    IPNetworkVar,
    Job,
    JobButtonReceiver,
    JobHookReceiver,
    JSONVar,
    MultiChoiceVar,
    ObjectVar,
    StringVar,
    TextVar,
    register_jobs,
)
from flows.files import RunFile

name = "Acceptance"


class Greet(Job):
    """Says hello, and notes each execution in a file, so that a test can count them."""

    who = StringVar(default="world", max_length=50)
    count = IntegerVar(default=1, min_value=1, max_value=100)
    file = StringVar(required=False)

    class Meta:
        name = "Greet"
        description = "Says hello."
        has_sensitive_variables = False
        job_queues = ("default", "bulk")
        tags = ("greeting", "a & b")

    def run(self, *, who: str, count: int, file: str) -> dict[str, Any]:
        if file:
            with Path(file).open("a") as lines:
                lines.write(f"{self.user} {self.job_result['id']}\n")
        self.logger.info("Hello %s", who)
        self.logger.success("Greeted %s times", count)
        return {"greeted": who, "count": count, "as": str(self.user)}


class Write(Job):
    """Makes a file."""

    name = StringVar()
    text = TextVar(required=False)

    class Meta:
        name = "Write a file"
        has_sensitive_variables = False

    def run(self, *, name: str, text: str) -> None:
        self.create_file(name, text)


class Read(Job):
    """Tells what is in a file, and makes another one of it."""

    file = FileVar()
    dryrun = DryRunVar()

    class Meta:
        name = "Read a file"
        has_sensitive_variables = False
        approval_required = True

    def run(self, *, file: RunFile, dryrun: bool) -> dict[str, Any]:
        text = file.read().decode()
        if not dryrun:
            self.create_file(f"copy of {file.name}", text)
        return {"name": file.name, "size": file.size, "text": text}


class Snoop(Job):
    """Looks for keys that are not its run's, and asks for another run with the key that is."""

    other = StringVar(description="The id of another flow run")

    class Meta:
        name = "Snoop"
        has_sensitive_variables = False

    def run(self, *, other: str) -> dict[str, Any]:
        from prefect.settings import get_current_settings

        api = get_current_settings().api
        asked = {}
        user, _, key = str(api.auth_string.get_secret_value()).partition(":")
        with httpx.Client(base_url=f"{api.url}/", auth=(user, key), timeout=60) as client:
            for method, path in (
                ("GET", f"flow_runs/{other}"),
                ("POST", f"flow_runs/{other}/set_state"),
                ("POST", "flow_runs/filter"),
                ("POST", "deployments/filter"),
                ("GET", "extras/approval-queue/"),
                ("POST", "signoff/admission"),
            ):
                body = (
                    {"flow_run_id": other, "attempt": other, "state": {"type": "CANCELLED"}}
                    if method == "POST"
                    else None
                )
                answer = client.request(method, path, json=body)
                asked[f"{method} {path.replace(other, 'other')}"] = (answer.status_code, answer.json()["detail"])
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        places = {"environment": os.environ.values(), "settings": settings.values(), "memory": memory()}
        return {"asked": asked, "keys": {place: hashes_of_keys(texts) for place, texts in places.items()}}


KEYS = re.compile(r"signoff_[0-9A-Za-z]{36}")


def hashes_of_keys(texts: Iterable[str]) -> list[str]:
    """Return the hashes of the keys of tokens that stand in texts."""
    return sorted({sha256(key.encode()).hexdigest() for text in texts for key in KEYS.findall(text)})


def memory() -> Iterator[str]:
    """Return what stands in the memory of this process, as far as it can be read."""
    # It may look into itself, into which others of its user may not.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", buffering=0) as mapped:
        for line in maps:
            place, may, *_ = line.split()
            if "w" in may:
                begin, end = (int(each, 16) for each in place.split("-"))
                with suppress(OSError, ValueError):
                    mapped.seek(begin)
                    yield mapped.read(end - begin).decode("latin-1")


class Every(Job):
    """Has a variable of every kind."""

    text = TextVar(required=False)
    number = IntegerVar(description="How many", min_value=1, max_value=100)
    flag = BooleanVar(default=False)
    colour = ChoiceVar(choices=(("r", "Red"), ("g", "Green")), default="r")
    several = MultiChoiceVar(choices=(("a", "A"), ("b", "B")), required=False)
    data = JSONVar(required=False)
    code = StringVar(regex="^[A-Z]{3}$", default="ABC", label="A code")

    class Meta:
        name = "Every variable"
        has_sensitive_variables = False

    def run(self, **variables: Any) -> dict[str, Any]:
        return variables


class Locate(Job):
    """Is given an object of a source, and what is an object of Python's."""

    site = ObjectVar(lambda: [{"id": 1, "name": "Berlin"}, {"id": 2, "name": "Bern"}, {"id": 3, "name": "Lima"}])
    since = DateVar(default="2030-01-31")
    network = IPNetworkVar(required=False)

    class Meta:
        name = "Locate"
        has_sensitive_variables = False

    def run(self, *, site: Any, since: date, network: Any) -> dict[str, Any]:
        return {"site": site.name, "year": since.year, "addresses": network.num_addresses if network else 0}


class Secret(Job):
    """Is given something that nobody else may see."""

    password = StringVar()

    class Meta:
        name = "Keep a secret"

    def run(self, *, password: str) -> int:
        return len(password)


class Break(Job):
    class Meta:
        name = "Break"
        has_sensitive_variables = False

    def run(self) -> None:
        raise ValueError("broken on purpose")


class Complain(Job):
    class Meta:
        name = "Complain"
        has_sensitive_variables = False

    def run(self) -> str:
        self.fail("something was wrong with %s", "it")
        return "went on"


class Sleep(Job):
    seconds = IntegerVar(default=30)
    file = StringVar(required=False)

    class Meta:
        name = "Sleep"
        has_sensitive_variables = False

    def run(self, *, seconds: int, file: str) -> str:
        if file:
            Path(file).write_text("begun")
        time.sleep(seconds)
        return "slept"


class Linger(Job):
    """Catches its soft time limit, and goes on until the hard one."""

    class Meta:
        name = "Linger"
        has_sensitive_variables = False
        soft_time_limit = 1
        time_limit = 3

    def run(self) -> None:
        try:
            time.sleep(30)
        except Exception as limit:
            self.logger.warning("caught %s", limit)
            time.sleep(30)


class Alone(Job):
    class Meta:
        name = "Alone"
        has_sensitive_variables = False
        is_singleton = True

    def run(self) -> str:
        time.sleep(6)
        return "alone"


class InTurn(Job):
    class Meta:
        name = "In turn"
        has_sensitive_variables = False
        overlap = "queue"

    def run(self) -> str:
        time.sleep(3)
        return "in turn"


class Guarded(Job):
    dryrun = DryRunVar()
    file = FileVar(required=False)

    class Meta:
        name = "Guarded"
        has_sensitive_variables = False
        approval_required = True

    def run(self, *, dryrun: bool, file: RunFile | None) -> str:
        return "planned" if dryrun else "done"


class Change(Job):
    """Changes something that nobody should change alone; notes each execution in a file."""

    dryrun = DryRunVar()
    file = StringVar(required=False)
    breaks = BooleanVar(default=False)

    class Meta:
        name = "Change"
        has_sensitive_variables = False
        approval_required = True

    def run(self, *, dryrun: bool, file: str, breaks: bool) -> str:
        if file and not dryrun:
            with Path(file).open("a") as lines:
                lines.write(f"{self.user} {self.job_result['id']}\n")
        if breaks:
            raise ValueError("broken on purpose")
        return "planned" if dryrun else "changed"


class Brief(Job):
    """Asks for a decision that must come soon."""

    class Meta:
        name = "Brief"
        has_sensitive_variables = False
        approval_required = True
        approval_expires = timedelta(seconds=2)

    def run(self) -> str:
        raise AssertionError("Nobody has approved this.")


class Impossible(Job):
    class Meta:
        name = "Impossible"
        has_sensitive_variables = True
        approval_required = True

    def run(self) -> None:
        raise AssertionError("This Job must never run.")


class React(JobHookReceiver):
    class Meta:
        name = "React"
        has_sensitive_variables = False

    def receive_job_hook(self, event: dict[str, Any]) -> Any:
        return {"reacted to": event}


class Hear(JobHookReceiver):
    class Meta:
        name = "Hear"
        has_sensitive_variables = False

    def receive_job_hook(self, change: Any, action: str, changed_object: Any) -> Any:
        return {"heard": [action, change.object_repr, change.user_name], "of": changed_object and changed_object.url}


class Press(JobButtonReceiver):
    class Meta:
        name = "Press"
        has_sensitive_variables = False

    def receive_job_button(self, obj: Any) -> Any:
        return {"pressed for": [obj.object_type, obj.id, obj.name], "by": str(self.user)}


register_jobs(
    Greet,
    Write,
    Read,
    Snoop,
    Every,
    Locate,
    Secret,
    Break,
    Complain,
    Sleep,
    Linger,
    Alone,
    InTurn,
    Guarded,
    Change,
    Brief,
    Impossible,
    React,
    Hear,
    Press,
)
