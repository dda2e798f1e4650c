"""The gate of a run, with a server that answers as it is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings
from prefect.states import Cancelled, Running, Suspended

from api_shim.keys import RUN_PREFIX
from approval_gate import prefect_gate
from approval_gate.admission import LEASE
from approval_gate.prefect_gate import ADMISSION_KEY, ADMISSION_URL, AdmissionUnreachable, Gate

RUN = UUID("11111111-1111-4111-8111-111111111111")
ATTEMPT = uuid4()
CODE, MODULE = "c0de", "0de"
GO = {"verdict": "go", "inputs": {"who": "Ada"}}


class Server:
    """Prefect's client within a run, and behind it a server with a list of answers."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any] | str | int | Exception] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.states: list[tuple[State[Any], bool]] = []
        self.takes_states = self.takes_tags = True
        self.tags = ["signoff"]
        self.stands: State[Any] | None = None

    def request(self, method: str, path: str, headers: dict[str, str], content: bytes = b"{}") -> httpx.Response:
        assert headers["X-Request-ID"] == f"run-{RUN}"
        is_json = headers.get("Content-Type", "application/json") == "application/json"
        self.asked.append((path, json.loads(content) if is_json else {"content": content}))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        request = httpx.Request(method, f"http://server{path}")
        if isinstance(answer, str):
            return httpx.Response(200, text=answer, request=request)
        status, body = (answer, {}) if isinstance(answer, int) else (200, answer)
        return httpx.Response(status, json=body, request=request)

    def set_flow_run_state(self, run_id: UUID, state: State[Any], *, force: bool) -> Any:
        assert run_id == RUN
        self.states.append((state, force))
        status = SetStateStatus.ACCEPT if self.takes_states else SetStateStatus.ABORT
        return SimpleNamespace(status=status, state=state, details="no")

    def update_flow_run(self, run_id: UUID, *, tags: list[str]) -> None:
        assert run_id == RUN
        if not self.takes_tags:
            raise httpx.ConnectError("busy")
        self.tags = tags

    @property
    def ended(self) -> list[tuple[str, str | None, str | None]]:
        """The states that it was put into, each by force."""
        assert all(forced for _state, forced in self.states)
        return [(state.type.value, state.name, state.message) for state, _forced in self.states]

    def read_flow_run(self, run_id: UUID) -> Any:
        assert run_id == RUN
        return SimpleNamespace(state=self.stands)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    context = SimpleNamespace(flow_run=SimpleNamespace(id=RUN, tags=["signoff"]), client=made)
    monkeypatch.setattr(FlowRunContext, "get", lambda: context)
    monkeypatch.setattr(prefect_gate, "get_run_logger", lambda: logging.getLogger("run"))
    return made


def test_a_run_on_a_server_of_others_asks_ours_with_the_key_of_its_worker(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=GO, request=request)

    monkeypatch.setenv(ADMISSION_URL, "https://ours/")
    monkeypatch.setenv(ADMISSION_KEY, "signoff_key")
    monkeypatch.setattr(
        prefect_gate, "PrefectHttpxSyncClient", partial(httpx.Client, transport=httpx.MockTransport(answer))
    )
    assert Gate(ATTEMPT, CODE, MODULE).ask() == GO
    assert [str(each.url) for each in asked] == ["https://ours/api/signoff/admission/"]
    assert asked[0].headers["Authorization"] == "Bearer signoff_key"
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://ours", f"Others could read the key on its way to ours: {ADMISSION_URL} needs https."),
        ("ours:4200", f"{ADMISSION_URL} is not an address like https://signoff.example.com."),
        ("http://ours:port", f"{ADMISSION_URL} is not an address like https://signoff.example.com."),
    ],
)
def test_the_key_of_a_worker_is_not_sent_where_others_can_read_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.setenv(ADMISSION_URL, url)
    with pytest.raises(AdmissionUnreachable) as refused:
        Gate(ATTEMPT, CODE, MODULE)
    assert str(refused.value) == says
    assert server.asked == []


