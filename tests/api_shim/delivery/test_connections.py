"""What a thread that sends a notification may connect to."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from api_shim.delivery.connections import NotAllowed, guarded
from approval_gate.addresses import Reachable, reachable_with

Connect = Callable[[int], None]


@pytest.fixture
def port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


def by_number(port: int) -> None:
    socket.create_connection(("127.0.0.1", port)).close()


def by_name(port: int) -> None:
    socket.create_connection(("localhost", port)).close()


def by_a_name_that_the_socket_looks_up(port: int) -> None:
    with socket.socket() as made:
        made.connect(("localhost", port))


def without_a_connection(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.sendto(b"x", ("127.0.0.1", port))


WAYS = [by_number, by_name, by_a_name_that_the_socket_looks_up, without_a_connection]


@pytest.mark.parametrize("connect", WAYS)
def test_this_machine_is_not_reached(port: int, connect: Connect) -> None:
    with guarded(Reachable()), pytest.raises(NotAllowed):
        connect(port)
    connect(port)


@pytest.mark.parametrize("connect", [by_number, by_name, without_a_connection])
def test_what_is_named_is_reached(port: int, connect: Connect) -> None:
    # A name is looked up before: one that is left to the socket could mean anything by then.
    with guarded(reachable_with("127.0.0.0/8, ::1")), suppress(ConnectionRefusedError):
        connect(port)


def test_sockets_of_this_machine_are_not_reached(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, guarded(reachable_with("0.0.0.0/0")), pytest.raises(NotAllowed):
        made.connect(str(tmp_path / "socket"))


def test_nothing_is_started_and_nothing_listens() -> None:
    with guarded(reachable_with("127.0.0.0/8")):
        with pytest.raises(NotAllowed):
            subprocess.run(["true"], check=False)
        with socket.socket() as made, pytest.raises(NotAllowed):
            made.bind(("127.0.0.1", 0))


def test_other_threads_are_left_alone(port: int) -> None:
    done: list[bool] = []

    def elsewhere() -> None:
        by_number(port)
        done.append(True)

    with guarded(Reachable()):
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
    assert done == [True]
