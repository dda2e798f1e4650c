"""The examples, run on loopback sockets and on files of their own."""

from __future__ import annotations

import csv
import logging
import socket
import sqlite3
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flows import examples
from flows.examples import BackUp, CheckCertificates, CheckHosts, SummariseCSV
from flows.job import Job, validate
from flows.registry import discover


def run(job: Job, **inputs: object) -> Any:
    return job.run(**validate(type(job), inputs))


def test_they_are_jobs_that_can_be_installed() -> None:
    found = discover(["flows.examples"])
    mine = {path: each for path, each in found.jobs.items() if path.startswith("flows.examples.")}
    assert [each.name for each in mine.values()] == [
        "Check hosts",
        "Check certificates",
        "Back up",
        "Summarise CSV",
    ]
    assert {each.grouping for each in mine.values()} == {"Examples"}
    assert not any(each.has_sensitive_variables or each.warnings for each in mine.values())
    assert [path for path, each in mine.items() if each.approval_required] == ["flows.examples.BackUp"]
    assert [path for path, each in mine.items() if each.supports_dryrun] == ["flows.examples.BackUp"]
    assert not any("flows.examples" in str(problem) for problem in found.problems)


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """Give a port that is taken, but where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_check_hosts_tells_who_answers(listening: int, closed: int, caplog: pytest.LogCaptureFixture) -> None:
    job = CheckHosts()
    with caplog.at_level(logging.INFO):
        result = run(job, hosts=f"127.0.0.1:{listening}\n\n 127.0.0.1:{closed}\n127.0.0.1:{listening}", timeout=2)
    assert result["reachable"] == [f"127.0.0.1:{listening}"]
    assert list(result["unreachable"]) == [f"127.0.0.1:{closed}"]
    (failure,) = job.failures
    assert failure.startswith(f"127.0.0.1:{closed} cannot be reached: ")
    assert "refused" in failure
    assert {each.levelname for each in caplog.records} == {"SUCCESS", "FAILURE"}


def test_check_hosts_succeeds_when_all_answer(listening: int) -> None:
    job = CheckHosts()
    assert run(job, hosts=f"127.0.0.1:{listening}")["unreachable"] == {}
    assert job.failures == []


@pytest.mark.parametrize("line", ["nowhere", "a b:80", ":80", "host:", "host:0", "host:65536", "[::1:80", "::1:80"])
def test_check_hosts_tells_what_is_no_address(line: str) -> None:
    job = CheckHosts()
    assert run(job, hosts=line) == {"reachable": [], "unreachable": {line: "it is not host:port."}}
    assert job.failures == [f"{line} cannot be reached: it is not host:port."]


def certificate(folder: Path, *, days: float) -> Path:
    """Write a self-signed certificate for 127.0.0.1, with its key, that expires in some days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return path