def test_a_proxy_of_the_environment_is_not_told_the_key_of_a_worker_of_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[dict[str, Any]]()
    monkeypatch.setenv(ADMISSION_URL, "http://127.0.0.1:4200")
    monkeypatch.setattr(prefect_gate, "PrefectHttpxSyncClient", lambda **how: told.append(how))
    Gate(ATTEMPT, CODE, MODULE)
    assert told[0]["trust_env"] is False


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_run_asks_with_its_id_its_process_its_place_and_its_code(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [GO]
    monkeypatch.setenv(LEASE, "a worker")
    assert Gate(ATTEMPT, CODE, MODULE).ask() == GO
    ((path, asked),) = server.asked
    assert path == "/signoff/admission/"
    assert (asked["flow_run_id"], asked["attempt"]) == (str(RUN), str(ATTEMPT))
    assert (asked["code"], asked["module"]) == (CODE, MODULE)
    assert asked["worker"].rpartition(":")[2].isdigit()
    assert asked["lease"] == "a worker"
    assert server.states == []


def test_a_run_that_is_passed_over_is_cancelled_with_the_reason(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.answers = [{"verdict": "finish", "message": "Another run has it."}]
    with pytest.raises(Pause, match=r"^Another run has it\.$"):
        Gate(ATTEMPT, CODE, MODULE).ask()
    assert server.ended == [("CANCELLED", "Cancelled", "Skipped: Another run has it.")]
    assert server.tags == ["signoff", "skipped"]
    assert caplog.record_tuples == [("run", logging.INFO, "Another run has it.")]


HOLD = {"verdict": "hold", "message": "It has not been approved."}


def test_a_run_that_is_held_is_left_as_the_server_has_put_it(server: Server) -> None:
    server.answers, server.stands = [HOLD], Suspended()
    with pytest.raises(Pause, match=r"^It has not been approved\.$") as left:
        Gate(ATTEMPT, CODE, MODULE).ask()
    assert left.value.state is server.stands
    assert server.states == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "stands",
    [
        pytest.param(Running(), id="it runs still"),
        pytest.param(Cancelled(), id="somebody has cancelled it"),
        pytest.param(None, id="nobody knows how it stands"),
    ],
)
def test_a_run_that_is_held_and_does_not_stand_is_failed_so_that_it_does_not_look_as_if_it_ran(
    server: Server, stands: State[Any] | None
) -> None:
    server.answers, server.stands = [HOLD], stands
    with pytest.raises(Pause, match=r"^It has not been approved\.$"):
        Gate(ATTEMPT, CODE, MODULE).ask()
    assert server.ended == [("FAILED", "Failed", "Refused: It has not been approved.")]


def test_a_refused_run_is_failed_by_force_with_the_reason(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers = [{"verdict": "refuse", "message": "Not you."}]
    with pytest.raises(Pause, match=r"^Not you\.$"):
        Gate(ATTEMPT, CODE, MODULE).ask()
    assert server.ended == [("FAILED", "Failed", "Refused: Not you.")]
    assert server.tags == ["signoff", "refused"]
    assert caplog.record_tuples == [("run", logging.ERROR, "Not you.")]


@pytest.mark.parametrize(
    "answer", [{"verdict": "perhaps", "message": "Who knows?"}, {}], ids=["unknown", "without a verdict"]
)
def test_an_answer_that_nobody_knows_is_a_refusal(server: Server, answer: dict[str, Any]) -> None:
    server.answers = [answer]
    with pytest.raises(Pause):
        Gate(ATTEMPT, CODE, MODULE).ask()
    ((_type, name, said),) = server.ended
    assert (name, said.partition(": ")[0]) == ("Failed", "Refused")


def test_a_run_that_can_have_no_tag_is_refused_all_the_same(server: Server) -> None:
    server.answers, server.takes_tags = [{"verdict": "refuse", "message": "Not you."}], False
    with pytest.raises(Pause):
        Gate(ATTEMPT, CODE, MODULE).ask()
    assert server.ended == [("FAILED", "Failed", "Refused: Not you.")]


def test_a_short_wait_is_slept_and_then_it_asks_again(server: Server) -> None:
    server.answers = [{"verdict": "wait", "until": in_seconds(0.2)}, GO]
    begun = datetime.now(UTC)
    assert Gate(ATTEMPT, CODE, MODULE).ask() == GO
    assert datetime.now(UTC) - begun >= timedelta(seconds=0.1)
    assert len(server.asked) == 2


def test_a_wait_that_is_over_is_none(server: Server) -> None:
    server.answers = [{"verdict": "wait", "until": in_seconds(-5)}, GO]
    assert Gate(ATTEMPT, CODE, MODULE).ask() == GO


def test_a_long_wait_gives_the_process_back_and_comes_again(server: Server) -> None:
    until = in_seconds(3600)
    server.answers = [{"verdict": "wait", "until": until}]
    with pytest.raises(Pause):
        Gate(ATTEMPT, CODE, MODULE).ask()
    ((state, forced),) = server.states
    assert (state.type.value, state.name, forced) == ("SCHEDULED", "Waiting", True)
    assert state.state_details.scheduled_time == datetime.fromisoformat(until)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(503, id="the server is busy"),
        pytest.param(403, id="the worker may not ask"),
        pytest.param(404, id="the server does not know the run"),
        pytest.param(httpx.ConnectError("refused"), id="nobody listens"),
        pytest.param("<html>Sign in</html>", id="something else answers"),
    ],
)
def test_a_run_that_cannot_ask_does_not_go(server: Server, answer: str | int | Exception) -> None:
    server.answers = [answer]
    with pytest.raises(AdmissionUnreachable, match="did not answer"):
        Gate(ATTEMPT, CODE, MODULE).ask()
    assert server.states == []


def test_a_state_that_prefect_does_not_take_ends_the_run_nevertheless(server: Server) -> None:
    server.answers, server.takes_states = [{"verdict": "refuse", "message": "Not you."}], False
    with pytest.raises(RuntimeError, match="Not you"):
        Gate(ATTEMPT, CODE, MODULE).ask()


