"""The flow of a Job: its name, its parameters, its limits, its result; what it does on a worker is an acceptance."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import flow_engine
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import FailedRun, Pause
from prefect.flow_engine import _flow_parameters
from prefect.logging import get_logger
from prefect.logging.loggers import PrefectLogAdapter
from prefect.states import Completed, Failed

from approval_gate.errors import NotRunnable
from flows import FileVar, IntegerVar, Job, JobFailed, prefect_flow, register_jobs
from flows.execution import LARGEST_RESULT, as_json
from flows.files import GivenFile
from flows.job import JobLogger
from flows.log_objects import read_object
from flows.prefect_flow import RunLogger, SoftTimeLimitExceeded, TimeLimitExceeded, time_limits


class Count(Job):
    """Counts."""

    until = IntegerVar()

    class Meta:
        name = "Count things"

    def run(self, *, until: int) -> int:
        return until


register_jobs(Count)
DIGESTS = (Count.definition().code_digest, Count.definition().module_digest)


def test_the_flow_of_a_job_is_found_by_its_class_path() -> None:
    flow = getattr(prefect_flow, f"{__name__.replace('.', '-')}-Count")
    assert (flow.name, flow.description, flow.retries) == ("Count things", "Counts.", 0)
    assert list(flow.parameters.properties) == ["until"]
    assert flow.parameters.required == []


def test_a_job_whose_code_is_gone_has_a_flow_that_can_ask() -> None:
    flow = getattr(prefect_flow, "no_such_module-Job")
    assert flow.name == "no_such_module.Job"
    assert "not installed here" in (flow.description or "")


def test_a_flow_that_is_prepared_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_flow, "PREPARED", {})
    name = f"{__name__.replace('.', '-')}-Count"
    assert getattr(prefect_flow, name) is not getattr(prefect_flow, name)
    for _ in range(2):
        prefect_flow.prepare(f"{__name__}.Count")
    assert getattr(prefect_flow, name) is getattr(prefect_flow, name)


def test_the_flow_of_a_job_that_is_not_installed_is_not_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_flow, "PREPARED", {})
    with pytest.raises(NotRunnable):
        prefect_flow.prepare("no_such_module.Job")
    assert prefect_flow.PREPARED == {}


def test_no_attribute_is_called_like_a_job_class() -> None:
    with pytest.raises(AttributeError, match="called package-module-Class"):
        _ = prefect_flow.Count


def test_nothing_runs_outside_prefect() -> None:
    with pytest.raises(RuntimeError, match="runs within Prefect only"):
        prefect_flow.as_flow(f"{__name__}.Count").fn(until=3)


@pytest.mark.parametrize(
    ("class_path", "code"),
    [
        pytest.param(f"{__name__}.Count", DIGESTS, id="of all its code, and of its module"),
        pytest.param("no_such_module.Job", ("", ""), id="none, where its code is not"),
    ],
)
def test_a_run_asks_with_the_digests_of_its_code_and_says_if_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, class_path: str, code: tuple[str, str]
) -> None:
    asked: list[tuple[UUID, tuple[str, str]]] = []

    class Held:
        def __init__(self, attempt: UUID, *digests: str) -> None:
            asked.append((attempt, digests))

        def ask(self) -> Any:
            raise Pause("Another run has it.")

    monkeypatch.setattr(prefect_flow, "Gate", Held)
    monkeypatch.setattr(prefect_flow, "get_run_logger", lambda: logging.getLogger("run"))
    flow = prefect_flow.as_flow(class_path)
    for _ in range(2):
        with pytest.raises(Pause):
            flow.fn()
    assert [digests for _attempt, digests in asked] == [code, code]
    assert asked[0][0] != asked[1][0], "each process has a name of its own"
    missing = "The Job no_such_module.Job is not installed here. The module no_such_module cannot be imported: "
    assert (missing in caplog.text) is (code == ("", ""))


def test_a_run_that_goes_where_its_job_is_not_installed_fails_with_that_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[dict[str, Any]] = []

    class Let:
        def __init__(self, *_: Any) -> None:
            pass

        def ask(self) -> Any:
            return {"verdict": "go"}

        def tell(self, outcome: dict[str, Any]) -> None:
            told.append(outcome)

    monkeypatch.setattr(prefect_flow, "Gate", Let)
    monkeypatch.setattr(prefect_flow, "get_run_logger", lambda: logging.getLogger("run"))
    state = prefect_flow.as_flow("no_such_module.Job").fn()
    why = "The Job no_such_module.Job is not installed here. The module no_such_module cannot be imported: "
    assert state.message.startswith(why)
    assert told == [{"status": "FAILURE", "result": None, "traceback": state.message}]


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        pytest.param(0.1, 0, SoftTimeLimitExceeded, id="a soft limit alone"),
        pytest.param(0, 0.1, TimeLimitExceeded, id="a hard limit alone"),
        pytest.param(0.1, 5, SoftTimeLimitExceeded, id="the soft one comes first"),
        pytest.param(5, 0.1, TimeLimitExceeded, id="a hard one that is shorter comes first"),
        pytest.param(0.1, 0.1, TimeLimitExceeded, id="of two equal ones the hard one counts"),
    ],
)
def test_a_job_that_takes_too_long_is_interrupted(soft: float, hard: float, expected: type[BaseException]) -> None:
    with pytest.raises(expected, match="longer than"), time_limits(soft, hard):
        time.sleep(3)


def test_who_catches_the_soft_limit_meets_the_hard_one() -> None:
    def stubborn() -> None:
        try:
            time.sleep(3)
        except SoftTimeLimitExceeded:
            time.sleep(3)

    begun = time.monotonic()
    with pytest.raises(TimeLimitExceeded), time_limits(0.1, 0.3):
        stubborn()
    assert 0.25 < time.monotonic() - begun < 2


@pytest.mark.parametrize(("soft", "hard"), [(0, 0), (0.2, 0.3)], ids=["no limits", "limits that are kept"])
def test_a_job_that_is_quick_enough_is_left_alone(soft: float, hard: float) -> None:
    with time_limits(soft, hard):
        time.sleep(0.01)
    time.sleep(0.35)


@pytest.mark.parametrize(
    ("result", "recorded"),
    [
        pytest.param({"a": [1, None, "ä"]}, {"a": [1, None, "ä"]}, id="JSON stays as it is"),
        pytest.param({"when": time}, {"when": str(time)}, id="other things become text where they are"),
        pytest.param({1: "one", ("a",): "tuple"}, {"1": "one"}, id="keys that JSON has not are left out"),
        pytest.param(float("nan"), "nan", id="no number becomes text"),
        pytest.param("x" * LARGEST_RESULT, None, id="what is too large is left out"),
    ],
)
def test_a_result_is_recorded_in_json_form(result: object, recorded: object, caplog: pytest.LogCaptureFixture) -> None:
    assert as_json(JobLogger(logging.getLogger("job"), {}), result) == recorded
    assert ("too large" in caplog.text) is (recorded is None)


def test_a_result_that_contains_itself_becomes_text() -> None:
    loop: list[object] = []
    loop.append(loop)
    logger = JobLogger(logging.getLogger("job"), {})
    assert as_json(logger, loop) == "[[...]]"


HELD = FlowRun(id=UUID(int=1), flow_id=UUID(int=2), name="another", state=Failed())


@pytest.mark.parametrize(
    ("result", "becomes"),
    [
        pytest.param({"n": [1, "a", None]}, {"n": [1, "a", None]}, id="what is no state stays"),
        pytest.param([Completed(data=3), 4], [3, 4], id="a state within a list is its value"),
        pytest.param({"a": (Completed(message="fine"),)}, {"a": [None]}, id="a state without a value has none"),
        pytest.param(HELD, HELD, id="a run that is no result stays, whatever its state"),
    ],
)
def test_a_result_has_values_in_place_of_states(result: Any, becomes: Any) -> None:
    assert prefect_flow.resolved(result) == becomes


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(Failed(message="the task broke"), id="alone"),
        pytest.param({"a": [Completed(data=1), Failed(message="the task broke")]}, id="within others"),
    ],
)
def test_a_result_that_has_failed_is_a_failure(result: Any) -> None:
    with pytest.raises(JobFailed, match="the task broke"):
        prefect_flow.resolved(result)


def test_what_prefect_logs_anyway_is_logged_as_the_run(caplog: pytest.LogCaptureFixture) -> None:
    logger = RunLogger(PrefectLogAdapter(logging.getLogger("runs"), {}), {})
    logger.warning("A line")
    assert [record.name for record in caplog.records] == ["runs"]


@pytest.mark.parametrize(
    ("extra", "name", "is_sent"),
    [
        pytest.param({}, "runs.run", True, id="no heading"),
        pytest.param({"grouping": "validation"}, "runs.run.validation", True, id="a heading"),
        pytest.param({"skip_db_logging": True}, "runs.run", False, id="for the terminal alone"),
    ],
)
def test_lines_of_every_level_go_where_their_extra_says(
    caplog: pytest.LogCaptureFixture, extra: dict[str, Any], name: str, is_sent: bool
) -> None:
    logger = RunLogger(PrefectLogAdapter(logging.getLogger("runs"), {"flow_run_id": "1"}), {})
    logger.debug("A line", extra=extra)
    [record] = caplog.records
    assert (record.name, record.levelno, getattr(record, "send_to_api", True)) == (name, logging.DEBUG, is_sent)
    assert record.funcName == "test_lines_of_every_level_go_where_their_extra_says"
    assert record.flow_run_id == "1"  # type: ignore[attr-defined]  # an extra


def test_what_a_line_is_about_is_kept_behind_the_name_of_its_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    kept, of_runs = list[logging.LogRecord](), get_logger("flow_runs")
    # Prefect's own would look for a server.
    monkeypatch.setattr(of_runs, "handlers", [Kept()])
    logger = RunLogger(PrefectLogAdapter(of_runs, {"flow_run_id": "1"}), {})
    logger.debug("under a heading", extra={"grouping": "a", "object": "Router 1"})
    logger.warning("under none", extra={"object": "Router 2"})
    logger.debug("for the terminal alone", extra={"object": "Router 3", "skip_db_logging": True})
    sent = [(*read_object(record.name)[:2], record.getMessage()) for record in kept if _is_sent(record)]
    assert sent == [
        ("prefect.flow_runs.run.a", "Router 1", "under a heading"),
        ("prefect.flow_runs", "Router 2", "under none"),
    ]


def _is_sent(record: logging.LogRecord) -> bool:
    return bool(getattr(record, "send_to_api", True))


GO = {"user": None, "job_result": {"id": "1"}, "soft_time_limit": 0, "time_limit": 0, "inputs": {"until": 3}}


def test_a_run_whose_inputs_do_not_fit_its_job_any_more_fails_with_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(prefect_flow, "hold_to", lambda _code: None)
    monkeypatch.setattr(prefect_flow, "get_run_logger", lambda: PrefectLogAdapter(logging.getLogger("run"), {}))
    gate: Any = SimpleNamespace(tell=told.append)
    state = prefect_flow._execute(f"{__name__}.Count", gate, {**GO, "inputs": {"to": 3}})
    why = "The stored inputs do not fit the variables of this job any more: to"
    unfit = {"exc_type": "Unfit", "exc_module": "flows.prefect_flow", "exc_message": [why]}
    assert (state.is_failed(), state.message) == (True, why)
    assert told == [{"status": "FAILURE", "result": unfit, "traceback": why}]


def test_a_flow_takes_whatever_parameters_its_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_flow, "flow_run", SimpleNamespace(parameters={"until": 3, "to": 4}))
    for job in (f"{__name__.replace('.', '-')}-Count", "no_such_module-Job"):
        flow = getattr(prefect_flow, job)
        run = FlowRun(flow_id=UUID(int=1), parameters={"until": 3, "to": 4})
        assert _flow_parameters(flow, run, None) == {"until": 3, "to": 4}


class Kept(logging.Handler):
    """Keeps the names of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "send_to_api", True):
            self.names.append(record.name)


