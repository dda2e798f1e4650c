"""The log on the page of a run: its pages, its filter, its sections, as text; and why a run failed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from api_shim.domain.model import JobResult, Status
from api_shim.domain.ports import LogLine
from api_shim.services.queries import entry_of
from api_shim.store import Store
from api_shim.web.pages import result_log
from api_shim.web.pages.result_log import LINES, MORE, SEARCHED, reason_of, sections_of
from tests.api_shim.origin import Origin
from tests.api_shim.web.pages.test_result import UNDER_WAY, Visitor
from tests.conftest import Clock
from tests.factories import NOW, make_job, make_result

ENGINE, JOB = "prefect.flow_runs.engine", "prefect.flow_runs"
TRACEBACK = "Traceback (most recent call last):\n  …\nValueError: no\n"
RAISED = {"exc_type": "ValueError", "exc_module": "builtins", "exc_message": ["no", 7]}
FAILED = {"exc_type": "JobFailed", "exc_module": "flows.execution", "exc_message": ["3 hosts are down"]}


@pytest.fixture
def visitor(sqlite_store: Store, clock: Clock) -> Visitor:
    return Visitor(Origin(sqlite_store, clock), clock)


def said(message: str, source: str = JOB, level: int = 20, minutes: int = 0) -> LogLine:
    created = NOW + timedelta(minutes=minutes)
    return LogLine(id=uuid4(), level=level, source=source, message=message, created=created)


def logged(visitor: Visitor, *lines: LogLine, **to: Any) -> JobResult:
    result = visitor.ran(**to)
    visitor.origin.engine.lines[result.id] = [*lines]
    return result


def shown(answer: httpx.Response) -> list[int]:
    return [int(number) for number in re.findall(r"line (\d+);", answer.text)]


def links(answer: httpx.Response) -> dict[str, str]:
    nav = answer.text.partition('aria-label="Pages of the log"')[2].partition("</nav>")[0]
    return {called: query.replace("&amp;", "&") for query, called in re.findall(r'href="\?([^"#]*)#log">([^<]+)', nav)}


# Pages


def test_one_leafs_through_a_long_log_from_both_ends(visitor: Visitor) -> None:
    result = visitor.ran(lines=1200)
    last = visitor.sees(result.id)
    assert shown(last) == list(range(700, 1200))
    assert links(last) == {"First lines": "start=0", "Earlier lines": "end=500"}
    rows = [
        ("end=500", range(200, 700), {"First lines": "start=0", "Earlier lines": "end=1000", "Later lines": "end=0"}),
        ("end=1000", range(200), {"Later lines": "end=500"}),
        ("start=0", range(500), {"Later lines": "start=500"}),
        (
            "start=500",
            range(500, 1000),
            {"First lines": "start=0", "Earlier lines": "start=0", "Later lines": "start=1000"},
        ),
        ("start=1000", range(1000, 1200), {"First lines": "start=0", "Earlier lines": "start=500"}),
    ]
    for query, lines, others in rows:
        page = visitor.sees(result.id, f"?{query}")
        back = {"Last lines": ""} if "Later lines" in others else {}
        assert (shown(page), links(page)) == (list(lines), others | back), query
    parts = visitor.origin.engine.log_parts
    assert {part.limit for part in parts} == {LINES + 1}, "no page asks for the whole log"
    assert links(visitor.sees(visitor.ran(lines=500).id)) == {}


def test_only_the_newest_lines_are_followed(visitor: Visitor) -> None:
    result = visitor.ran(lines=1200, **{**UNDER_WAY, "flow_run_id": uuid4()})
    visitor.origin.engine.lines[result.flow_run_id] = visitor.origin.engine.lines.pop(result.id)
    address = f'data-follow="/signoff/results/{result.id}/follow?'
    assert f'{address}since="' in visitor.sees(result.id).text
    assert f'{address}level=error&amp;since="' in visitor.sees(result.id, "?level=error").text
    assert "data-follow" not in visitor.sees(result.id, "?end=500").text


def test_who_follows_is_given_what_came_since(visitor: Visitor) -> None:
    result = logged(visitor, *(said(f"line {n};", minutes=n, level=20 + 20 * (n % 2)) for n in range(5)))
    since = quote((NOW + timedelta(minutes=3)).isoformat())
    news = visitor.sees(result.id, f"/follow?since={since}")
    assert shown(news) == [3, 4]
    assert ("data-final" in news.text, "<html" in news.text) == (True, False)
    assert shown(visitor.sees(result.id, f"/follow?level=error&since={since}")) == [3]
    assert shown(visitor.sees(result.id, f"/follow?text=LINE+4&since={since}")) == [4]
    far = ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01")
    for nothing in ("", "nonsense", "2030-01-01", *map(quote, far)):
        assert shown(visitor.sees(result.id, f"/follow?since={nothing}")) == list(range(5))
    assert visitor.origin.engine.log_parts[-1].limit == LINES


# Filter


def test_lines_are_filtered_by_level_and_text(visitor: Visitor) -> None:
    levels = (10, 20, 25, 30, 35, 40)
    result = logged(
        visitor, *(said(f"line {n}; {'Disk' if n % 2 else 'net'}", level=level) for n, level in enumerate(levels))
    )
    rows = [
        ("", [0, 1, 2, 3, 4, 5]),
        ("level=info", [1, 2, 3, 4, 5]),
        ("level=warning", [3, 4, 5]),
        ("level=error", [5]),
        ("level=nonsense", [0, 1, 2, 3, 4, 5]),
        ("text=disk", [1, 3, 5]),
        ("text=DISK&level=failure", [5]),
    ]
    for query, lines in rows:
        assert shown(visitor.sees(result.id, f"?{query}")) == lines, query
    assert "No lines match the filter." in visitor.sees(result.id, "?text=nothing").text
    assert 'value="&lt;b&gt;&#34;"' in visitor.sees(result.id, '?text=<b>"').text


def test_a_search_looks_at_so_many_lines_and_says_so(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_log, "SEARCHED", 10)
    result = visitor.ran(lines=11)
    page = visitor.sees(result.id, "?text=line")
    assert (shown(page), "Only the newest lines were searched." in page.text) == (list(range(1, 11)), True)
    page = visitor.sees(visitor.ran(lines=10).id, "?text=line")
    assert (len(shown(page)), "Only the newest lines" in page.text) == (10, False)
    assert SEARCHED >= LINES


# Sections


def test_lines_of_one_grouping_are_a_section_and_the_engines_are_folded_away(visitor: Visitor) -> None:
    checks = "prefect.flow_runs.run.<checks>"
    lines = [said("begin", ENGINE), said("a"), said("b", checks), said("c", checks), said("d"), said("end", ENGINE)]
    result = logged(visitor, *lines)
    page = visitor.sees(result.id).text
    sections = re.findall(r'data-grouping="([^"]+)"', page)
    assert sections == ["engine", "run", "&lt;checks&gt;", "run", "engine"]
    assert page.count("<details><summary>Prefect's engine</summary>") == 2
    assert "<h3>&lt;checks&gt;</h3>" in page


@pytest.mark.parametrize(
    ("result", "message"),
    [
        pytest.param({"status": Status.FAILURE}, "It ended", id="nothing crashed: no traceback"),
        pytest.param({"status": Status.FAILURE, "traceback": TRACEBACK}, "It ended\nTraceback …", id="it crashed"),
        pytest.param({"status": Status.STARTED}, "It ended\nTraceback …", id="it is under way"),
    ],
)
def test_of_what_the_engine_says_of_a_run_that_did_not_crash_the_first_lines_are_shown(
    visitor: Visitor, result: dict[str, Any], message: str
) -> None:
    row = make_result(make_job(), None, **result)
    from_engine, from_job = (visitor.line("It ended\nTraceback …") for _ in range(2))
    entries = [entry_of(replace(from_engine, source=ENGINE), row), entry_of(from_job, row)]
    told = [entry.message for section in sections_of(entries, row) for entry in section.entries]
    assert told == [message, "It ended\nTraceback …"]


# Text


def test_a_log_is_saved_as_text(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    result = logged(visitor, said("<a>", level=40), said("b\nTraceback …", ENGINE))
    answer = visitor.sees(result.id, "/log")
    moment = "2026-05-04T12:00:00.000+00:00"
    assert answer.text == f"{moment} ERROR    [run] <a>\n{moment} INFO     [engine] b\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="log-{result.id}.txt"'
    monkeypatch.setattr(result_log, "SAVED", 2)
    assert visitor.sees(visitor.ran(lines=3).id, "/log").text.splitlines()[2:] == [MORE]
    visitor.origin.engine.fail("logs")
    away = visitor.sees(result.id, "/log?level=40")
    assert away.status_code == 503
    assert f'href="/signoff/results/{result.id}/log?level=40">Try again<' in away.text


# Why


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        pytest.param({"result": RAISED, "traceback": TRACEBACK}, "ValueError: no, 7", id="something was raised"),
        pytest.param({"result": {"exc_type": "Odd", "exc_message": []}}, "Odd", id="without a message"),
        pytest.param({"result": FAILED}, "3 hosts are down", id="fail() was called"),
        pytest.param({"result": "went on"}, "", id="fail() was called, and something was returned"),
        pytest.param({"traceback": "It is not installed here."}, "It is not installed here.", id="it was refused"),
        pytest.param({"traceback": TRACEBACK}, "ValueError: no", id="a traceback of an earlier version"),
        pytest.param({"status": Status.REVOKED, "traceback": "Cancelled by bob."}, "Cancelled by bob.", id="cancelled"),
        pytest.param({"status": Status.SUCCESS, "result": FAILED}, "", id="it succeeded"),
        pytest.param({"status": Status.STARTED}, "", id="it is under way"),
    ],
)
def test_why_a_run_failed_is_told_in_a_sentence(to: dict[str, Any], reason: str) -> None:
    assert reason_of(make_result(make_job(), None, **{"status": Status.FAILURE, **to})) == reason


def banner(answer: httpx.Response) -> list[str]:
    """Return the sentences on why a run failed, which stand before all else that is told of it."""
    before, _, after = answer.text.partition('id="why">')
    assert 'id="run"' not in before if after else True
    return re.findall(r'<p class="value">([^<]*)</p>', after.partition("</div>")[0])


def test_the_page_of_a_failure_begins_with_its_sentence(visitor: Visitor) -> None:
    lines = [said("no <b>", level=35), said("broken", level=40), said("nor this", level=35)]
    failed = logged(visitor, *lines, status=Status.FAILURE, result="went on")
    assert banner(visitor.sees(failed.id)) == ["no &lt;b&gt;", "nor this"]
    assert 'id="error"' not in visitor.sees(failed.id).text
    plain = visitor.ran(status=Status.FAILURE, result=FAILED)
    page = visitor.sees(plain.id)
    assert (banner(page), 'id="outcome"' in page.text) == (["3 hosts are down"], False)
    crashed = visitor.sees(visitor.ran(status=Status.FAILURE, result=RAISED, traceback=TRACEBACK).id)
    assert (banner(crashed), 'id="error"' in crashed.text) == (["ValueError: no, 7"], True)
    assert banner(visitor.sees(visitor.ran().id)) == []
    visitor.origin.engine.fail("logs", times=-1)
    assert visitor.sees(failed.id).status_code == 200
