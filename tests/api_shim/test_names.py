"""Our names beside others of the same name: what is imported, and what the start refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api_shim.names import FIRST, ROOT, THEIRS, OurNames, collision
from api_shim.settings import Settings

PROGRAM = """
import flows, flows.demo
from flows import Job, theirs
assert flows.__file__ == {ours!r}, flows.__file__
assert flows.demo.made is Job
print(theirs, flows.demo.beside)
"""


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"flows/__init__.py": "theirs = 1\nfrom .demo import beside\n"}, id="a package"),
        pytest.param({"flows.py": "theirs = 1\n"}, id="a module, and a folder"),
    ],
)
def test_a_new_interpreter_has_our_flows_and_theirs_beside(tmp_path: Path, files: dict[str, str]) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "demo.py").write_text("from flows import Job as made\nbeside = 2\n")
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    program = PROGRAM.format(ours=str(ROOT / "flows" / "__init__.py"))
    path = os.pathsep.join(map(str, (FIRST, tmp_path, ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path.parent,
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1 2\n", "")


def test_only_our_names_are_found_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flows.py").write_text("")
    (tmp_path / "approval_gate.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("flows", "approval_gate"):
        spec = OurNames.find_spec(name)
        assert spec is not None
        assert spec.origin == str(ROOT / name / "__init__.py")
    theirs = OurNames.find_spec(THEIRS)
    assert theirs is not None
    assert theirs.origin == str(tmp_path / "flows.py")
    assert OurNames.find_spec("jobs") is None
    assert OurNames.find_spec("flows.nothing") is None


@pytest.mark.parametrize(
    ("file", "told"),
    [
        pytest.param("flows.py", "", id="flows is shared"),
        pytest.param("flows/demo.py", "", id="a folder too"),
        pytest.param("flows/testing.py", "flows/testing.py cannot be imported, because", id="one of ours"),
        pytest.param("api_shim.py", "api_shim has the name of a package of signoff: rename it", id="a module"),
        pytest.param("approval_gate/__init__.py", "approval_gate has the name of a package of", id="a package"),
    ],
)
def test_the_start_refuses_what_cannot_be_imported_beside_ours(tmp_path: Path, file: str, told: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    found = collision([str(FIRST), str(tmp_path), str(ROOT)])
    assert found.startswith(f"{tmp_path}/{told}") if told else found == ""


def test_jobs_in_a_module_that_is_called_like_ours_are_imported_by_another_name() -> None:
    assert Settings(jobs="flows, jobs").job_modules == ["flows.flows", "jobs"]
