"""The fork server records no traces, whatever else it imports; what it forks does where the worker does."""

from __future__ import annotations

import os

import pytest
from opentelemetry.instrumentation import auto_instrumentation

from api_shim.worker.traces import record_traces, without_traces

BEGINS = "/venv/lib/python3.11/site-packages/opentelemetry/instrumentation/auto_instrumentation"


def path_of(*folders: str) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(folders)}


@pytest.mark.parametrize(
    ("given", "without", "begins"),
    [
        pytest.param({}, {}, False, id="nothing is said"),
        pytest.param(path_of("/a", "/b"), path_of("/a", "/b"), False, id="other folders"),
        pytest.param(path_of(BEGINS, "/a"), path_of("/a"), True, id="before another folder"),
        pytest.param(path_of("/a", f"{BEGINS}/"), path_of("/a"), True, id="after another folder, with a slash"),
        pytest.param(path_of(BEGINS), {}, True, id="alone"),
        pytest.param(path_of("/opentelemetry"), path_of("/opentelemetry"), False, id="a folder of that name"),
    ],
)
def test_where_recording_begins(
    given: dict[str, str], without: dict[str, str], begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[bool]()
    monkeypatch.setattr(auto_instrumentation, "initialize", lambda: begun.append(True))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert without_traces({**given, "OTHER": "kept"}) == {**without, "OTHER": "kept"}
    record_traces()
    assert bool(begun) is begins