@contextmanager
def serving(handshake: Callable[[socket.socket], object]) -> Iterator[int]:
    """Answer one connection on a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                handshake(connection)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def secured_by(path: Path) -> Callable[[socket.socket], object]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)

    def handshake(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            """The client did not like the certificate."""

    return handshake


@pytest.mark.parametrize(
    ("days", "warn_days", "failures"),
    [
        pytest.param(40.5, 21, [], id="valid for long"),
        pytest.param(40.5, 40, [], id="valid for just as long as asked"),
        pytest.param(40.5, 41, ["expires in 40 days."], id="expires soon"),
        pytest.param(0.5, 1, ["expires in 0 days."], id="expires today"),
    ],
)
def test_check_certificates_tells_the_days_that_are_left(
    tmp_path: Path, days: float, warn_days: int, failures: list[str]
) -> None:
    path = certificate(tmp_path, days=days)
    job = CheckCertificates()
    with serving(secured_by(path)) as port:
        result = run(job, hosts=f"127.0.0.1:{port}", warn_days=warn_days, ca_file=str(path))
    assert result == {"days_left": {f"127.0.0.1:{port}": int(days)}, "faults": {}}
    assert job.failures == [f"The certificate of 127.0.0.1:{port} {words}" for words in failures]


@pytest.mark.parametrize(
    ("days", "trusted", "fault"),
    [
        pytest.param(-1, True, "certificate has expired", id="expired"),
        pytest.param(40, False, "self-signed certificate", id="not trusted"),
    ],
)
def test_check_certificates_tells_what_is_not_to_be_trusted(
    tmp_path: Path, days: float, trusted: bool, fault: str
) -> None:
    path = certificate(tmp_path, days=days)
    job = CheckCertificates()
    with serving(secured_by(path)) as port:
        address = f"127.0.0.1:{port}"
        result = run(job, hosts=address, ca_file=str(path) if trusted else "")
    assert result == {"days_left": {}, "faults": {address: fault}}
    assert job.failures == [f"The certificate of {address} could not be verified: {fault}"]


def test_check_certificates_tells_of_a_server_without_tls() -> None:
    job = CheckCertificates()
    with serving(lambda connection: connection.sendall(b"SSH-2.0\r\n")) as port:
        result = run(job, hosts=f"127.0.0.1:{port}")
    assert list(result["faults"]) == [f"127.0.0.1:{port}"]
    assert len(job.failures) == 1


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a ?#.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (n)")
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(1000)])
    return path


def test_back_up_copies_a_database_that_is_in_use(database: Path, target: Path) -> None:
    job = BackUp()
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("INSERT INTO t VALUES (1000)")
        result = run(job, source=str(database), target=str(target))
        writer.rollback()
    (backup,) = target.iterdir()
    assert result == {"backup": str(backup), "removed": [], "dryrun": False}
    assert backup.name.startswith("a ?#.db-")
    assert backup.suffix == ".sqlite"
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT count(*), sum(n) FROM t").fetchone() == (1000, 499500)
    assert job.failures == []


def test_back_up_packs_a_folder(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "site"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "a.txt").write_text("content")
    (source / "link").symlink_to("/etc")
    result = run(BackUp(), source=str(source), target=str(target))
    with tarfile.open(result["backup"]) as archive:
        assert sorted(archive.getnames()) == ["site", "site/inner", "site/inner/a.txt", "site/link"]
        assert archive.getmember("site/link").issym(), "what a link leads to is not followed"
        assert archive.extractfile("site/inner/a.txt").read() == b"content"  # type: ignore[union-attr]  # a file


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        pytest.param(1, [], id="the new one only"),
        pytest.param(2, ["20240103"], id="the newest but one too"),
        pytest.param(4, ["20240101", "20240102", "20240103"], id="as many as there are"),
        pytest.param(9, ["20240101", "20240102", "20240103"], id="more than there are"),
    ],
)
def test_back_up_keeps_the_newest_of_this_source_and_all_else(
    tmp_path: Path, target: Path, keep: int, kept: list[str]
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content")
    dates = ("20240102", "20240101", "20240103")
    for date in dates:
        (target / f"a.txt-{date}T000000000000Z.tar.gz").write_text("old")
    others = ["b.txt-20240101T000000000000Z.tar.gz", "a.txt", "a.txt-20240101T000000000000Z.tar.gz.part"]
    for other in others:
        (target / other).write_text("other")
    result = run(BackUp(), source=str(source), target=str(target), keep=keep)
    left = {path.name for path in target.iterdir()}
    assert left == {
        Path(result["backup"]).name,
        *others,
        *(f"a.txt-{each}T000000000000Z.tar.gz" for each in kept),
    }
    assert [Path(each).name[6:14] for each in result["removed"]] == sorted(set(dates) - set(kept))


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content")
    old = target / "a.txt-20240101T000000000000Z.tar.gz"
    old.write_text("old")
    with caplog.at_level(logging.INFO):
        result = run(BackUp(), source=str(source), target=str(target), keep=1, dryrun=True)
    assert result["removed"] == [str(old)]
    assert result["dryrun"]
    assert list(target.iterdir()) == [old]
    assert "Would write" in caplog.text


def test_a_backup_that_fails_leaves_nothing_and_removes_nothing(database: Path, target: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    old = target / f"{database.name}-20240101T000000000000Z.sqlite"
    old.write_text("old")
    with pytest.raises((sqlite3.DatabaseError, ValueError)):
        run(BackUp(), source=str(database), target=str(target), keep=1)
    assert list(target.iterdir()) == [old]


def test_a_backup_that_fails_halfway_leaves_nothing(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content")

    def full(_origin: Path, archive: Path) -> None:
        archive.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(examples, "_pack", full)
    with pytest.raises(OSError, match="No space left"):
        run(BackUp(), source=str(source), target=str(target))
    assert list(target.iterdir()) == []


def test_back_up_refuses_what_cannot_work(tmp_path: Path, target: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("content")
    with pytest.raises(FileNotFoundError):
        run(BackUp(), source=str(tmp_path / "absent"), target=str(target))
    with pytest.raises(FileNotFoundError):
        run(BackUp(), source=str(file), target=str(tmp_path / "absent"))
    with pytest.raises(NotADirectoryError):
        run(BackUp(), source=str(file), target=str(file))
    with pytest.raises(ValueError, match="each backup would contain earlier ones"):
        run(BackUp(), source=str(tmp_path), target=str(target))


def test_summarise_csv_tells_the_range_of_each_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        rows = [
            ["n", "word", "mixed", "none"],
            ["2", "b", "1", ""],
            ["", "a, c", "x", " "],
            ["-1.5", "é", "nan", ""],
        ]
        csv.writer(file).writerows(rows)
    job = SummariseCSV()
    assert run(job, path=str(path)) == {
        "rows": 3,
        "uneven": 0,
        "columns": [
            {"name": "n", "filled": 2, "empty": 1, "min": -1.5, "max": 2.0, "mean": 0.25},
            {"name": "word", "filled": 3, "empty": 0, "min": "a, c", "max": "é"},
            {"name": "mixed", "filled": 3, "empty": 0, "min": "1", "max": "x"},
            {"name": "none", "filled": 0, "empty": 3},
        ],
    }
    assert job.failures == []


@pytest.mark.parametrize(
    ("strict", "failures", "level"),
    [
        pytest.param(True, ["2 rows have the wrong length; the first is on line 3."], "FAILURE", id="strict"),
        pytest.param(False, [], "WARNING", id="not strict"),
    ],
)
def test_summarise_csv_tells_of_uneven_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, strict: bool, failures: list[str], level: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1;2\n3\n\n4;5;6\n")
    job = SummariseCSV()
    result = run(job, path=str(path), delimiter="semicolon", strict=strict)
    assert (result["rows"], result["uneven"]) == (3, 2)
    assert result["columns"][0] == {"name": "a", "filled": 3, "empty": 0, "min": 1, "max": 4, "mean": 8 / 3}
    assert job.failures == failures
    assert [each.levelname for each in caplog.records if "wrong length" in each.message] == [level]


def test_summarise_csv_of_nothing_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("")
    assert run(SummariseCSV(), path=str(path)) == {"rows": 0, "uneven": 0, "columns": []}
