"""What a process of the Jobs' user says; that a real one says so is tested with the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from api_shim.worker import jobs_probe
from api_shim.worker.jobs_probe import complaints

NONE = {"CapPrm": 0, "CapEff": 0, "CapAmb": 0}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is as it must be, for somebody who can read everything and change nothing but their folder."""
    folder = tmp_path / "worker" / "run"
    folder.mkdir(parents=True)
    monkeypatch.setattr(jobs_probe, "capabilities", lambda: NONE)
    real = os.access

    def access(path: Any, how: int) -> bool:
        if Path(path) == folder:
            return real(path, how)
        return how == os.R_OK and real(path, how) and not str(path).startswith(str(tmp_path / "home"))

    monkeypatch.setattr(os, "access", access)
    return {"modules": ["flows.examples"], "folder": str(folder), "keep from": [str(tmp_path / "home")]}


def test_nothing_is_said_when_all_is_as_it_must_be(told: dict[str, Any]) -> None:
    assert [*complaints(told)] == []


def test_rights_that_are_left_are_told(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_probe, "capabilities", lambda: NONE | {"CapAmb": 1})
    assert [*complaints(told)] == ["would keep rights of root"]


def test_a_module_that_is_not_there_or_cannot_be_imported_is_told_as_what_it_is(told: dict[str, Any]) -> None:
    told["modules"] = ["nowhere", "nowhere.at.all"]
    assert [*complaints(told)] == ["cannot read the module nowhere; make its folder readable for them"]


def test_a_folder_that_runs_cannot_work_in_is_told(told: dict[str, Any], tmp_path: Path) -> None:
    told["folder"] = str(tmp_path / "nowhere" / "run")
    assert [*complaints(told)] == [f"cannot write to temporary folders in {tmp_path}; set TMPDIR"]
