"""Backups: whole under load, and restored only if they are as they were made."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import Session, User
from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.services.audit_signing import check_end, open_store
from api_shim.services.audit_trail import AuditTrail
from api_shim.services.backups import KNOWN, MANIFEST, Manifest, create, restore
from api_shim.settings import Settings
from approval_gate.errors import Conflict, GateError, Invalid, Unavailable
from tests.databases import sqlite_with_tables
from tests.factories import NOW, OPERATOR, make_job, make_result, make_scheduled, make_user
from tests.live import eventually

VERSIONS = {"signoff": "1"}
INPUTS = {"password": "of a run"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a home with a store, its keys, and a database of Prefect's."""
    for name in ("DATABASE_URL", "AUDIT_KEY_FILE"):
        monkeypatch.delenv(f"SIGNOFF_{name}", raising=False)
    found = Settings(home=tmp_path / "home")
    found.make_home()
    sqlite_with_tables(found.home / "signoff.db")
    found.worker_key()
    (found.home / "prefect").mkdir()
    with closing(sqlite3.connect(prefect_of(found))) as connection, connection:
        connection.execute("CREATE TABLE flow_run (id TEXT)")
    return found


def prefect_of(settings: Settings) -> Path:
    return settings.home / "prefect" / "prefect.db"


def backed_up(settings: Settings, file: Path, tell: Callable[[str, int, int], None] = lambda *_: None) -> Manifest:
    return create(settings, prefect_of(settings), file, VERSIONS, NOW, tell)


def restored(file: Path, home: Path, *, force: bool = False) -> Settings:
    found = Settings(home=home)
    found.make_home()
    restore(found, prefect_of(found), file, OPERATOR, NOW, force=force)
    return found


def test_what_was_answered_before_is_there_though_requests_go_on(settings: Settings, tmp_path: Path) -> None:
    user, job = make_user(), make_job()
    secret = make_result(job, user, sensitive=True, inputs=INPUTS)
    begun, over = threading.Event(), threading.Event()
    answered: list[Any] = []
    with closing(open_store(settings, NOW)) as store:
        with store.transaction() as tx:
            for thing in (user, job, secret):
                tx.add(thing)
            tx.add(Session(id=uuid4(), user_id=user.id, key_hash="k", csrf="c", created=NOW, seen=NOW))

        def request() -> None:
            while not over.is_set():
                row = make_scheduled(job, user)
                with store.transaction() as tx:
                    tx.add(row)
                    tx.record(scheduled_job_event(row, EventType.REQUESTED, NOW, user))
                answered.append(row.id)
                begun.set()

        def go_on(*_: object) -> None:
            # Nobody waits for the backup: while it is made, more is answered.
            count = len(answered)
            eventually(lambda: len(answered) > count)

        people = [threading.Thread(target=request) for _ in range(3)]
        for each in people:
            each.start()
        try:
            assert begun.wait(60)
            before = [*answered]
            backed_up(settings, tmp_path / "backup", go_on)
        finally:
            over.set()
            for each in people:
                each.join()
    with closing(open_store(restored(tmp_path / "backup", tmp_path / "new"), NOW)) as store:
        with store.transaction(write=False) as tx:
            assert {*before} <= {row.id for row in tx.all(ScheduledJob)}
            kept = tx.get(JobResult, id=secret.id)
            assert kept is not None
            assert kept.inputs is not None
            assert dict(kept.inputs) == INPUTS, "the key fits"
            assert tx.all(Session) == []
        found = AuditTrail(store).verify()
        assert [event.data["reason"] for event in found.accepted] == [f"Restored from the backup of {NOW.isoformat()}."]
        assert [event.actor for event in found.accepted] == [OPERATOR.username]


