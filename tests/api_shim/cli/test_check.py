"""``signoff check``: what it tells of modules of Jobs, and what it rewrites."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import registry
from tests.api_shim.cli.conftest import Run, Told

JOBS = """
from prefect import flow

from {module} import Job, ObjectVar, StringVar, register_jobs
from flows import register_flows


class Good(Job):
    text = StringVar()

    def run(self, text):
        return text


class Bad(Job):
    device = ObjectVar(model="Device")

    def run(self, device):
        return device


@flow
def nightly(day: int = 1):
    return day


register_jobs(Good, Bad)
register_flows(nightly, approval_required=True)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a module ``checked`` can be imported from; the end of the test forgets it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.setattr(registry, "_REFUSED", {})
    monkeypatch.setattr(registry, "_REGISTERING", set())
    monkeypatch.delenv("SIGNOFF_TOKEN", raising=False)
    yield tmp_path
    sys.modules.pop("checked", None)


def test_tells_what_is_registered_and_what_is_refused(signoff: Run, folder: Path) -> None:
    (folder / "checked.py").write_text(JOBS.format(module="flows"))
    told = signoff("check", "checked.py")
    assert told.status == 1
    table, refused = told.out.split("refused: ")
    assert [line.split()[:2] for line in table.splitlines()][1:] == [
        ["Good", "checked.Good"],
        ["nightly", "checked.nightly"],
    ]
    sentence = (
        "checked.Bad.device: ObjectVar has no option model. There is no inventory here: name a source of the objects."
    )
    assert refused == f"{folder}/checked.py:16: {sentence}\n2 Jobs, 1 refused.\n"
    rows = signoff("check", "checked", "--json").json
    assert [row.get("name") for row in rows] == ["Good", "nightly", None]
    assert rows[2] == {"refused": sentence, "file": f"{folder}/checked.py", "line": 16}


def test_a_module_of_nautobot_is_told_what_to_write_and_is_rewritten(signoff: Run, folder: Path) -> None:
    module = folder / "checked.py"
    module.write_text(JOBS.format(module="nautobot.apps.jobs"))
    told = signoff("check", "checked")
    expected = "Write from flows import Job, ObjectVar, StringVar, register_jobs."
    assert told.out == f"refused: {module}:4: {expected}\n0 Jobs, 1 refused.\n"
    told = signoff("check", "checked", "--fix-imports")
    assert told.out.startswith(f"{module}: imports from flows now.\n")
    assert told.out.endswith("2 Jobs, 1 refused.\n")
    assert module.read_text() == JOBS.format(module="flows")


def test_deployments_that_go_round_the_gate_are_told(signoff: Run, folder: Path, server: Told) -> None:
    (folder / "checked.py").write_text(JOBS.format(module="flows").replace("(Good, Bad)", "(Good)"))
    flow = {"id": "1", "name": "nightly"}
    server.bodies = [
        [flow, {"id": "2", "name": "other"}],
        [
            {"flow_id": "1", "name": "default", "entrypoint": "flows.prefect_flow.checked-nightly"},
            {"flow_id": "1", "name": "old", "entrypoint": "checked.py:nightly"},
            {"flow_id": "2", "name": "old", "entrypoint": "checked.py:other"},
        ],
    ]
    told = signoff("check", "checked", "--url", server.url)
    assert told.status == 0
    assert [line for line in told.out.splitlines() if line.startswith("warning")] == [
        "warning: The deployment nightly/old runs checked.py:nightly without asking anybody; checked.nightly is the "
        "Job of that flow. Delete the deployment, or its schedules."
    ]
    assert [path for _method, path, _body in server.asked] == ["/api/flows/filter", "/api/deployments/filter"]
