"""``signoff backup``, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from api_shim.cli.up import locked
from tests.api_shim.cli.conftest import Run


@pytest.mark.usefixtures("tables")
def test_a_server_is_backed_up_and_restored_elsewhere(signoff: Run, home: Path, tmp_path: Path) -> None:
    signoff("user", "add", "carol")
    file, new = tmp_path / "backup.tar.gz", tmp_path / "new"
    said = signoff("backup", "create", str(file))
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"Wrote {file}: audit.key, ")
    assert "The keys are in it" in said.out
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


@pytest.mark.usefixtures("tables")
def test_what_postgresql_has_is_told_without_a_password(
    signoff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://me:secret@db/prefect")
    said = signoff("backup", "create", str(tmp_path / "backup")).out
    assert "pg_dump --format=custom --file=prefect.dump postgresql://me@db/prefect" in said
    assert "secret" not in said
