"""What runs find in their environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import Settings

from api_shim.settings import Settings as Ours
from api_shim.worker.environment import for_a_worker, for_runs, is_servers_own

HOME = "/srv/signoff"
URL = "postgresql://signoff:hunter%212@db/signoff"


@pytest.mark.parametrize(
    ("name", "value", "passed"),
    [
        pytest.param("SIGNOFF_HOME", HOME, False, id="the home folder"),
        pytest.param("SIGNOFF_DATABASE_URL", URL, False, id="the address of our database"),
        pytest.param("SIGNOFF_TOKEN", "signoff_x", False, id="somebody's key"),
        pytest.param("SIGNOFF_AUDIT_KEY_FILE", "/etc/key", False, id="where the audit's key is"),
        pytest.param("SIGNOFF_WHAT_IS_NEW", "1", False, id="a setting of ours that nobody has thought of"),
        pytest.param("SIGNOFF_URL", "http://127.0.0.1:4200", True, id="where the server is"),
        pytest.param("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite://", False, id="the address of Prefect's database"),
        pytest.param("PREFECT_SERVER_DATABASE_PASSWORD", "x", False, id="its password"),
        pytest.param("PREFECT_SERVER_API_AUTH_STRING", "a:b", False, id="Prefect's one account"),
        pytest.param("PREFECT_HOME", f"{HOME}/prefect", False, id="Prefect's folder, in the home folder"),
        pytest.param("PREFECT_HOME", "/home/ann/.prefect", True, id="Prefect's folder, elsewhere"),
        pytest.param("PREFECT_API_URL", "http://127.0.0.1:4200/api", True, id="where Prefect is"),
        pytest.param("PREFECT_LOGGING_LEVEL", "DEBUG", True, id="what Prefect's client does"),
        pytest.param("BACKUP_OF", f"/etc:{HOME}", False, id="the home folder under another name"),
        pytest.param("BESIDE", f"{HOME}-jobs/data", True, id="a folder beside the home folder"),
        pytest.param("DATABASE_URL", URL, False, id="the database under another name"),
        pytest.param("ARGUMENTS", f"--url={URL}", False, id="the database within something else"),
        pytest.param("POSTGRES_PASSWORD", "hunter!2", False, id="the database's password under another name"),
        pytest.param("POSTGRES_USER", "signoff", True, id="a name is no secret"),
        pytest.param("PATH", f"{HOME}/venv/bin:/bin", True, id="where programs are, whatever it says"),
        pytest.param("AWS_SECRET_ACCESS_KEY", "theirs", True, id="a secret that the Jobs are given"),
        pytest.param("PGPASSWORD", "theirs", True, id="the password of a database of the Jobs"),
    ],
)
def test_what_runs_find(name: str, value: str, passed: bool) -> None:
    environment = {"SIGNOFF_DATABASE_URL": URL, "SIGNOFF_HOME": HOME, name: value}
    found = for_runs(environment, HOME)
    assert found == ({name: value} if passed else {})


def test_the_worker_of_a_server_does_not_have_what_the_server_opens_its_database_with_either() -> None:
    environment = {"PGPASSWORD": "secret", "CREDENTIALS_DIRECTORY": "/run/credentials", "LANG": "C.UTF-8"}
    assert for_a_worker(environment, HOME) == {"LANG": "C.UTF-8"}


def test_a_home_is_found_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    for spelled in (tmp_path / "link", tmp_path / "real"):
        assert for_runs({"WHERE": str(spelled / "signoff.db")}, "link") == {}
    assert for_runs({"WHERE": "/anywhere"}, "") == {"WHERE": "/anywhere"}


def secrets(model: Any, *path: str) -> Iterator[str]:
    """Yield the variables that hold a secret of Prefect's, under their new and their old names."""
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from secrets(field.annotation, *path, name)
        elif "SecretStr" in str(field.annotation):
            yield "_".join(("PREFECT", *path, name)).upper()
            aliases = map(str, getattr(field.validation_alias, "choices", []))
            yield from (alias.upper() for alias in aliases if alias.startswith("prefect_"))


def test_every_secret_of_prefects_server_is_left_out() -> None:
    names = {*secrets(Settings)}
    assert {"PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"} <= names
    # Those of clients stay.
    assert {name for name in names if not is_servers_own(name)} == {"PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"}


def test_every_setting_of_the_server_is_left_out() -> None:
    assert all(is_servers_own(f"SIGNOFF_{name.upper()}") for name in Ours.model_fields)
