"""The settings: what the environment says, and the folder that everything is kept in."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from api_shim.settings import LIMITS, AgentsNeedApproval, Settings, private_files, read_settings
from approval_gate.errors import Invalid, Unavailable


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "JOBS", "ORIGIN", "POOL", "AUDIT_KEY_FILE"):
        monkeypatch.delenv(f"SIGNOFF_{name}", raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_an_environment_everything_is_in_the_users_own_folder() -> None:
    settings = Settings()
    assert settings.home == Path.home() / ".signoff"
    assert settings.store_url == f"sqlite:///{Path.home()}/.signoff/signoff.db"
    assert settings.job_modules == ["flows.examples"]
    assert settings.pool == "signoff"


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", "/srv/signoff")
    monkeypatch.setenv("SIGNOFF_DATABASE_URL", "postgresql://u:hunter2@db/signoff")
    monkeypatch.setenv("SIGNOFF_JOBS", " ours.jobs, flows.examples ,,")
    monkeypatch.setenv("SIGNOFF_ORIGIN", "https://signoff.example")
    monkeypatch.setenv("SIGNOFF_POOL", "ours")
    settings = Settings()
    assert (settings.home, settings.pool) == (Path("/srv/signoff"), "ours")
    assert settings.origin == "https://signoff.example"
    assert settings.store_url == "postgresql://u:hunter2@db/signoff"
    assert settings.job_modules == ["ours.jobs", "flows.examples"]
    assert "hunter2" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("jobs", AgentsNeedApproval.JOBS),
        ('{"grouping": "Network"}', {"grouping": "Network"}),
        ('[{"name": "A"}, {"name": "B"}]', [{"name": "A"}, {"name": "B"}]),
    ],
)
def test_what_agents_need_approval_for_is_a_word_or_names_jobs(
    monkeypatch: pytest.MonkeyPatch, told: str, meant: object
) -> None:
    monkeypatch.setenv("SIGNOFF_AGENTS_NEED_APPROVAL", told)
    assert Settings().limits.agents_need_approval == meant


@pytest.mark.parametrize("name", ["SIGNOFF_AGENTS_NEED_APPROVAL", "SIGNOFF_MCP_JOB_TOOLS"])
def test_constraints_that_are_no_json_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "network")
    with pytest.raises(Invalid, match=f"{name}: .*like"):
        read_settings()


def test_limits_are_what_the_environment_says_or_else_generous(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().limits == LIMITS
    monkeypatch.setenv("SIGNOFF_ACCOUNT_WRITES", "0")
    monkeypatch.setenv("SIGNOFF_WAITING_REQUESTS", "7")
    assert Settings().limits == replace(LIMITS, account_writes=0, waiting_requests=7)
    monkeypatch.setenv("SIGNOFF_PAGE_SIZE", "49")
    with pytest.raises(Invalid, match="SIGNOFF_PAGE_SIZE: Input should be greater than or equal to 50"):
        read_settings()


OIDC = {"ISSUER": "https://login.example.com/realm", "CLIENT_ID": "signoff", "CLIENT_SECRET": "hunter2"}


def test_an_identity_provider_is_told_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().provider is None
    for name, value in OIDC.items():
        monkeypatch.setenv(f"SIGNOFF_OIDC_{name}", value)
    monkeypatch.setenv("SIGNOFF_OIDC_GROUPS", '{"cn=ops,dc=example": "Network operators"}')
    monkeypatch.setenv("SIGNOFF_LOCAL_PASSWORDS", "false")
    monkeypatch.setenv("SIGNOFF_SESSION_HOURS", "0.5")
    told = read_settings().provider
    assert told is not None
    assert (told.issuer, told.name, told.client_secret) == (OIDC["ISSUER"], "login.example.com", "hunter2")
    assert "hunter2" not in f"{told!r} {read_settings()!r}"
    rules = read_settings().sign_in_rules
    assert (rules.groups, rules.passwords) == ({"cn=ops,dc=example": "Network operators"}, False)
    assert rules.longest == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("ISSUER", "http://login.example.com", "must begin with https", id="unencrypted"),
        pytest.param("ISSUER", "login.example.com", "the address of a provider", id="no address"),
        pytest.param("ISSUER", "https://login.example.com/?x=1", "the address of a provider", id="with a query"),
        pytest.param("CLIENT_ID", "", "needs SIGNOFF_OIDC_CLIENT_ID", id="nobody"),
        pytest.param("SCOPES", "profile", "must have openid", id="without openid"),
        pytest.param("GROUPS", "ops=Network", 'It is JSON, like {"network": "Network operators"}.', id="no JSON"),
        pytest.param("GROUPS", "[1]", "SIGNOFF_OIDC_GROUPS: Input should be a valid dictionary", id="no object"),
        pytest.param("GROUPS", '{"a": 1}', "SIGNOFF_OIDC_GROUPS: Input should be a valid string", id="no names"),
    ],
)
def test_an_identity_provider_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    for each, usual in {**OIDC, name: value}.items():
        monkeypatch.setenv(f"SIGNOFF_OIDC_{each}", usual)
    with pytest.raises(Invalid) as refused:
        read_settings()
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_has_ended_is_kept_unless_the_environment_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().retention is None
    monkeypatch.setenv("SIGNOFF_RETENTION_DAYS", "90")
    assert Settings().retention == timedelta(days=90)


def test_what_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "JOBS", "ORIGIN", "POOL"):
        monkeypatch.setenv(f"SIGNOFF_{name}", "")
    assert Settings() == Settings(home=Path.home() / ".signoff", database_url=None, jobs="flows.examples")


@pytest.mark.parametrize("there", [True, False])
def test_the_home_is_made_for_its_owner_alone(tmp_path: Path, there: bool) -> None:
    home = tmp_path / "a" / "home"
    if there:
        home.mkdir(parents=True, mode=0o755)
    assert Settings(home=home).make_home() == home
    assert mode(home) == 0o700


def test_a_home_that_was_open_is_closed_with_what_is_in_it_and_told(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "prefect").mkdir(parents=True)
    for path in (home / "signoff.db", home / "prefect" / "prefect.db", outside):
        path.touch(mode=0o644)
        path.chmod(0o644)
    (home / "link").symlink_to(outside)
    for folder in (home, home / "prefect"):
        folder.chmod(0o755)
    settings = Settings(home=home)
    assert settings.close_home()
    assert {mode(path) for path in (home, home / "prefect")} == {0o700}
    assert {mode(path) for path in (home / "signoff.db", home / "prefect" / "prefect.db")} == {0o600}
    assert mode(outside) == 0o644
    assert not settings.close_home()


def test_a_home_that_is_made_was_never_open(tmp_path: Path) -> None:
    assert not Settings(home=tmp_path / "home").close_home()


def test_files_are_made_for_their_owner_alone_for_a_while(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with private_files() as umask:
            (tmp_path / "private").touch()
        (tmp_path / "open").touch()
    finally:
        os.umask(before)
    assert umask == 0o022
    assert (mode(tmp_path / "private"), mode(tmp_path / "open")) == (0o600, 0o644)


def test_what_jobs_of_another_user_must_not_use_is_the_home_the_key_and_the_database(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).kept_from_jobs == [tmp_path, tmp_path / "signoff.db"]
    named = Settings(home=tmp_path, audit_key_file=Path("/etc/key"), database_url=SecretStr("postgresql://u:p@db/x"))
    assert named.kept_from_jobs == [tmp_path, Path("/etc/key")]


def test_a_folder_that_everybody_uses_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(Unavailable, match="Choose another with --home"):
        Settings(home=tmp_path).make_home()
    assert mode(tmp_path) == 0o1777
    tmp_path.chmod(0o700)


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(Unavailable, match=f"The home folder {home} cannot be used: "):
            Settings(home=home).make_home()


def test_the_workers_key_stays_the_same_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    key = settings.worker_key()
    assert key.startswith("signoff_")
    assert settings.worker_key() == key
    assert mode(tmp_path / "worker.key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["worker.key"]
    assert key not in repr(settings)
    assert settings.local_key() != key, "programs of this machine have one of their own"
    assert mode(tmp_path / "local.key") == 0o600


def test_each_home_has_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert Settings(home=tmp_path).worker_key() != Settings(home=tmp_path / "other").worker_key()


def test_an_empty_key_that_a_crash_has_left_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "worker.key").touch()
    (tmp_path / "worker.key.new").write_text("half")
    assert Settings(home=tmp_path).worker_key().startswith("signoff_")
    assert mode(tmp_path / "worker.key") == 0o600


def test_a_key_that_cannot_be_kept_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "worker.key").mkdir()
    with pytest.raises(Unavailable, match=r"worker\.key cannot be used: "):
        Settings(home=tmp_path).worker_key()


# The audit's key


def test_the_audits_key_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(Unavailable, match=r"audit\.key is not there"):
        settings.audit_key()
    with ThreadPoolExecutor(4) as pool:
        made = {*pool.map(lambda _: settings.audit_key(make=True), range(8))}
    assert made == {settings.audit_key()}
    assert len(settings.audit_key()) == 32
    assert mode(tmp_path / "audit.key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["audit.key"]


def test_a_key_that_a_setting_names_is_read_and_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_AUDIT_KEY_FILE", str(named := tmp_path / "elsewhere.key"))
    settings = Settings(home=tmp_path)
    with pytest.raises(Unavailable, match=r"elsewhere\.key is not there"):
        settings.audit_key(make=True)
    named.write_text(f"{'0f' * 32}\n")
    named.chmod(0o440)
    assert settings.audit_key(make=True) == b"\x0f" * 32
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere.key"]


@pytest.mark.parametrize("bits", [0o604, 0o602, 0o620])
def test_a_key_that_others_can_read_or_replace_is_refused(tmp_path: Path, bits: int) -> None:
    settings = Settings(home=tmp_path)
    settings.audit_key(make=True)
    (tmp_path / "audit.key").chmod(bits)
    with pytest.raises(Unavailable, match="is open to other users: chmod 600"):
        settings.audit_key()


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "x" * 64, "é" * 32, f"{'0' * 32} {'0' * 32}"])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.key").write_text(text)
    (tmp_path / "audit.key").chmod(0o600)
    with pytest.raises(Unavailable) as refused:
        Settings(home=tmp_path).audit_key(make=True)
    assert str(refused.value) == f"The audit's key {tmp_path / 'audit.key'} is not one: it needs 64 hexadecimal digits."


def test_the_address_of_the_database_can_be_in_a_file_which_jobs_must_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:hunter2@db/signoff\n")
    monkeypatch.setenv("SIGNOFF_DATABASE_URL_FILE", str(file))
    settings = read_settings(tmp_path)
    assert settings.store_url == "postgresql://u:hunter2@db/signoff"
    assert settings.kept_from_jobs == [tmp_path, file]
    assert "hunter2" not in f"{settings!r} {settings}"


def test_what_is_left_on_the_disk_is_told_of_where_data_is(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).free_disk() > 0
    with pytest.raises(OSError, match="nowhere"):
        Settings(home=tmp_path, database_url=SecretStr("sqlite:////nowhere/signoff.db")).free_disk()
