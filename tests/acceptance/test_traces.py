"""What ``opentelemetry-instrument signoff up`` records: one trace, from the call of a client to the run of the Job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.instrumentation import auto_instrumentation

from tests.acceptance import asking
from tests.live import Live, eventually, start

pytestmark = pytest.mark.slow

TRACE = "0af7651916cd43dd8448eb211c80319c"
TO_THE_CONSOLE = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Live]:
    """A server with the environment that ``opentelemetry-instrument`` gives it; its spans are in its log."""
    begins = Path(auto_instrumentation.__file__).parent
    path = os.pathsep.join(filter(None, (str(begins), os.environ.get("PYTHONPATH"))))
    server = start(tmp_path_factory.mktemp("traced") / "home", free_port(), PYTHONPATH=path, **TO_THE_CONSOLE)
    yield server
    server.stop()


def spans_of(server: Live) -> set[str]:
    """Return the names of what has been recorded of the trace."""
    found, name = set(), ""
    for line in server.log.read_text().splitlines():
        key, _, value = line.strip().rstrip(",").partition(": ")
        if key == '"name"':
            name = value.strip('"')
        elif key == '"trace_id"' and value == f'"0x{TRACE}"':
            found.add(name)
    return found


def test_a_run_is_part_of_the_trace_of_the_call_that_has_asked_for_it(traced: Live) -> None:
    with traced.client("alice", traceparent=f"00-{TRACE}-b7ad6b7169203331-01") as client:
        eventually(lambda: asking.accepts_runs(client))
        answer = asking.run(client, {"data": {}}, "Greet")
        assert answer.status_code == 201, answer.text
        result = eventually(lambda: asking.ended(client, answer.json()["job_result"]))
    assert result["status"]["value"] == "SUCCESS"
    expected = {"POST /api/extras/jobs/{ref}/run", "follow job result", "Greet"}
    eventually(lambda: expected <= spans_of(traced))


def test_runs_are_forked_all_the_same(traced: Live) -> None:
    assert "fork server" in traced.family()
    assert "Each run gets a process from nothing" not in traced.log.read_text()
