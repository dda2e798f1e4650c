"""``signoff audit``, as it is typed."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.services.audit_signing import NOTHING_TO_ACCEPT
from api_shim.settings import system_user
from tests.api_shim.cli.conftest import Run
from tests.databases import rewrite_audit, store_of
from tests.factories import NOW, make_job, make_scheduled, make_user

ALICE, BOB = make_user("alice"), make_user("bob")
JOB = make_job()
BACKUP = make_scheduled(JOB, ALICE, name="nightly [bold]backup[/bold]")
EVENTS = (
    scheduled_job_event(BACKUP, EventType.REQUESTED, NOW, ALICE),
    scheduled_job_event(BACKUP, EventType.APPROVED, NOW, BOB, comment="looks fine, Zoë"),
    scheduled_job_event(BACKUP, EventType.RETURNED, NOW, reason="The inputs changed."),
)


@pytest.fixture
def _recorded(tables: None, home: Path) -> None:
    """Record three events, as the server does."""
    with closing(store_of(home)) as store, store.transaction() as tx:
        for event in EVENTS:
            tx.record(event)


def tamper(home: Path, statement: str) -> None:
    """Change the audit as only who may write the file can."""
    with closing(sqlite3.connect(home / "signoff.db")) as connection:
        connection.executescript("DROP TRIGGER audit_events_no_update; DROP TRIGGER audit_events_no_delete;")
        connection.executescript(statement)


def read_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("tables")
def test_before_the_first_event_there_are_none_and_that_is_said(signoff: Run) -> None:
    assert signoff("audit", "list").out == "Nothing has been recorded yet.\n"
    assert signoff("audit", "list", "--json").json == []
    assert signoff("audit", "verify").out.startswith("0 events, none changed or missing; ")
    assert signoff("audit", "export").out == ""


# List


@pytest.mark.usefixtures("_recorded")
def test_events_are_listed_with_what_matters_the_newest_first(signoff: Run) -> None:
    lines = signoff("audit", "list").out.splitlines()
    when, name = "2026-05-04T12:00:00Z", "nightly [bold]backup[/bold]"
    assert [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines] == [
        ["number", "at", "act", "actor", "name", "data"],
        ["3", when, "approval.returned", "-", name, '{"reason": "The inputs changed."}'],
        ["2", when, "approval.approved", "bob", name, '{"comment": "looks fine, Zoë"}'],
        ["1", when, "approval.requested", "alice", name, "-"],
    ]


@pytest.mark.usefixtures("_recorded")
def test_as_json_an_event_has_all_its_fields(signoff: Run) -> None:
    third, second, first = signoff("audit", "list", "--json").json
    assert second == {
        "number": 2,
        "at": "2026-05-04T12:00:00+00:00",
        "act": "approval.approved",
        "actor_id": str(BOB.id),
        "actor": "bob",
        "name": BACKUP.name,
        "scheduled_job_id": str(BACKUP.id),
        "job_id": str(JOB.id),
        "flow_run_id": None,
        "deployment_id": None,
        "data": {"comment": "looks fine, Zoë"},
        "previous_hash": first["hash"],
        "hash": third["previous_hash"],
    }


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        pytest.param((), [3, 2, 1], id="all, where there are few"),
        pytest.param(("--limit", "1"), [3], id="the last"),
        pytest.param(("--limit", "2"), [3, 2], id="a part"),
        pytest.param(("--limit", "10000"), [3, 2, 1], id="more than there are"),
    ],
)
def test_as_many_are_listed_as_are_asked_for(signoff: Run, words: tuple[str, ...], numbers: list[int]) -> None:
    assert [event["number"] for event in signoff("audit", "list", "--json", *words).json] == numbers


@pytest.mark.usefixtures("tables")
def test_fifty_are_listed_where_no_number_is_given(signoff: Run, home: Path) -> None:
    with closing(store_of(home)) as store, store.transaction() as tx:
        for _ in range(51):
            tx.record(EVENTS[0])
    assert [event["number"] for event in signoff("audit", "list", "--json").json] == [*range(51, 1, -1)]


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "many", ""])
def test_a_limit_that_is_none_is_a_wrong_call(signoff: Run, home: Path, limit: str) -> None:
    printed = signoff("audit", "list", "--limit", limit)
    assert printed.status == 2
    assert "Usage: signoff audit list" in printed.err
    assert not home.exists()


# Verify


@pytest.mark.usefixtures("_recorded")
def test_an_audit_that_is_whole_is_said_to_be(signoff: Run) -> None:
    printed = signoff("audit", "verify")
    assert (printed.status, printed.err) == (0, "")
    whole, key = printed.out.splitlines()
    assert whole == "3 events, none changed or missing; heads are signed from event 1 on."
    assert re.fullmatch("The key's public half is [0-9a-f]{64}.", key)


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        pytest.param(
            "UPDATE audit_events SET actor = 'bob' WHERE number = 1", "Event 1 is not what was recorded.", id="changed"
        ),
        pytest.param("DELETE FROM audit_events WHERE number = 2", "Event 2 is missing.", id="a gap"),
        pytest.param("DELETE FROM audit_events WHERE number = 3", "Event 3 is missing.", id="no end"),
        pytest.param(
            "DELETE FROM audit_heads", "The audit has no head: its last number and hash are missing.", id="no head"
        ),
    ],
)
def test_what_was_done_to_it_is_one_sentence(signoff: Run, home: Path, statement: str, sentence: str) -> None:
    tamper(home, statement)
    assert signoff("audit", "verify").refusal == sentence


# Export


@pytest.mark.usefixtures("_recorded")
def test_every_event_is_exported_as_a_line_the_oldest_first(signoff: Run) -> None:
    lines = read_lines(signoff("audit", "export").out)
    assert len(lines[-1].pop("signature")) == 128
    assert len(lines[-1].pop("key")) == 64
    assert lines == list(reversed(signoff("audit", "list", "--json").json))
    assert [line["number"] for line in lines] == [1, 2, 3]


@pytest.mark.usefixtures("_recorded")
def test_an_export_can_be_checked_without_us(signoff: Run) -> None:
    previous = "0" * 64
    *_, last = lines = read_lines(signoff("audit", "export").out)
    key, signature = (bytes.fromhex(last.pop(name)) for name in ("key", "signature"))
    message = f"signoff audit head {last['number']} {last['hash']}".encode()
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    for line in lines:
        told = line.pop("hash")
        assert line["previous_hash"] == previous
        previous = hashlib.sha256(json.dumps(line, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        assert told == previous


@pytest.mark.usefixtures("_recorded")
def test_an_export_to_a_file_is_the_same_and_for_its_owner_alone(signoff: Run, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    printed = signoff("audit", "export", str(file))
    assert (printed.status, printed.out, printed.err) == (0, "", "")
    assert file.read_text() == signoff("audit", "export").out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda file: file.write_text("an earlier export"), "File exists", id="a file that is there"),
        pytest.param(Path.mkdir, "File exists", id="a folder"),
        pytest.param(lambda file: file.symlink_to("/dev/null"), "File exists", id="a link to elsewhere"),
        pytest.param(lambda file: file.parent.rmdir(), "No such file or directory", id="in a folder that is not there"),
    ],
)
def test_only_a_new_file_is_written(signoff: Run, tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "audit.jsonl"
    make(file)
    assert signoff("audit", "export", str(file)).refusal == f"The file {file} cannot be written: {why}."
    assert not file.is_file() or file.read_text() == "an earlier export"


@pytest.mark.usefixtures("_recorded")
def test_an_export_that_fails_half_way_leaves_no_file(signoff: Run, home: Path, tmp_path: Path) -> None:
    tamper(home, "UPDATE audit_events SET at = 'nothing' WHERE number = 3")
    refusal = signoff("audit", "export", str(tmp_path / "audit.jsonl")).refusal
    assert refusal == "One of the events after event 0 cannot be read, so it is not what was recorded."
    assert not (tmp_path / "audit.jsonl").exists()


# Against what was kept elsewhere


def sign(home: Path) -> None:
    """Sign the head as only who has the key and the database can, and take back what the home keeps."""
    with closing(store_of(home)) as store, store.transaction() as tx:
        assert store.seal is not None
        store.seal.keep(tx.sign_audit())


@pytest.fixture
def exported(_recorded: None, signoff: Run, tmp_path: Path) -> Path:
    file = tmp_path / "audit.jsonl"
    signoff("audit", "export", str(file))
    return file


def last_hash(exported: Path) -> str:
    return str(read_lines(exported.read_text())[-1]["hash"])


@pytest.mark.usefixtures("_recorded")
def test_hashes_that_were_computed_anew_with_their_head_are_found(signoff: Run, home: Path) -> None:
    rewrite_audit(home, "bob")
    assert signoff("audit", "verify").refusal == "The end of the audit, event 3, was never signed."
    # Nor does the next event make it look genuine.
    refusal = signoff("user", "add", "carol").refusal
    assert refusal.startswith("Nothing can be recorded in the audit, because its end is not signed")
    assert signoff("user", "list", "--json").json == []


@pytest.mark.usefixtures("_recorded")
def test_a_server_does_not_start_on_an_audit_with_another_end(
    signoff: Run, home: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setattr(sys.modules["api_shim.cli.up"], "log_to_terminal", lambda _form: None)
    rewrite_audit(home, "bob")
    refusal = signoff("up", "--port", str(free_port()), "--worker", "none").refusal
    assert refusal.startswith("The end of the audit, event 3, was never signed. If that is meant")


def test_an_audit_that_has_grown_still_is_what_was_exported(signoff: Run, exported: Path) -> None:
    signoff("user", "add", "carol")
    for words in (("--against", str(exported)), ("--head", last_hash(exported))):
        assert signoff("audit", "verify", *words).out.startswith("4 events, none changed or missing")


def test_what_was_rewritten_with_the_key_is_found_by_what_was_kept_elsewhere(
    signoff: Run, home: Path, exported: Path
) -> None:
    rewrite_audit(home, "bob")
    sign(home)
    assert signoff("audit", "verify").status == 0
    assert signoff("audit", "verify", "--against", str(exported)).refusal == "Event 1 is not what was exported."
    refusal = signoff("audit", "verify", "--head", last_hash(exported)).refusal
    assert refusal == f"No event has the hash {last_hash(exported)}: the audit has been rewritten or set back since."


def edited(file: Path, number: int, **to: object) -> None:
    lines = read_lines(file.read_text())
    lines[number - 1] |= to
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            lambda file: edited(file, 2, actor="alice"), "Line 2 of the export is not what was written.", id="a field"
        ),
        pytest.param(
            lambda file: edited(file, 3, signature="0" * 128),
            "The export is not signed with the key of this audit.",
            id="the signature",
        ),
        pytest.param(
            lambda file: edited(file, 3, signature=""),
            "The export is not signed with the key of this audit.",
            id="no signature",
        ),
        pytest.param(lambda file: file.write_text(""), "The export has no events.", id="nothing in it"),
        pytest.param(lambda file: file.write_text("x"), "The export {} has a line that is not JSON.", id="no JSON"),
        pytest.param(lambda file: file.write_text("[]"), "Line 1 of the export {} is not an event.", id="no event"),
        pytest.param(Path.unlink, "The export {} cannot be read: No such file or directory.", id="no file"),
    ],
)
def test_an_export_that_is_not_as_it_was_written_proves_nothing(
    signoff: Run, exported: Path, change: Callable[[Path], object], sentence: str
) -> None:
    change(exported)
    assert signoff("audit", "verify", "--against", str(exported)).refusal == sentence.format(exported)


@pytest.mark.parametrize("head", ["405", "x" * 64, "0" * 63])
def test_what_is_no_hash_is_a_wrong_call(signoff: Run, home: Path, head: str) -> None:
    printed = signoff("audit", "verify", "--head", head)
    assert printed.status == 2
    assert "64 hexadecimal digits" in printed.err
    assert not home.exists()


# Accept


@pytest.mark.usefixtures("_recorded")
def test_what_is_gone_on_with_is_recorded_and_told_ever_after(signoff: Run, home: Path) -> None:
    assert signoff("audit", "accept").refusal == NOTHING_TO_ACCEPT
    (home / "audit.key").unlink()
    assert "audit.key is not there" in signoff("user", "add", "carol").refusal
    assert signoff("audit", "accept").out.startswith("Recorded that this was accepted: The end of the audit is signed")
    assert signoff("user", "add", "carol").status == 0
    told = signoff("audit", "verify").out
    assert "5 events, none changed or missing" in told
    assert f"Event 4: local: {system_user()} accepted the audit as it was. The end of the audit is signed with" in told
