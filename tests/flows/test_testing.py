"""A run of a Job in a test: what it is given, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import flow, get_run_logger
from prefect.states import Completed

from approval_gate.errors import Invalid
from flows import BooleanVar, DryRunVar, FileVar, IntegerVar, Job, JobHookReceiver
from flows.testing import LogLine, run_job
from flows.variables import BadJob


class Count(Job):
    until = IntegerVar(max_value=9)
    fails = BooleanVar()
    dryrun = DryRunVar()

    class Meta:
        name = "Count things"

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.started = kwargs

    def run(self, *, until: int, fails: bool, dryrun: bool) -> dict[str, Any]:
        self.logger.info("counting to %d", until, extra={"grouping": "counting", "object": "numbers"})
        self.logger.debug("for the terminal alone", extra={"skip_db_logging": True})
        if fails:
            self.fail("no number")
        return {"as": self.user.username if self.user else "", "dry": dryrun, "numbers": (1, until)}


def test_a_run_tells_how_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    run = run_job(Count, {"until": "3"}, user="alice")
    assert (run.status, run.error, run.traceback) == ("SUCCESS", None, "")
    assert run.result == {"as": "alice", "dry": False, "numbers": [1, 3]}
    assert run.inputs == {"until": 3, "fails": False, "dryrun": False}
    assert run.logs == (LogLine(log_level="info", message="counting to 3", grouping="counting", log_object="numbers"),)
    assert run.job.started == run.inputs  # type: ignore[attr-defined]  # what before_start() has set
    assert "counting to 3" in caplog.text, "where a test has failed, pytest shows them too"


def test_a_run_that_fails_tells_why() -> None:
    run = run_job(Count, until=1, fails=True)
    assert (run.status, str(run.error), run.messages[-1]) == ("FAILURE", "no number", "no number")
    assert run.logs[-1].log_level == "failure"
    assert "JobFailed: no number" in run.traceback


def test_a_dry_run() -> None:
    assert run_job(Count, until=1, dry_run=True).result["dry"]

    class Wet(Job):
        def run(self) -> None: ...

    with pytest.raises(Invalid, match="has no dry runs"):
        run_job(Wet, dry_run=True)


def test_what_the_server_would_refuse_is_refused() -> None:
    with pytest.raises(Invalid, match="less than or equal to 9"):
        run_job(Count, until=10)

    class Nothing(Job):
        pass

    with pytest.raises(BadJob, match=r"must define run\(\)"):
        run_job(Nothing)


class Knock(Job):
    def run(self) -> str:
        return f"{self.secret('door')}!"


def test_a_test_says_which_secrets_there_are() -> None:
    assert run_job(Knock, secrets={"door": "sesame"}).result == "sesame!"
    assert isinstance(run_job(Knock).error, LookupError)


class Convert(Job):
    table = FileVar()

    def run(self, *, table: Any) -> str:
        self.create_file("upper.txt", table.read().upper())
        return str(table.name)


def test_files_that_a_run_is_given_and_makes(tmp_path: Path) -> None:
    file = tmp_path / "hosts.csv"
    file.write_bytes(b"a,b")
    for sent in (file, ("hosts.csv", b"a,b")):
        run = run_job(Convert, table=sent)
        assert (run.error, run.result, run.files) == (None, "hosts.csv", {"upper.txt": b"A,B"})
        assert run.inputs["table"]["size"] == 3
    with pytest.raises(Invalid, match="Send a file"):
        run_job(Convert, table="hosts.csv")


def test_a_receiver_gets_its_event_and_has_no_user() -> None:
    class Hears(JobHookReceiver):
        def receive_job_hook(self, event: dict[str, Any]) -> list[Any]:
            return [event["id"], self.user]

    assert run_job(Hears, event={"id": 7}, user="").result == [7, None]


@flow
def greets(who: str) -> Any:
    get_run_logger().info("greeting %s", who)
    return [Completed(data=f"Hello {who}")]


def test_a_flow_is_run_without_prefects_engine() -> None:
    run = run_job(greets, who="Ada")
    assert (run.result, run.messages) == (["Hello Ada"], ["greeting Ada"])
