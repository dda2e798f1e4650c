"""``signoff backup``, as it is typed."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from pathlib import Path

import pytest

from api_shim.cli.up import locked
from api_shim.store import snapshot
from tests.api_shim.cli.conftest import Run


@pytest.mark.usefixtures("tables")
def test_a_server_is_backed_up_and_restored_elsewhere(signoff: Run, home: Path, tmp_path: Path) -> None:
    signoff("user", "add", "carol")
    file, new = tmp_path / "backup.tar.gz", tmp_path / "new"
    said = signoff("backup", "create", str(file))
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"Wrote {file}: audit.key, ")
    assert "It contains the keys" in said.out
    told = signoff("backup", "restore", str(file), "--home", str(new)).out
    assert told.startswith(f"Restored to {new} what was backed up at ")
    assert "carol" in signoff("user", "list", "--home", str(new)).out
    assert "Restored from the backup of " in signoff("audit", "verify", "--home", str(new)).out


@pytest.mark.usefixtures("tables")
def test_a_restore_does_not_begin_under_a_running_server(signoff: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    signoff("user", "list")
    signoff("backup", "create", str(file))
    with locked(home):
        assert "already running" in signoff("backup", "restore", str(file), "--force").refusal


def test_where_nothing_is_there_is_nothing_to_back_up(signoff: Run, home: Path, tmp_path: Path) -> None:
    assert "There is no store" in signoff("backup", "create", str(tmp_path / "backup")).refusal
    assert not home.exists()


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        pytest.param(
            {"API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://me:secret@db/prefect"},
            "postgresql://me@db/prefect",
            id="an address",
        ),
        pytest.param(
            {
                "SERVER_DATABASE_DRIVER": "postgresql+asyncpg",
                "SERVER_DATABASE_HOST": "db",
                "SERVER_DATABASE_USER": "me",
                "SERVER_DATABASE_NAME": "prefect",
                "SERVER_DATABASE_PASSWORD": "secret",
            },
            "postgresql://me@db:5432/prefect",
            id="its parts",
        ),
    ],
)
@pytest.mark.usefixtures("tables")
def test_what_postgresql_has_is_told_without_a_password(
    signoff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], address: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"PREFECT_{name}", value)
    said = signoff("backup", "create", str(tmp_path / "backup")).out
    assert f"pg_dump --format=custom --file=prefect.dump {address}" in said
    assert "secret" not in said


@pytest.mark.usefixtures("tables")
def test_what_cannot_be_backed_up_is_not_left_out_in_silence(
    signoff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{tmp_path}/other.db")
    said = signoff("backup", "create", str(tmp_path / "backup")).refusal
    assert said == f"Prefect's database, {tmp_path}/other.db, is not there, or cannot be backed up."
    assert not (tmp_path / "backup").exists()


@pytest.mark.usefixtures("tables")
def test_what_others_run_they_back_up(signoff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PREFECT", "external")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{tmp_path}/other.db")
    assert "signoff.db" in signoff("backup", "create", str(tmp_path / "backup")).out


@pytest.mark.usefixtures("tables")
def test_a_restore_by_force_says_where_it_moved_what_was_there(signoff: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    signoff("user", "list")
    signoff("backup", "create", str(file))
    said = signoff("backup", "restore", str(file), "--force").out
    [moved] = home.glob("replaced-*")
    assert f"What was there before is in {moved}, with its keys.\n" in said


def test_a_restore_without_the_store_says_what_is_left_to_do(
    signoff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.tar.gz"
    content = b'{"format": 1, "made": "2030", "versions": {}, "parts": []}'
    with tarfile.open(file, "w:gz") as archive:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    monkeypatch.setenv("SIGNOFF_DATABASE_URL", "postgresql://db/signoff")
    assert "DELETE FROM sessions" in signoff("backup", "restore", str(file)).out


@pytest.mark.usefixtures("tables")
def test_sigterm_leaves_no_copy_of_the_keys(signoff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signoff("user", "list")
    folder = tmp_path / "backups"
    folder.mkdir()

    def terminated(*_: object) -> None:
        assert [*folder.iterdir()], "the copies are made there"
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(snapshot, "copy", terminated)
    assert signoff("backup", "create", str(folder / "backup")).status != 0
    assert [*folder.iterdir()] == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
