"""The command line at a real server, typed by people: from a request to its result."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from api_shim.cli import main
from tests.acceptance.people import People, unique
from tests.live import Live

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Printed:
    """What a command printed."""

    stdout: str
    stderr: str


Type = Callable[..., Printed]


@pytest.fixture
def person(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], Type]:
    """Make people who may do everything, each at a terminal of their own."""
    monkeypatch.setenv("SIGNOFF_URL", live.origin)

    def made() -> Type:
        key = live.key(people.add(superuser=True))

        def types(*words: str, status: int = 0) -> Printed:
            monkeypatch.setenv("SIGNOFF_TOKEN", key)
            monkeypatch.setattr(sys, "argv", ["signoff", *words])
            with pytest.raises(SystemExit) as ended:
                main()
            printed = Printed(*capsys.readouterr())
            assert int(ended.value.code or 0) == status, printed
            return printed

        return types

    return made


def told(done: Printed) -> Any:
    return json.loads(done.stdout)


def test_a_job_is_looked_at_run_waited_for_and_told(person: Callable[[], Type]) -> None:
    alice = person()
    assert [row["name"] for row in told(alice("job", "variables", "Greet", "--json"))] == ["who", "count", "file"]
    ended = told(alice("run", "Greet", "-d", "who=Ada", "-d", "count=3", "--wait", "--json"))
    assert (ended["status"]["value"], ended["result"]["count"]) == ("SUCCESS", 3)
    followed = alice("result", "logs", "-f", ended["id"])
    assert "Hello Ada" in followed.stdout
    assert "Hello Ada" in alice("result", "logs", ended["id"]).stdout
    assert '"greeted": "Ada"' in alice("result", "wait", ended["id"]).stdout
    assert alice("result", "delete", ended["id"]).stdout == f"Deleted “{ended['id']}”.\n"
    assert alice("result", "show", ended["id"], status=1).stderr == "error: No JobResult matches the given query.\n"


def test_values_are_read_as_the_variables_want_them(person: Callable[[], Type]) -> None:
    alice = person()
    pairs = ("number=5", "flag=yes", "several=a", "several=b", 'data={"x": [1]}', "text=1")
    words = [word for pair in pairs for word in ("-d", pair)]
    row = told(alice("run", "Every variable", *words, "--json"))["job_result"]
    inputs = {"number": 5, "flag": True, "several": ["a", "b"], "data": {"x": [1]}, "text": "1"}
    assert inputs.items() <= row["task_kwargs"].items()
    refused = alice("run", "Every variable", "-d", "number=x", "-d", "bogus=1", status=1)
    assert refused.stderr == "error: bogus: Job data contained an unknown property\n"


def test_a_run_that_fails_leaves_with_3_and_one_that_is_held_with_4(person: Callable[[], Type]) -> None:
    alice, bob = person(), person()
    assert "broken on purpose" in alice("run", "Break", "--wait", status=3).stdout
    name = unique("held")
    alice("run", "Change", "--name", name, "--wait", status=4)
    assert name in bob("queue").stdout
    assert alice("approve", name, "--yes", status=1).stderr == "error: You cannot approve your own job request!\n"
    bob("dry-run", name)
    assert bob("deny", name, "--yes", "--comment", "No.").stdout == f"Denied “{name}”.\n"


def test_who_approves_decides_as_a_person_and_once(person: Callable[[], Type]) -> None:
    alice, bob = person(), person()
    name = unique("approved")
    alice("run", "Change", "--name", name, "--every", "daily", "--at", "2030-01-06T02:00")
    assert name in {row["name"] for row in told(bob("queue", "--json"))}
    bob("approve", name, "--yes", "--comment", "fine by me")
    assert told(bob("schedule", "show", name, "--json"))["approval_comment"] == "fine by me"
    assert "approved this request" in bob("deny", name, "--yes", status=1).stderr
    alice("schedule", "delete", name)


def test_a_schedule_is_made_changed_handed_over_and_deleted(person: Callable[[], Type]) -> None:
    alice, bob = person(), person()
    name = f"{unique('a/b')} ..?#%2F ü"
    made = alice("run", "Greet", "-d", "count=2", "--name", name, "--cron", "0 2 * * *", "--time-zone", "Europe/Berlin")
    assert made.stdout == f"Scheduled “{name}”, 0 2 * * * (Europe/Berlin); it runs on its schedule.\n"
    assert alice("schedule", "upcoming", name, "--count", "2").stdout.count("02:00 Europe/Berlin\n") == 2
    alice("schedule", "change", name, "--cron", "30 2 * * *", "-d", "who=Ada")
    row = told(bob("schedule", "show", name, "--json"))
    assert (row["crontab"], row["kwargs"]["who"], row["kwargs"]["count"]) == ("30 2 * * *", "Ada", 2)
    assert alice("schedule", "disable", name).stdout == f"Disabled “{name}”.\n"
    alice("schedule", "enable", name)
    bob("schedule", "take-over", name)
    assert "Next run:" in alice("schedule", "explain", name).stdout
    assert [each["id"] for each in told(bob("schedule", "list", "-w", f"name={name}", "--json"))] == [row["id"]]
    assert bob("schedule", "delete", name, "nothing", status=1).stdout == f"Deleted “{name}”.\n"


def test_what_is_wrong_is_one_sentence_by_its_field(person: Callable[[], Type]) -> None:
    alice = person()
    refused = alice("run", "Greet", "--cron", "0 0 31 2 *", status=1).stderr
    assert refused.startswith("error: schedule.name: Please provide a name for the job schedule. schedule.crontab: ")
    assert refused.count("\n") == 1
    unknown = alice("schedule", "list", "-w", "bogus=1", status=1).stderr
    assert unknown == "error: bogus: Unknown filter field\n"
