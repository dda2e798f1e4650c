"""The certificates of servers that stand in a file, on loopback."""

from __future__ import annotations

import csv
import io
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from approval_gate.errors import Invalid
from flows.examples import certificates
from flows.examples.certificates import CheckCertificates
from flows.testing import JobRun, run_job
from tests.flows.examples.servers import certificate, serving

Write = Any


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the file of servers: their names, and their addresses."""

    def write(**servers: str) -> None:
        path = tmp_path / "servers.csv"
        rows = "".join(f"{address},{name},team {name}\n" for name, address in servers.items())
        path.write_text(f"address,name,owner\n{rows}")
        monkeypatch.setattr(CheckCertificates.servers.source, "path", str(path))

    return write


def test_the_file_beside_the_module_can_be_read() -> None:
    there = CheckCertificates.servers.objects()
    assert {CheckCertificates.servers.title_of(each) for each in there.values()} == {"Website", "Shop", "Mail"}
    assert all(each.owner for each in there.values())


def row(name: str, address: str, days: int | None, fault: str = "") -> dict[str, Any]:
    return {"address": address, "name": name, "owner": f"team {name}", "days left": days, "fault": fault}


@pytest.mark.parametrize(
    ("days", "warn_days", "fails"),
    [
        pytest.param(40.5, 21, False, id="valid for long"),
        pytest.param(40.5, 40, False, id="valid for just as long as asked"),
        pytest.param(40.5, 41, True, id="expires soon"),
        pytest.param(0.5, 1, True, id="expires today"),
    ],
)
def test_the_days_that_are_left_are_told(
    tmp_path: Path, write: Write, days: float, warn_days: int, fails: bool
) -> None:
    path = certificate(tmp_path, days=days)
    with serving({}, tls=path) as server:
        write(web=server.address)
        run = run_job(CheckCertificates, warn_days=warn_days, ca_file=str(path))
    assert run.result == [row("web", server.address, int(days))]
    told = f"1 of 1 certificates need work: web (team web): {int(days)} days left"
    assert (str(run.error) if run.error else "") == (told if fails else "")
    line = run.logs[0]
    assert (line.log_level, line.log_object) == ("warning" if fails else "success", server.address)


@contextmanager
def without_tls() -> Iterator[str]:
    """Answer one connection in another language."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0\r\n")

        thread = Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_all_that_need_work_are_listed_and_the_others_are_told_too(tmp_path: Path, write: Write) -> None:
    trusted, old, strange = (certificate(tmp_path, days=days) for days in (90.5, -1, 91.5))
    (tmp_path / "authorities.pem").write_bytes(trusted.read_bytes() + old.read_bytes())
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving({}, tls=path)).address
            for name, path in {"good": trusted, "old": old, "strange": strange}.items()
        }
        servers |= {"ssh": stack.enter_context(without_tls())}
        write(**servers)
        run = run_job(CheckCertificates, ca_file=str(tmp_path / "authorities.pem"), warn_days=30)
    assert [(each["name"], each["days left"], each["fault"]) for each in run.result[:3]] == [
        ("good", 90, ""),
        ("old", None, "certificate has expired"),
        ("strange", None, "self-signed certificate"),
    ]
    assert run.result[3]["fault"]
    assert str(run.error).startswith("3 of 4 certificates need work: old (team old): certificate has expired; strange ")
    written = [*csv.DictReader(io.StringIO(run.files["certificates.csv"].decode()))]
    assert [(each["name"], each["days left"]) for each in written] == [
        *(("good", "90"), ("old", ""), ("strange", ""), ("ssh", "")),
    ]


def test_who_chooses_some_gets_those(tmp_path: Path, write: Write) -> None:
    path = certificate(tmp_path, days=90)
    with serving({}, tls=path) as server:
        write(web=server.address, other="127.0.0.1:1")
        run = run_job(CheckCertificates, servers=[server.address], ca_file=str(path))
    assert [each["name"] for each in run.result] == ["web"]
    with pytest.raises(Invalid):
        run_job(CheckCertificates, servers=["127.0.0.1:2"])


def test_a_file_without_servers_is_no_success(write: Write) -> None:
    write()
    run: JobRun = run_job(CheckCertificates)
    assert str(run.error) == f"{certificates.HOSTS} has no servers."
