"""What calls are made of: how names, filters and bodies are written, how lists are read, what is not sent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest

from api_shim import schemas
from api_shim.client.protocol import (
    Filter,
    HttpRequest,
    Operation,
    Ref,
    Sleep,
    UnexpectedResponse,
    body_of,
    path_of,
    query_of,
    read,
    read_nothing,
    rows,
)
from approval_gate.errors import GateError, Invalid, NotFound
from tests.api_shim import said
from tests.factories import NOW

ID = "3f0a4d7e-0000-4000-8000-000000000000"
ROW = schemas.ScheduledJob.model_validate(said.scheduled())


def played(talk: Operation[Any], answers: Iterable[Any]) -> tuple[list[HttpRequest | Sleep], Any]:
    """Carry a call out with given answers; return what it did, and what came of it."""
    done: list[HttpRequest | Sleep] = []
    step = next(talk)
    try:
        for answer in answers:
            done.append(step)
            step = talk.throw(answer) if isinstance(answer, Exception) else talk.send(answer)
    except StopIteration as over:
        return done, over.value
    raise AssertionError(f"It wants to go on with {step}.")


# Names


@pytest.mark.parametrize(
    ("ref", "sent"),
    [
        pytest.param(ID, ID, id="an id as text"),
        pytest.param(UUID(ID), ID, id="an id"),
        pytest.param(ROW, str(ROW.id), id="the thing itself"),
        pytest.param(ROW.job_model, str(ROW.job_model.id), id="a reference"),
        pytest.param("a/b", "a%2Fb", id="a slash"),
        pytest.param("Back up", "Back%20up", id="a space"),
        pytest.param("a?b#c", "a%3Fb%23c", id="what ends a path"),
        pytest.param("50%2F", "50%252F", id="what looks encoded"),
        pytest.param("nächtlich", "n%C3%A4chtlich", id="no ASCII"),
        pytest.param("..", "%2E%2E", id="what means another folder"),
        pytest.param(".", "%2E", id="what means the same folder"),
    ],
)
def test_any_name_is_one_part_of_the_path(ref: Ref, sent: str) -> None:
    assert path_of("jobs", ref) == f"api/extras/jobs/{sent}/"
    assert path_of("jobs", ref, "run") == f"api/extras/jobs/{sent}/run/"


@pytest.mark.parametrize(("ref", "kind"), [("", NotFound), ("\udcff", Invalid)])
def test_what_names_nothing_is_refused(ref: str, kind: type[GateError]) -> None:
    with pytest.raises(kind):
        path_of("jobs", ref)


# What is sent


def test_a_body_is_json_with_times_and_ids_as_the_contract_writes_them() -> None:
    east = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))
    naive = datetime(2030, 1, 1)  # noqa: DTZ001 - the server reads it on its own clocks
    sent = body_of({"at": east, "naive": naive, "id": UUID(ID), "ü": [1, None, True]})
    assert json.loads(sent) == {
        "at": "2030-01-01T02:00:00+01:00",
        "naive": "2030-01-01T00:00:00",
        "id": ID,
        "ü": [1, None, True],
    }


@pytest.mark.parametrize("content", [{"a": {1}}, {"a": float("nan")}, "\udcff", {"a": b"x"}, {(1,): 2}], ids=repr)
def test_what_json_cannot_tell_is_refused(content: object) -> None:
    with pytest.raises(Invalid, match="cannot represent"):
        body_of(content)


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"name": "a b&c=d"}, {"name": ["a b&c=d"]}, id="a text"),
        pytest.param({"name": ["a", "b"]}, {"name": ["a", "b"]}, id="any of several"),
        pytest.param({"enabled": True, "n": 3}, {"enabled": ["true"], "n": ["3"]}, id="a flag, a number"),
        pytest.param({"x__isnull": False}, {"x__isnull": ["false"]}, id="no"),
        pytest.param({"name": None}, {}, id="None does not restrict"),
        pytest.param({"created__gte": NOW}, {"created__gte": [NOW.isoformat()]}, id="a time"),
        pytest.param({"scheduled_job": ROW}, {"scheduled_job": [str(ROW.id)]}, id="a thing"),
        pytest.param({"name": ""}, {"name": [""]}, id="an empty text"),
    ],
)
def test_filters_become_a_query(filters: dict[str, Filter], query: dict[str, list[str]]) -> None:
    assert parse_qs(query_of(filters), keep_blank_values=True) == query


def test_a_filter_that_is_no_text_is_refused() -> None:
    with pytest.raises(Invalid):
        query_of({"name": "\udcff"})


# What comes back


def test_an_answer_is_read_into_its_shape_and_unknown_fields_are_passed_over() -> None:
    assert read(schemas.Choice, {"value": "a", "label": "A", "more": 1}) == schemas.Choice(value="a", label="A")


@pytest.mark.parametrize("content", [None, [], {}, "Hello", {"value": "a"}])
def test_what_does_not_fit_is_strange(content: object) -> None:
    with pytest.raises(UnexpectedResponse) as refused:
        read(schemas.Choice, content)
    assert refused.value.__suppress_context__


def test_nothing_is_nothing() -> None:
    read_nothing(None)
    with pytest.raises(UnexpectedResponse):
        read_nothing({})


# Lists


def asked_queries(done: list[HttpRequest | Sleep]) -> list[str]:
    return [step.path.partition("?")[2] for step in done if isinstance(step, HttpRequest)]


def test_a_list_is_read_to_its_last_page_by_the_query_of_each_link_alone() -> None:
    first, second, third = said.job(id=ID), said.job(), said.job(id=str(said.id_of("third")))
    pages = [
        said.page(first, second, following="http://here/api/extras/jobs/?limit=2&offset=2"),
        said.page(second, third, following="http://elsewhere.example/other/?limit=2&offset=4"),
        said.page(),
    ]
    done, found = played(rows(schemas.Job, "jobs", {"name": "x"}, None), pages)
    assert [str(row.id) for row in found] == [first["id"], second["id"], third["id"]]
    assert asked_queries(done) == ["limit=200&name=x", "limit=2&offset=2", "limit=2&offset=4"]
    assert {step.path.partition("?")[0] for step in done if isinstance(step, HttpRequest)} == {"api/extras/jobs/"}


def test_a_list_whose_pages_lead_in_a_circle_ends() -> None:
    link = "http://here/?offset=1"
    _done, found = played(rows(schemas.Job, "jobs", {}, None), [said.page(said.job(), following=link)] * 2)
    assert len(found) == 1


def test_no_more_is_asked_for_than_is_wanted() -> None:
    both = said.page(said.job(id=ID), said.job(), following="http://here/?limit=1&offset=2")
    done, found = played(rows(schemas.Job, "jobs", {}, 1), [both])
    assert (len(found), asked_queries(done)) == (1, ["limit=1"])


@pytest.mark.parametrize("content", [None, {}, [], {"results": {}}, said.page({"id": 1})], ids=str)
def test_what_is_no_list_is_strange(content: object) -> None:
    with pytest.raises(UnexpectedResponse):
        played(rows(schemas.Job, "jobs", {}, None), [content])


def test_times_in_answers_are_aware() -> None:
    assert ROW.start_time == datetime(2100, 1, 31, 18, tzinfo=UTC)
