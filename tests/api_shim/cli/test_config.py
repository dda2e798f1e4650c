"""``signoff config``: every setting with its value and where that came from, and no secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from api_shim.client.transport import Environment
from api_shim.prefect_api.prefect_profile import told_to_prefect
from api_shim.settings import Settings
from tests.api_shim.cli.conftest import Run

SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SIGNOFF_", "PREFECT_"))]:
        monkeypatch.delenv(name)


class Profile:
    """What the user's Prefect profile says."""

    name = "laptop"

    def to_environment_variables(self) -> Mapping[str, str]:
        return {"PREFECT_API_URL": "http://profile/api", "PREFECT_LOGGING_LEVEL": "DEBUG"}


@pytest.fixture(autouse=True)
def _with_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefect.context.get_settings_context", lambda: SimpleNamespace(profile=Profile()))


def told(signoff: Run, *args: str) -> dict[str, tuple[str, str]]:
    return {row["setting"]: (row["value"], row["from"]) for row in signoff("config", "--json", *args).json}


def test_every_setting_of_ours_is_shown_with_where_it_came_from(
    signoff: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGNOFF_POOL", "ours")
    shown = told(signoff, "--home", str(tmp_path))
    ours = {f"SIGNOFF_{name.upper()}" for name in {**Settings.model_fields, **Environment.model_fields}}
    assert ours == {name for name in shown if name.startswith("SIGNOFF_")}
    assert shown["SIGNOFF_POOL"] == ("ours", "environment")
    assert shown["SIGNOFF_HOME"] == (str(tmp_path), "command line")
    assert shown["SIGNOFF_JOBS"] == ("flows.examples", "default")
    assert shown["SIGNOFF_DATABASE_URL"] == ("", "default")


def test_a_home_of_the_environment_was_not_typed(signoff: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path))
    assert told(signoff)["SIGNOFF_HOME"] == (str(tmp_path), "environment")


def test_secrets_are_hidden_wherever_they_are(signoff: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"postgresql://u:{SECRET}@db/x\n")
    (tmp_path / "other").write_text(f"{SECRET}\n")
    hidden = {
        "SIGNOFF_TOKEN": SECRET,
        "PREFECT_API_AUTH_STRING": f"worker:{SECRET}",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql://u:{SECRET}@db/x",
        "PREFECT_CLIENT_CUSTOM_HEADERS": f'{{"X": "{SECRET}"}}',
        "PREFECT_UI_URL": f"http://u:{SECRET}@ui/",
        "PREFECT_SERVER_DOCKET_URL": f"redis://:pa/{SECRET}@redis/0",
        "PREFECT_REDIS_MESSAGING_URL": f"redis://redis/0?password={SECRET}",
        "SIGNOFF_URL": f"http://u:{SECRET}@here",
    }
    for name, value in hidden.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SIGNOFF_DATABASE_URL_FILE", str(tmp_path / "url"))
    shown = told(signoff)
    assert {name: shown[name] for name in hidden} == dict.fromkeys(hidden, ("(hidden)", "environment"))
    assert shown["SIGNOFF_DATABASE_URL"] == ("(hidden)", "file")
    assert shown["SIGNOFF_DATABASE_URL_FILE"] == (str(tmp_path / "url"), "environment")
    assert SECRET not in signoff("config").out


def test_of_prefects_settings_those_that_somebody_has_set_are_shown(
    signoff: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://here/api")
    shown = told(signoff)
    assert shown["PREFECT_API_URL"] == ("http://here/api", "environment")
    assert shown["PREFECT_LOGGING_LEVEL"] == ("DEBUG", "Prefect profile laptop")
    assert next(told_to_prefect({"PREFECT_API_URL": ""})) == (
        "PREFECT_API_URL",
        "http://profile/api",
        "Prefect profile laptop",
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("LOG_FORMAT", "xml", "SIGNOFF_LOG_FORMAT: Input should be 'console' or 'json'.", id="a choice"),
        pytest.param(
            "DATABASE_URL_FILE",
            "/nowhere/url",
            "SIGNOFF_DATABASE_URL_FILE: /nowhere/url cannot be read: No such file or directory.",
            id="a file that is not there",
        ),
        pytest.param(
            "TOKEN_FILE",
            os.devnull,
            f"SIGNOFF_TOKEN_FILE: {os.devnull} is empty.",
            id="an empty file",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    signoff: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"SIGNOFF_{name}", value)
    assert signoff("config").refusal == said


@pytest.mark.parametrize("name", ["DATABASE_URL", "TOKEN"])
def test_a_secret_that_is_told_twice_is_refused_and_not_repeated(
    signoff: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text(SECRET)
    monkeypatch.setenv(f"SIGNOFF_{name}", SECRET)
    monkeypatch.setenv(f"SIGNOFF_{name}_FILE", str(tmp_path / "file"))
    printed = signoff("config")
    assert printed.refusal == f"Set either SIGNOFF_{name} or SIGNOFF_{name}_FILE, not both."
