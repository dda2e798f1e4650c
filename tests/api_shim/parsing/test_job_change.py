"""A change of a Job, whatever is sent: values, or sentences by field. What each decides is in ``test_jobs.py``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api_shim.domain.model import OVERRIDABLE, queue_id
from api_shim.parsing.job_change import JobChange, read_job_change
from approval_gate.errors import Invalid
from tests.factories import make_job

JOB = replace(make_job(), job_queues=("default", "bulk"))
# As each Job is recorded: with what its code says of all that a person can change.
JOB = replace(JOB, declared={name: getattr(JOB, name) for name in OVERRIDABLE})
FAR = UUID(int=9)


def read(**body: Any) -> dict[str, Any]:
    return read_job_change(body, JOB, lambda ids: {each: "far" for each in ids if each == FAR})


@pytest.mark.parametrize(
    ("queues", "names"),
    [
        pytest.param(["a", "b", "a"], ("a", "b"), id="by name, each once"),
        pytest.param([str(queue_id("bulk"))], ("bulk",), id="its own by id"),
        pytest.param([{"id": str(queue_id("bulk")), "object_type": "extras.jobqueue", "url": "x"}], ("bulk",),
                     id="its own by a reference"),
        pytest.param([{"id": str(FAR), "name": "other", "worker_count": None}], ("far",), id="another as an object"),
        pytest.param([str(UUID(int=8))], (str(UUID(int=8)),), id="a name that looks like an id"),
        pytest.param([str(queue_id("bulk")), "bulk"], ("bulk",), id="the same in two ways"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["job_queues", "task_queues"])
def test_queues_are_named_in_several_ways(field: str, queues: list[Any], names: tuple[str, ...]) -> None:
    assert read(**{field: queues}) == {"job_queues": names, "overridden": ("job_queues",)}


def test_a_queue_that_there_is_not_is_told_by_its_id() -> None:
    with pytest.raises(Invalid) as refused:
        read(job_queues=[{"id": str(UUID(int=8))}])
    assert refused.value.detail == {"job_queues": [f"There is no job queue '{UUID(int=8)}', or none that you may see."]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("id"), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*JobChange.__annotations__]), JSON, max_size=4))
def test_whatever_is_sent_decides_or_is_refused_as_the_document_says(body: dict[str, Any]) -> None:
    try:
        told = read(**body)
    except Invalid as error:
        told = json.loads(json.dumps(error.detail, ensure_ascii=False).encode())
    assert {*told} - {"overridden"} <= {*JobChange.__annotations__}


def test_the_document_tells_what_is_read() -> None:
    schema = TypeAdapter(JobChange).json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["time_limit"]["maximum"] == 10_000_000
    assert schema["properties"]["description"]["maxLength"] == 10_000
