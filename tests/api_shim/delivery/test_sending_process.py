"""What is sent in a process of its own, and that it ends whatever answers."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from api_shim.delivery import sending_process
from api_shim.delivery.sending_process import PASSED_ON, SendingProcesses
from api_shim.delivery.services import FAILED
from api_shim.domain.notifications import Message, Undeliverable
from approval_gate.addresses import Reachable, reachable_with
from tests.api_shim.delivery.receivers import Receiver

MESSAGE = Message(subject="signoff: a run “failed”", body="A run of Compact failed.\n", key="1")
THIS_MACHINE = reachable_with("127.0.0.0/8, ::1")


def refused(processes: SendingProcesses, address: str) -> str:
    with pytest.raises(Undeliverable) as caught:
        processes.send(address, MESSAGE)
    return str(caught.value)


def test_a_message_is_taken_as_it_is(receiver: Receiver) -> None:
    SendingProcesses(THIS_MACHINE).send(receiver.address, MESSAGE)
    [taken] = receiver.taken
    assert (taken["title"], taken["message"].strip()) == (MESSAGE.subject, MESSAGE.body.strip())


def test_what_may_not_be_connected_to_is_not(receiver: Receiver) -> None:
    assert refused(SendingProcesses(Reachable()), receiver.address) == FAILED
    assert receiver.taken == []


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Answer on this machine, and give the address of that."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            with suppress(OSError):
                answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_port}/x"
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_that_never_ends_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(answer: BaseHTTPRequestHandler) -> None:
        answer.end_headers()
        while not given_up.wait(0.05):
            answer.wfile.write(b".")

    given_up = Event()
    monkeypatch.setattr(sending_process, "SECONDS", 2)
    with answering(drip) as address:
        try:
            assert refused(SendingProcesses(THIS_MACHINE), address) == FAILED
        finally:
            given_up.set()


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux holds processes to it.")
def test_an_answer_that_does_not_fit_into_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(8 * 2**20)) * 25

    def unpack(answer: BaseHTTPRequestHandler) -> None:
        answer.send_header("Content-Encoding", "gzip")
        answer.send_header("Content-Length", str(len(bomb)))
        answer.end_headers()
        answer.wfile.write(bomb)

    monkeypatch.setattr(sending_process, "MEMORY", 160 * 2**20)
    with answering(unpack) as address:
        assert refused(SendingProcesses(THIS_MACHINE), address) == FAILED


def test_what_is_stopped_has_failed_at_once() -> None:
    def stop(_answer: BaseHTTPRequestHandler) -> None:
        processes.stop()
        stopped.wait(20)

    processes, stopped = SendingProcesses(THIS_MACHINE), Event()
    with answering(stop) as address:
        try:
            assert refused(processes, address) == FAILED
        finally:
            stopped.set()


def test_nothing_secret_is_seen_of_it(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, object]] = []
    popen = subprocess.Popen

    def starting(command: object, **how: object) -> object:
        started.append({"command": command, **how})
        return popen(command, **how)  # type: ignore[call-overload]  # passed on as they are

    monkeypatch.setenv("SIGNOFF_SMTP_PASSWORD", "secret4")
    monkeypatch.setattr(subprocess, "Popen", starting)
    SendingProcesses(THIS_MACHINE).send(receiver.address, MESSAGE)
    [one] = started
    assert "secret" not in repr(one)
    assert isinstance(one["env"], dict)
    assert {*one["env"]} <= PASSED_ON


def test_where_none_can_be_started_nothing_is_sent(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending_process, "COMMAND", ("/nowhere/python",))
    assert refused(SendingProcesses(THIS_MACHINE), receiver.address) == FAILED