@pytest.mark.parametrize(
    ("file", "error", "kept"),
    [
        pytest.param(__file__, None, ["runs"], id="a Job"),
        pytest.param(__file__, FailedRun("failed"), ["runs"], id="a Job, of a flow that it has called"),
        pytest.param(flow_engine.__file__, None, ["runs.engine"], id="the engine"),
        pytest.param(flow_engine.__file__, ValueError("broken"), ["runs.engine"], id="the engine, of an exception"),
        pytest.param(flow_engine.__file__, FailedRun("failed"), [], id="the engine, of a failure that was told"),
    ],
)
def test_what_the_engine_says_is_kept_apart_and_shown_as_it_is(
    caplog: pytest.LogCaptureFixture, file: str, error: Exception | None, kept: list[str]
) -> None:
    logger, handler = logging.getLogger("runs"), Kept()
    logger.addHandler(handler)
    logger.addFilter(prefect_flow._apart)
    try:
        raised = (type(error), error, None) if error else None
        logger.handle(logger.makeRecord("runs", logging.INFO, file, 1, "A line", (), raised))
    finally:
        logger.removeFilter(prefect_flow._apart)
        logger.removeHandler(handler)
    assert handler.names == kept
    assert [record.name for record in caplog.records] == ["runs"]


def test_the_log_of_a_run_tells_that_it_runs_what_it_raised_and_that_it_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = RunLogger(PrefectLogAdapter(logging.getLogger("runs"), {}), {})
    with pytest.raises(ValueError, match="broken"), caplog.at_level(logging.INFO), prefect_flow._told(logger):
        raise ValueError("broken")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("runs.run.initialization", "Running job"),
        ("runs", "ValueError: broken"),
        ("runs.run.post_run", "Job completed"),
    ]


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        pytest.param({"holds_code": True}, True, id="it goes by an approval of its code"),
        pytest.param({"holds_code": False}, False, id="it does not"),
        pytest.param({}, True, id="nobody says"),
    ],
)
def test_a_run_is_held_to_its_code_unless_the_server_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], held: bool
) -> None:
    to: list[Any] = []
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(prefect_flow, "hold_to", to.append)
    monkeypatch.setattr(prefect_flow, "get_run_logger", lambda: PrefectLogAdapter(logging.getLogger("run"), {}))
    gate: Any = SimpleNamespace(tell=told.append, read_object=None)
    prefect_flow._execute(f"{__name__}.Count", gate, {**GO, **answer})
    assert to == ([Count._code] if held else [])
    assert [outcome["result"] for outcome in told] == [3]


