"""Lists of log lines, which are made here."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from api_shim.domain.ports import LogLine
from api_shim.parsing.filters import read_conditions
from api_shim.services.queries import LogEntry, entry_of, grouping, level_name, selected
from approval_gate.model import ObjectType
from flows.log_objects import with_object
from tests.factories import NOW, make_job, make_result

RESULT = make_result(make_job(), None)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0, "debug"),
        (10, "debug"),
        (19, "debug"),
        (20, "info"),
        (25, "success"),
        (30, "warning"),
        (35, "failure"),
        (40, "error"),
        (50, "critical"),
        (99, "critical"),
    ],
)
def test_every_log_level_has_a_name(level: int, name: str) -> None:
    assert level_name(level) == name


@pytest.mark.parametrize(
    ("source", "section"),
    [
        ("prefect.flow_runs", "run"),
        ("prefect.flow_runs.run", "run"),
        ("prefect.flow_runs.run.checks", "checks"),
        ("prefect.flow_runs.run.worker", "worker"),
        ("prefect.flow_runs.worker", "engine"),
        ("prefect.flow_runs.engine", "engine"),
        ("prefect.task_runs.engine", "engine"),
        ("prefect.task_runs", "prefect.task_runs"),
        ("my.module", "my.module"),
        ("", "run"),
    ],
)
def test_a_log_line_is_grouped_by_its_logger(source: str, section: str) -> None:
    assert grouping(source) == section


def entry(number: int, level: int, message: str) -> LogEntry:
    created = NOW + timedelta(seconds=number)
    line = LogLine(id=UUID(int=number), level=level, source="prefect.flow_runs", message=message, created=created)
    return entry_of(line, RESULT)


def test_the_first_line_tells_which_job_runs_and_where_that_is() -> None:
    line = LogLine(id=UUID(int=1), level=20, source="prefect.flow_runs.run.initialization", message="", created=NOW)
    entry = entry_of(line, RESULT)
    assert (entry.log_object, entry.absolute_url) == (RESULT.name, f"/signoff/jobs/{RESULT.job_id}/run")
    other = entry_of(replace(line, source="prefect.flow_runs"), RESULT)
    assert (other.log_object, other.absolute_url) == ("", "")


def test_a_line_tells_what_it_is_about() -> None:
    source = with_object("prefect.flow_runs.run.checks", "Router 1")
    entry = entry_of(LogLine(id=UUID(int=1), level=20, source=source, message="", created=NOW), RESULT)
    assert (entry.grouping, entry.log_object, entry.absolute_url) == ("checks", "Router 1", "")


LINES = [entry(3, 20, "Third"), entry(1, 40, "first"), entry(2, 20, "Second")]


@pytest.mark.parametrize(
    ("query", "search", "sort", "found"),
    [
        pytest.param({}, "", (), ["first", "Second", "Third"], id="the oldest first"),
        pytest.param({}, "", ("-created",), ["Third", "Second", "first"], id="the newest first"),
        pytest.param({}, "", ("log_level", "-message"), ["first", "Third", "Second"], id="by one and then another"),
        pytest.param({}, "IR", (), ["first", "Third"], id="searched"),
        pytest.param({"log_level": ["error"]}, "", (), ["first"], id="of a level"),
        pytest.param({"log_level__n": ["error"]}, "S", (), ["Second"], id="of no such level, and searched"),
        pytest.param({"created__gt": [(NOW + timedelta(seconds=2)).isoformat()]}, "", (), ["Third"], id="since"),
        pytest.param({"message__re": ["^[a-z]"]}, "", (), ["first"], id="by an expression"),
        pytest.param({"grouping": ["worker"]}, "", (), [], id="of no such section"),
    ],
)
def test_lines_are_selected(query: dict[str, list[str]], search: str, sort: tuple[str, ...], found: list[str]) -> None:
    where = read_conditions(ObjectType.JOB_LOG_ENTRY, query)
    assert [each.message for each in selected(LINES, where, search, sort)] == found