def test_a_backup_is_private_whole_and_replaces_nothing(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    open_store(settings, NOW).close()
    made = backed_up(settings, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {part.name for part in made.parts} == {*KNOWN} - {"audit.head"} | {
        name for name in ("audit.head",) if (settings.home / name).exists()
    }
    was = file.read_bytes()
    with pytest.raises(Unavailable, match="File exists"):
        backed_up(settings, file)
    assert file.read_bytes() == was
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_restored_home_has_all_that_the_backup_has_and_is_private(settings: Settings, tmp_path: Path) -> None:
    open_store(settings, NOW).close()
    made = backed_up(settings, tmp_path / "backup")
    home = restored(tmp_path / "backup", tmp_path / "new").home
    assert {part.name for part in made.parts} <= {
        path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()
    }
    assert (home / "worker.key").read_text() == (settings.home / "worker.key").read_text()
    assert not [path for path in home.rglob("*") if path.stat().st_mode & 0o077]


def test_a_home_that_is_not_empty_is_replaced_only_by_force_and_nothing_is_lost(
    settings: Settings, tmp_path: Path
) -> None:
    with closing(open_store(settings, NOW)) as store, store.transaction() as tx:
        tx.add(make_user("before"))
    backed_up(settings, tmp_path / "backup")
    with closing(open_store(settings, NOW)) as store, store.transaction() as tx:
        tx.add(make_user("after"))
    with pytest.raises(Conflict, match="is not empty"):
        restored(tmp_path / "backup", settings.home)
    restored(tmp_path / "backup", settings.home, force=True)
    for home, names in ((settings.home, {"before"}), (next(settings.home.glob("replaced-*")), {"before", "after"})):
        with closing(open_store(Settings(home=home), NOW)) as store, store.transaction(write=False) as tx:
            assert {user.username for user in tx.all(User)} == names


def test_a_key_that_is_kept_apart_is_in_no_backup_and_is_needed(settings: Settings, tmp_path: Path) -> None:
    open_store(settings, NOW).close()
    apart = tmp_path / "audit.key"
    (settings.home / "audit.key").rename(apart)
    with_key = settings.model_copy(update={"audit_key_file": apart})
    (settings.home / "audit.key").write_text("another one")
    made = backed_up(with_key, tmp_path / "backup")
    assert "audit.key" not in {part.name for part in made.parts}
    with pytest.raises(Unavailable, match="name its file with SIGNOFF_AUDIT_KEY_FILE"):
        restored(tmp_path / "backup", tmp_path / "new")
    assert [*(tmp_path / "new").iterdir()] == []
    new = with_key.model_copy(update={"home": tmp_path / "new"})
    restore(new, prefect_of(new), tmp_path / "backup", OPERATOR, NOW, force=False)


@pytest.mark.parametrize("elsewhere", [None, Path("/elsewhere/prefect.db")])
def test_a_database_of_prefects_is_not_restored_where_no_server_looks(
    settings: Settings, tmp_path: Path, elsewhere: Path | None
) -> None:
    open_store(settings, NOW).close()
    backed_up(settings, tmp_path / "backup")
    new = Settings(home=tmp_path / "new")
    new.make_home()
    with pytest.raises(Invalid, match="Prefect's database of this backup goes into the home folder"):
        restore(new, elsewhere, tmp_path / "backup", OPERATOR, NOW, force=False)
    assert [*new.home.iterdir()] == []


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("moves", [1, 2, 3, 4])
def test_no_server_starts_with_what_an_interrupted_restore_leaves(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, force: bool
) -> None:
    open_store(settings, NOW).close()
    backed_up(settings, tmp_path / "backup")
    home = settings.home if force else tmp_path / "new"
    left = iter(range(moves))
    rename = Path.rename

    def interrupted(path: Path, to: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restored(tmp_path / "backup", home, force=force)
    with pytest.raises(Unavailable), closing(open_store(Settings(home=home), NOW)) as store:
        check_end(store)


def test_what_was_replaced_is_told(settings: Settings, tmp_path: Path) -> None:
    open_store(settings, NOW).close()
    backed_up(settings, tmp_path / "backup")
    done = restore(settings, prefect_of(settings), tmp_path / "backup", OPERATOR, NOW, force=True)
    assert done.has_store
    assert [done.replaced] == [*settings.home.glob("replaced-*")]


def test_a_file_system_without_hard_links_does(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(settings, NOW).close()

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    made = backed_up(settings, tmp_path / "backup")
    with tarfile.open(tmp_path / "backup") as archive:
        assert archive.getnames() == [MANIFEST, *(part.name for part in made.parts)]


# Files that are no backups


Entries = list[tuple[tarfile.TarInfo, bytes]]


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = len(data), kind, link
    return made, data


def edited(file: Path, change: Callable[[Entries], Entries]) -> None:
    """Write a backup anew with other entries."""
    with tarfile.open(file) as archive:
        entries = [(each, data.read() if (data := archive.extractfile(each)) else b"") for each in archive]
    with tarfile.open(file, "w:gz") as archive:
        for each, content in change(entries):
            archive.addfile(each, io.BytesIO(content))


def manifest(parts: list[Mapping[str, Any]], **to: Any) -> tuple[tarfile.TarInfo, bytes]:
    said = {"format": 1, "made": "", "versions": {}, "parts": parts, **to}
    return entry(MANIFEST, json.dumps(said).encode())


def part(name: str) -> Mapping[str, Any]:
    # The checksum of nothing.
    return {"name": name, "size": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}


ESCAPES = ("../escaped", "/tmp/escaped-signoff", "prefect/../../escaped", "other", "audit.key/../../escaped")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(
            pytest.param(
                lambda _, name=name: [manifest([part(name)]), entry(name)], "does not belong in a backup", id=name
            )
            for name in ESCAPES
        ),
        pytest.param(
            lambda _: [manifest([part("worker.key")]), entry("worker.key", kind=tarfile.SYMTYPE, link="/etc/passwd")],
            "has no worker.key where",
            id="a symbolic link",
        ),
        pytest.param(
            lambda _: [manifest([part("worker.key")]), entry("worker.key", kind=tarfile.LNKTYPE, link=MANIFEST)],
            "has no worker.key where",
            id="a hard link",
        ),
        pytest.param(
            lambda _: [manifest([part("worker.key")]), entry("worker.key", kind=tarfile.FIFOTYPE)],
            "has no worker.key where",
            id="a pipe",
        ),
        pytest.param(
            lambda _: [manifest([part("prefect/prefect.db")]), entry("prefect", kind=tarfile.SYMTYPE, link="/tmp")],
            "has no prefect/prefect.db where",
            id="a link in place of a folder",
        ),
        pytest.param(lambda old: [*old, entry("../escaped")], "more in the backup", id="more than the manifest says"),
        pytest.param(lambda old: old[:-1], "where its manifest has it", id="less"),
        pytest.param(lambda old: old[1:], "has no manifest.json where", id="no manifest"),
        pytest.param(lambda _: [manifest([], format=2)], "has the format 2", id="of a later version"),
        pytest.param(lambda _: [entry(MANIFEST, b"[]")], "manifest of the backup cannot be read", id="no JSON object"),
        pytest.param(
            lambda old: [(each, data[:-1] + b"?" if each.name == "worker.key" else data) for each, data in old],
            "worker.key in the backup has been altered",
            id="another content",
        ),
    ],
)
def test_what_is_not_as_it_was_made_touches_nothing(
    settings: Settings, tmp_path: Path, change: Callable[[Entries], Entries], said: str
) -> None:
    open_store(settings, NOW).close()
    file = tmp_path / "backup"
    backed_up(settings, file)
    edited(file, change)
    with pytest.raises(Invalid, match=said):
        restored(file, tmp_path / "new")
    assert [*(tmp_path / "new").iterdir()] == []
    assert not [*tmp_path.glob("*escaped*")]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"no archive", lambda _: b""])
def test_a_file_that_is_none_is_refused_in_a_sentence(
    settings: Settings, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    open_store(settings, NOW).close()
    file = tmp_path / "backup"
    backed_up(settings, file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(GateError, match="not a backup, or is incomplete"):
        restored(file, tmp_path / "new")
    assert [*(tmp_path / "new").iterdir()] == []
