"""pynautobot, the client that people already use, as it is: the installed line 3.x, and 2.x, which many still have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.people import Grant, People, unique
from tests.conftest import lacking
from tests.live import Live

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
DECIDES: tuple[Grant, ...] = (
    *((kind, "view", None) for kind in ("extras.job", "extras.scheduledjob", "extras.jobresult")),
    *(("extras.scheduledjob", action, None) for action in ("change", "delete")),
    *(("extras.job", action, None) for action in ("run", "approve")),
)


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the 2.x line in it."""
    folder = tmp_path_factory.mktemp("pynautobot-2")
    if fault := install("pynautobot>=2,<3", folder):
        lacking("pynautobot2", f"pynautobot 2.x cannot be installed here: {fault}")
    return folder


def install(what: str, folder: Path) -> str:
    """Install a package into a folder; return what was said when that was not possible."""
    said = ""
    # An environment made without pip uses that of the Python that made it.
    for python in dict.fromkeys((sys.executable, sys._base_executable, "python3")):
        pip = [python, "-m", "pip", "--python", sys.executable, "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "install", "--quiet", "--target", str(folder), what], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return ""
        said = done.stderr.strip()
    return said or "pip failed"


@pytest.fixture(scope="module")
def bob(people: People) -> str:
    return people.add(*DECIDES)


@pytest.fixture(params=["3.x", "2.x"])
def line(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """A line of the client, and where it is found before anything that is installed."""
    which: str = request.param
    return which, [] if which == "3.x" else [str(request.getfixturevalue("older"))]


@pytest.fixture
def python(line: tuple[str, list[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python where the line of the client is the one in use."""
    path = ":".join([*line[1], str(ROOT)])

    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            input=stdin,
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


Python = Callable[..., subprocess.CompletedProcess[str]]


def test_the_client_in_use_is_of_the_line(line: tuple[str, list[str]], python: Python) -> None:
    said = python("-c", "import pynautobot; print(pynautobot.__version__)").stdout
    assert said.split(".")[0] == line[0].split(".")[0]


def test_the_client_works_as_it_is(live: Live, bob: str, python: Python) -> None:
    server = {"url": live.origin, "admin": live.key("admin"), "bob": live.key(bob), "word": unique("with pynautobot")}
    done = python("-m", "tests.acceptance.pynautobot_scenarios", stdin=json.dumps(server))
    assert done.returncode == 0, done.stderr