@pytest.mark.parametrize(
    ("fails", "error", "says"),
    [
        pytest.param(
            ValueError("Unable to find block document"), LookupError, "no Secret block of that name", id="none"
        ),
        pytest.param(httpx.ConnectError("http://me:key@host"), OSError, r"not answer \(ConnectError\)\.$", id="away"),
    ],
)
def test_a_secret_that_cannot_be_read_says_why(
    monkeypatch: pytest.MonkeyPatch, fails: Exception, error: type[Exception], says: str
) -> None:
    def load(_name: str) -> Any:
        raise fails

    monkeypatch.setattr(prefect_flow.Secret, "load", load)
    with pytest.raises(error, match=says):
        prefect_flow.read_secret("door")


def test_a_run_has_files_in_place_of_what_refers_to_them() -> None:
    file = GivenFile.sent(UUID(int=7), "a.txt", b"hello")
    gate: Any = SimpleNamespace(file={"table": b"hello"}.__getitem__)
    sent = {"table": file.reference, "more": None, "count": 2}
    variables = {"table": FileVar(), "more": FileVar(required=False), "count": IntegerVar()}
    inputs = prefect_flow._with_files(variables, gate, sent)
    assert (inputs["table"].name, inputs["table"].read()) == ("a.txt", b"hello")
    assert (inputs["more"], inputs["count"]) == (None, 2)
    assert sent["table"] == file.reference
