"""Backups of devices, on loopback."""

from __future__ import annotations

import csv
import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from flows.examples.device_backup import MOST, SECRET, BackUpDevices
from flows.testing import JobRun, run_job
from tests.flows.examples.servers import certificate, serving

CONFIGURATION = b"hostname edge\n"
PASSWORD = "Bearer sesame"


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return certificate(tmp_path, days=90)


def back_up(*devices: str, tls: Path, secret: str | None = PASSWORD, **inputs: Any) -> JobRun:
    sent = {"devices": "\n".join(devices), "path": "/config", "ca_file": str(tls), "timeout": 5, **inputs}
    return run_job(BackUpDevices, sent, secrets={} if secret is None else {SECRET: secret})


def test_the_configuration_of_a_device_becomes_a_file_and_is_in_the_manifest(tls: Path) -> None:
    with serving({"/config": CONFIGURATION}, tls=tls, password=PASSWORD) as device:
        run = back_up(device.address, tls=tls, secret=f"{PASSWORD}\n")
    file = f"127.0.0.1-{device.port}.cfg"
    assert (run.status, run.result["backed up"], run.result["missing"]) == ("SUCCESS", [device.address], [])
    assert run.files[file] == CONFIGURATION
    [row] = csv.DictReader(io.StringIO(run.files["manifest.csv"].decode()))
    digest = sha256(CONFIGURATION).hexdigest()
    assert row == {"device": device.address, "file": file, "bytes": str(len(CONFIGURATION)), "sha256": digest}
    assert {*run.files} == {file, "manifest.csv"}


def test_a_device_that_fails_costs_no_other_one_its_backup_and_is_listed(tls: Path) -> None:
    with serving({"/config": CONFIGURATION}, tls=tls, password=PASSWORD) as device:
        run = back_up("127.0.0.1:1", device.address, "nowhere", tls=tls)
    assert run.status == "FAILURE"
    assert run.result == {"backed up": [device.address], "missing": ["127.0.0.1:1", "nowhere"], "dryrun": False}
    assert run.files["missing.txt"] == b"127.0.0.1:1\nnowhere"
    assert "Not backed up: 127.0.0.1:1, nowhere. To fetch these alone, run again with them." in run.messages
    assert run.files["manifest.csv"].count(b"\n") == 2


@pytest.mark.parametrize(
    ("files", "password", "fault"),
    [
        ({}, PASSWORD, "it answers with the status 404"),
        ({"/config": CONFIGURATION}, "Bearer other", "it answers with the status 401"),
        ({"/config": b"->/elsewhere", "/elsewhere": CONFIGURATION}, PASSWORD, "it answers with the status 302"),
        ({"/config": b""}, PASSWORD, "it answers with the status 200 and 0 bytes"),
        ({"/config": b"x" * (MOST + 1)}, PASSWORD, f"it answers with the status 200 and {MOST + 1} bytes"),
    ],
    ids=["no such path", "another credential", "elsewhere", "nothing", "too much"],
)
def test_what_is_no_configuration_is_kept_nowhere(
    tls: Path, files: dict[str, bytes], password: str, fault: str
) -> None:
    with serving(files, tls=tls, password=password) as device:
        run = back_up(device.address, tls=tls)
    assert fault in str(run.error)
    assert {*run.files} == {"missing.txt", "manifest.csv"}
    assert len(device.asked) == 1, "no redirect is followed"


def test_the_credential_is_sent_to_nobody_who_is_not_trusted(tls: Path, tmp_path: Path) -> None:
    with serving({"/config": CONFIGURATION}, tls=certificate(tmp_path, days=9)) as device:
        run = back_up(device.address, tls=tls)
    assert (device.asked, "self-signed certificate" in str(run.error)) == ([], True)


def test_nothing_is_sent_where_nobody_signs_in(tls: Path) -> None:
    with serving({"/config": CONFIGURATION}, tls=tls) as device:
        assert back_up(device.address, tls=tls, secret=None, sign_in=False).status == "SUCCESS"
    assert device.asked == [("/config", None)]


@pytest.mark.parametrize(
    ("secret", "ca_file", "fault"),
    [
        pytest.param(None, "", SECRET, id="no secret"),
        pytest.param("a\nb", "", "has characters that no header can have", id="a secret that cannot be sent"),
        pytest.param(PASSWORD, "/nowhere.pem", "/nowhere.pem", id="no authorities"),
    ],
)
def test_what_all_devices_need_is_seen_to_before_the_first_is_asked(
    tls: Path, secret: str | None, ca_file: str, fault: str
) -> None:
    with serving({"/config": CONFIGURATION}, tls=tls) as device:
        run = back_up(device.address, tls=tls, secret=secret, **({"ca_file": ca_file} if ca_file else {}))
    assert fault in str(run.error)
    assert run.files["missing.txt"].decode() == device.address
    assert device.asked == []


def test_a_dry_run_says_what_would_be_fetched_and_asks_nobody(tls: Path) -> None:
    with serving({"/config": CONFIGURATION}, tls=tls) as device:
        run = back_up(device.address, tls=tls, secret=None, dryrun=True)
        faulty = back_up(device.address, "nowhere", tls=tls, secret=None, dryrun=True)
    assert (run.status, run.messages) == ("SUCCESS", [f"Would fetch https://{device.address}/config"])
    assert run.result == {"backed up": [], "missing": [], "dryrun": True}
    assert str(faulty.error) == "nowhere: it is not host:port."
    assert (device.asked, {**run.files, **faulty.files}) == ([], {})
