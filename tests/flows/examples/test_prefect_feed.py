"""The flow that exists already, and the Job that is made of it; its tasks and its subflow without Prefect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from approval_gate.errors import Invalid
from flows.examples import prefect_feed
from flows.examples.prefect_feed import import_feed
from flows.registry import load
from flows.testing import JobRun, run_job
from tests.flows.examples.servers import serving

FEED = "\ufeffid;name\n1;Ada\n2;\n3;Grace é\n".encode()


@pytest.fixture(autouse=True)
def _functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the functions of tasks and of the subflow called as such: what Prefect does with them is its own."""
    for name in ("download", "save", "read_feed"):
        monkeypatch.setattr(prefect_feed, name, getattr(prefect_feed, name).fn)


def feed(target: Path, **more: Any) -> JobRun:
    with serving({"/feed.csv": FEED}) as web:
        asked = {"address": f"http://{web.address}/feed.csv", "delimiter": ";", **more}
        return run_job(import_feed, feed=asked, target=str(target))


def test_what_it_says_as_a_job_is_what_the_flow_says() -> None:
    definition = load("flows.examples.import_feed").definition()
    assert (definition.name, definition.grouping, definition.approval_required) == ("Import feed", "Examples", True)
    assert [(each["name"], each["help_text"]) for each in definition.variables] == [
        ("feed", "Where it is, and what it must have."),
        ("target", "The file to write, as the worker sees it."),
    ]


def test_rows_that_have_all_that_they_must_are_saved(tmp_path: Path) -> None:
    target = tmp_path / "feed.jsonl"
    run = feed(target, columns=["name"])
    assert (run.status, run.result) == ("SUCCESS", {"saved": 2, "target": str(target)})
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert rows == [{"id": "1", "name": "Ada"}, {"id": "3", "name": "Grace é"}]
    assert [*tmp_path.iterdir()] == [target]


def test_a_feed_that_has_too_little_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "feed.jsonl"
    target.write_text("before")
    run = feed(target, least_rows=4)
    assert str(run.error) == f"The feed has 3 rows, of at least 4; {target} stays as it is."
    assert target.read_text() == "before"


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/a", "feed.csv"])
def test_nothing_but_the_web_is_asked(tmp_path: Path, address: str) -> None:
    with pytest.raises(Invalid):
        run_job(import_feed, feed={"address": address}, target=str(tmp_path / "a"))