def test_it_tells_how_the_run_went(server: Server) -> None:
    server.answers = [{}]
    Gate(ATTEMPT, CODE, MODULE).tell({"status": "SUCCESS", "result": 7, "traceback": None})
    ((path, told),) = server.asked
    assert path == "/signoff/outcome/"
    assert (told["status"], told["result"], told["attempt"]) == ("SUCCESS", 7, str(ATTEMPT))


def test_what_cannot_be_told_is_said(server: Server) -> None:
    server.answers = [httpx.ReadTimeout("too late")]
    with pytest.raises(AdmissionUnreachable):
        Gate(ATTEMPT, CODE, MODULE).tell({"status": "SUCCESS", "result": 7, "traceback": None})


def test_outside_a_run_there_is_no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowRunContext, "get", lambda: None)
    with pytest.raises(RuntimeError, match="runs within Prefect only"):
        Gate(ATTEMPT, CODE, MODULE)


FILE = uuid4()


def test_a_file_is_sent_as_it_is_and_called_as_it_is(server: Server) -> None:
    server.answers = [{}]
    Gate(ATTEMPT, CODE, MODULE).keep_file(FILE, "a & ä.txt", b"\0\xff")
    assert server.asked == [
        (f"/signoff/files/?flow_run_id={RUN}&attempt={ATTEMPT}&id={FILE}&name=a+%26+%C3%A4.txt", {"content": b"\0\xff"})
    ]


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        pytest.param(413, ValueError, "a.txt: The server refuses it with status 413.", id="it is refused"),
        pytest.param(500, OSError, "a.txt: The server did not answer", id="the server has a fault"),
        pytest.param(httpx.ConnectError("gone"), OSError, "did not answer .ConnectError.", id="there is no server"),
    ],
)
def test_a_file_that_is_not_kept_is_a_fault_of_who_makes_it(
    server: Server, answer: Any, error: type[Exception], told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(error, match=told):
        Gate(ATTEMPT, CODE, MODULE).keep_file(FILE, "a.txt", b"")


def test_a_file_that_the_run_is_given_is_fetched_as_it_is(server: Server) -> None:
    server.answers = ["hello"]
    assert Gate(ATTEMPT, CODE, MODULE).file("table") == b"hello"
    ((path, asked),) = server.asked
    assert path == "/signoff/given-file/"
    assert asked == {"flow_run_id": str(RUN), "attempt": str(ATTEMPT), "variable": "table"}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(404, "table: The server refuses it with status 404.", id="it is refused"),
        pytest.param(httpx.ConnectError("gone"), "table: The server did not answer .ConnectError.", id="no server"),
    ],
)
def test_a_file_that_cannot_be_had_is_a_fault_with_its_reason(server: Server, answer: Any, told: str) -> None:
    server.answers = [answer]
    with pytest.raises(OSError, match=told):
        Gate(ATTEMPT, CODE, MODULE).file("table")


RESULT = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def own_key() -> Iterator[None]:
    with temporary_settings({PREFECT_API_AUTH_STRING: f"run:{RUN_PREFIX}key"}):
        yield


@pytest.mark.usefixtures("own_key")
def test_an_object_is_read_as_the_api_answers_it(server: Server) -> None:
    server.answers = [{"id": RESULT, "name": "Backup"}]
    assert Gate(ATTEMPT, CODE, MODULE).read_object("extras.jobresult", RESULT) == {"id": RESULT, "name": "Backup"}
    assert [path for path, _ in server.asked] == [f"/extras/job-results/{RESULT}/"]
    assert RUN_PREFIX == prefect_gate.RUN_PREFIX


@pytest.mark.usefixtures("own_key")
@pytest.mark.parametrize(
    ("kind", "answer", "error", "told"),
    [
        ("users.user", None, LookupError, "There is no type 'users.user' of objects"),
        ("extras.job", 404, LookupError, "extras.job .*refuses it with status 404"),
        ("extras.job", 503, OSError, "did not answer"),
        ("extras.job", httpx.ReadTimeout("slow"), OSError, r"did not answer \(ReadTimeout\)"),
    ],
)
def test_an_object_that_cannot_be_had_is_said_to_be_so(
    server: Server, kind: str, answer: Any, error: type[Exception], told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(error, match=told):
        Gate(ATTEMPT, CODE, MODULE).read_object(kind, RESULT)
    assert [path for path, _ in server.asked] == [f"/extras/jobs/{RESULT}/"] * (kind == "extras.job")


@pytest.mark.usefixtures("own_key")
@pytest.mark.parametrize("key", ["../signoff", ".", "..", "", "7"])
def test_what_is_no_id_of_an_object_is_not_asked_for(server: Server, key: str) -> None:
    with pytest.raises(LookupError, match="that is not the id of an object"):
        Gate(ATTEMPT, CODE, MODULE).read_object("extras.job", key)
    assert server.asked == []


def test_a_run_with_the_credential_of_its_worker_reads_no_object(server: Server) -> None:
    with pytest.raises(OSError, match="no key of its own"):
        Gate(ATTEMPT, CODE, MODULE).read_object("extras.job", RESULT)
    assert server.asked == []
