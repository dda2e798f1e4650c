"""Prefect's filters, narrowed: never more than what is allowed, whatever a client sends."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api_shim.parsing.prefect_filter import (
    ids_of,
    named,
    named_resources,
    narrowed,
    narrowed_events,
    read_filters,
)
from approval_gate.errors import Invalid

MINE, THEIRS, NOBODYS = UUID(int=1), UUID(int=2), str(UUID(int=0))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param({}, [str(MINE)], id="no filter: all that is allowed"),
        pytest.param({"flow_runs": None}, [str(MINE)], id="null for a filter"),
        pytest.param({"flow_runs": {"id": None}}, [str(MINE)], id="null for ids"),
        pytest.param({"flow_runs": {"id": {"any_": None}}}, [str(MINE)], id="null for a list of ids"),
        pytest.param({"flow_runs": {"id": {"any_": [str(MINE), str(THEIRS)]}}}, [str(MINE)], id="some"),
        pytest.param({"flow_runs": {"id": {"any_": [MINE.hex]}}}, [str(MINE)], id="an id spelled otherwise"),
        pytest.param({"flow_runs": {"id": {"any_": [str(THEIRS)]}}}, [NOBODYS], id="others' alone: nothing"),
        pytest.param({"flow_runs": {"id": {"any_": []}}}, [NOBODYS], id="an empty list stays nothing"),
        pytest.param({"flow_runs": {"id": {"any_": ["x"]}}}, [NOBODYS], id="what is no id"),
        pytest.param({"flow_runs": {"operator": "and_", "name": {"like_": "x"}}}, [str(MINE)], id="other criteria"),
    ],
)
def test_a_filter_by_id_matches_what_is_allowed_alone(sent: Any, kept: list[str]) -> None:
    body = narrowed(sent, "flow_runs", {MINE})
    assert body["flow_runs"]["id"]["any_"] == kept
    asked = sent.get("flow_runs") or {}
    assert {key: value for key, value in body["flow_runs"].items() if key != "id"} == {
        key: value for key, value in asked.items() if key != "id"
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param({}, ["Mine"], id="no filter"),
        pytest.param({"flows": {"name": {"any_": ["Theirs", "Mine"]}}}, ["Mine"], id="some"),
        pytest.param({"flows": {"name": {"any_": ["Theirs"], "like_": "x"}}}, ["/"], id="others' alone"),
    ],
)
def test_a_filter_by_name_matches_what_is_allowed_alone(sent: Any, kept: list[str]) -> None:
    assert narrowed(sent, "flows", {"Mine"})["flows"]["name"]["any_"] == kept


@pytest.mark.parametrize(
    ("key", "criteria"),
    [
        pytest.param("flow_runs", {"operator": "or_", "name": {"like_": ""}}, id="criteria combined with or"),
        pytest.param("flow_runs", {"operator": "OR_"}, id="an operator that we do not know"),
        pytest.param("task_runs", {"flow_run_id": {"operator": "or_"}}, id="or within a criterion"),
        pytest.param("task_runs", {"flow_run_id": {"is_null_": True}}, id="a criterion that overrules the ids"),
        pytest.param("flow_runs", {"id": {"new_": 1}}, id="a criterion that we do not know"),
        pytest.param("flow_runs", [], id="a list for a filter"),
        pytest.param("flow_runs", {"id": []}, id="a list for a criterion"),
        pytest.param("flow_runs", {"id": {"any_": "x"}}, id="a text for ids"),
        pytest.param("flow_runs", {"id": {"any_": [1]}}, id="a number for an id"),
        pytest.param("flows", {"name": {"any_": {"Mine": 1}}}, id="an object for names"),
    ],
)
def test_what_cannot_be_narrowed_is_refused(key: str, criteria: Any) -> None:
    with pytest.raises(Invalid, match=r"filter|criterion"):
        narrowed({key: criteria}, key, {MINE})


def test_what_excludes_more_stays() -> None:
    sent = {"flow_runs": {"id": {"any_": [str(MINE)], "not_any_": [str(MINE)]}}, "limit": 5}
    assert narrowed(sent, "flow_runs", {MINE}) == sent


def test_the_ids_that_a_filter_asks_for_are_read() -> None:
    assert named({}, "logs") is None
    assert named({"logs": {"flow_run_id": {"any_": [MINE.hex, "x"]}}}, "logs") == [MINE]
    assert ids_of([str(MINE), "x"]) == [MINE]
    for body in ([], "x", 1):
        with pytest.raises(Invalid):
            read_filters(body)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        pytest.param(None, ["a", "b"], id="none in particular"),
        pytest.param([], ["a", "b"], id="an empty list, which is none in particular to Prefect"),
        pytest.param(["b", "z"], ["b"], id="some"),
        pytest.param(["z"], ["/"], id="others' alone"),
    ],
)
def test_events_are_about_allowed_resources_alone(asked: Any, kept: list[str]) -> None:
    sent = {"filter": {"resource": {"id": asked, "id_prefix": ["x"]}, "text": {"query": "y"}}, "limit": 3}
    assert narrowed_events(sent, ["b", "a"]) == {
        "filter": {"resource": {"id": kept, "id_prefix": ["x"]}, "text": {"query": "y"}},
        "limit": 3,
    }
    assert narrowed_events({}, []) == {"filter": {"resource": {"id": ["/"]}}}
    assert named_resources(sent) == (asked or None)
