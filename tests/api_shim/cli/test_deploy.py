"""``signoff deploy``: what it prints is valid, has no secret, and starts commands and tells settings that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import prefect_redis.client
import pytest
import typer.main
import yaml
from prefect.settings.legacy import _get_settings_fields
from prefect.settings.models.root import Settings as PrefectSettings

from api_shim.cli import app
from api_shim.cli.deploy import Role
from tests.api_shim.cli.conftest import Run

ORIGIN = "https://signoff.example.com"
SAID = ("--image", "jobs:1", "--origin", ORIGIN, "--pool", "the pool")
OTHERS = "https://prefect.example.com/api"
PREFECTS = [pytest.param((), id="Prefect is ours"), pytest.param(("--prefect-url", OTHERS), id="others run Prefect")]
KUBERNETES = "1.33"
PROBES = {"startupProbe": "healthz", "livenessProbe": "healthz", "readinessProbe": "readyz"}
SECRET = re.compile(r"(PASSWORD|AUTH\w*|_URL|KEY)$(?<!_FILE)")
"""In the name of a variable that may have a secret; one that ends in _FILE says where it is."""


@pytest.fixture(params=PREFECTS)
def prefect(request: pytest.FixtureRequest) -> tuple[str, ...]:
    told: tuple[str, ...] = request.param
    return told


@pytest.fixture
def addresses(prefect: tuple[str, ...]) -> set[tuple[str, str]]:
    """What looks like a secret by its name, and is none."""
    ours = {("PREFECT_API_URL", f"{ORIGIN}/api")}
    others = {("PREFECT_API_URL", OTHERS)} if prefect else set()
    return ours | others


@pytest.fixture
def manifests(signoff: Run, prefect: tuple[str, ...]) -> list[dict[str, Any]]:
    return [*yaml.safe_load_all(signoff("deploy", "kubernetes", *SAID, *prefect).out)]


@pytest.fixture
def composed(signoff: Run, prefect: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(signoff("deploy", "compose", *SAID, *prefect).out)
    return made


def containers(manifests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in manifests:
        yield from each["spec"]["template"]["spec"]["containers"] if "template" in each.get("spec", {}) else ()


def check_command(words: list[str]) -> str:
    """Return which command of signoff this is; options that it does not have are an error."""
    assert words[0].rpartition("/")[2] == "signoff"
    group = typer.main.get_command(app)
    command = group.commands[words[1]]  # type: ignore[attr-defined]  # it is a group
    command.make_context(words[1], words[2:]).close()
    return words[1]


def check_names(names: set[str], signoff: Run) -> None:
    """Hold the variables of an environment to those that are read."""
    ours = {row["setting"] for row in signoff("config", "--json").json}
    redis = {
        f"PREFECT_REDIS_MESSAGING_{name.upper()}" for name in prefect_redis.client.RedisMessagingSettings.model_fields
    }
    prefects = {*_get_settings_fields(PrefectSettings), "PREFECT_MESSAGING_BROKER", "PREFECT_MESSAGING_CACHE"} | redis
    prefects.add("PREFECT_API_AUTH_STRING_FILE")  # read by us, for a Prefect server that others run
    assert {name for name in names if name.startswith("SIGNOFF_")} <= ours
    assert {name for name in names if name.startswith("PREFECT_")} <= prefects


def test_kubernetes_takes_the_manifests(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_what_runs_in_kubernetes_is_signoffs_own_and_is_probed(manifests: list[dict[str, Any]], signoff: Run) -> None:
    ours = [each for each in containers(manifests) if each["image"] == "jobs:1"]
    assert [check_command(each["command"]) for each in ours] == ["server", "services", "worker"]
    assert ours[2]["command"][-1] == "the pool"
    for each in ours[:2]:
        assert {name: each[name]["httpGet"]["path"] for name in PROBES} == {
            name: f"/signoff/{path}" for name, path in PROBES.items()
        }
    check_names({variable["name"] for each in ours for variable in each["env"]}, signoff)


def test_no_secret_is_in_a_manifest(manifests: list[dict[str, Any]], addresses: set[tuple[str, str]]) -> None:
    told = {(each["name"], str(each.get("value"))) for found in containers(manifests) for each in found["env"]}
    assert {(name, value) for name, value in told if SECRET.search(name) and value != "None"} == addresses


def test_compose_runs_the_same_and_waits_until_it_is_ready(composed: dict[str, Any], signoff: Run) -> None:
    ours = {name: each for name, each in composed["services"].items() if each["image"] == "jobs:1"}
    assert {name: check_command(each["command"]) for name, each in ours.items()} == {
        name: name for name in ("server", "services", "worker")
    }
    for name in ("server", "services"):
        assert "/signoff/readyz" in ours[name]["healthcheck"]["test"][-1]
    check_names({name for each in ours.values() for name in each["environment"]}, signoff)


def test_compose_has_secrets_in_files_alone_and_names_only_what_it_has(
    composed: dict[str, Any], addresses: set[tuple[str, str]]
) -> None:
    used = [each.get("secrets", []) for each in composed["services"].values()]
    assert {name for names in used for name in names} == {*composed["secrets"]}
    assert all(each["file"].startswith("secrets/") for each in composed["secrets"].values())
    mounted = [
        each.partition(":")[0] for service in composed["services"].values() for each in service.get("volumes", [])
    ]
    assert sorted(mounted) == sorted(composed["volumes"])
    assert {name for each in composed["services"].values() for name in each.get("depends_on", {})} <= {
        *composed["services"]
    }
    told = {item for each in composed["services"].values() for item in each.get("environment", {}).items()}
    assert {(name, value) for name, value in told if SECRET.search(name)} == addresses


def test_what_others_run_is_not_started_and_is_found_by_our_own_processes(signoff: Run) -> None:
    composed = yaml.safe_load(signoff("deploy", "compose", *SAID, "--prefect-url", OTHERS).out)
    assert {*composed["services"]} == {"postgres", "server", "services", "worker"}
    assert "configs" not in composed
    for name in ("server", "services"):
        told = composed["services"][name]["environment"]
        assert (told["SIGNOFF_PREFECT"], told["PREFECT_API_URL"]) == ("external", OTHERS)
        assert told["PREFECT_API_AUTH_STRING_FILE"] == "/run/secrets/prefect"
        assert "prefect" in composed["services"][name]["secrets"]
    assert composed["services"]["worker"]["environment"]["PREFECT_API_URL"] == f"{ORIGIN}/api"


@pytest.mark.parametrize("part", Role)
def test_systemd_takes_the_units(signoff: Run, part: Role, prefect: tuple[str, ...], tmp_path: Path) -> None:
    unit = tmp_path / "signoff.service"
    unit.write_text(signoff("deploy", "systemd", part, "--origin", ORIGIN, *prefect).out)
    lines = [line.partition("=")[::2] for line in unit.read_text().splitlines() if line[:1].isalpha()]
    (command,) = (shlex.split(value) for name, value in lines if name == "ExecStart")
    assert check_command(command) == part
    check_names({value.strip('"').partition("=")[0] for name, value in lines if name == "Environment"}, signoff)
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        pytest.param({}, "Use --origin to say which origin", id="no origin"),
        pytest.param({"--origin": "nowhere"}, "'nowhere' is not like https://", id="what is none"),
        pytest.param(
            {"--origin": ORIGIN, "--prefect-url": "http://prefect.example.com/api"},
            "PREFECT_API_URL needs https",
            id="what others could read on its way",
        ),
        pytest.param({"--origin": ORIGIN, "--pool": "a: $b"}, "This pool cannot be written", id="a pool with a sign"),
    ],
)
def test_what_cannot_be_said_so_is_refused(
    signoff: Run, said: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGNOFF_ORIGIN", raising=False)
    words = [word for option in said.items() for word in option]
    assert why in signoff("deploy", "compose", "--image", "jobs:1", *words).refusal
