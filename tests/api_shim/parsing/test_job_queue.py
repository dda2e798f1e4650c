"""What is sent to make or move a job queue: what is read of it, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.parsing.job_queue import NOT_A_NAME, read_new_queue, read_pool
from approval_gate.errors import Invalid


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"name": "bulk"}, ("bulk", "")),
        ({"name": "gpu", "queue_type": "prefect", "pool": "big machines"}, ("gpu", "big machines")),
    ],
)
def test_a_queue_is_named_and_belongs_to_the_pool_of_the_server_unless_another_is_named(
    body: dict[str, str], found: tuple[str, str]
) -> None:
    assert read_new_queue(body) == found


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, {"name": ["This field is required."]}),
        ({"name": "a/b"}, {"name": [NOT_A_NAME]}),
        ({"name": ""}, {"name": [NOT_A_NAME]}),
        ({"name": "."}, {"name": [NOT_A_NAME]}),
        ({"name": "bulk", "pool": ".."}, {"pool": [NOT_A_NAME]}),
        ({"name": "bulk", "pool": "a%b"}, {"pool": [NOT_A_NAME]}),
        ({"name": "bulk", "pool": 5}, {"pool": ["Not a valid string."]}),
        ({"name": "bulk", "queue_type": "celery"}, {"queue_type": ['"celery" is not a valid choice.']}),
    ],
)
def test_what_is_no_queue_is_refused_by_field(body: dict[str, Any], told: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        read_new_queue(body)
    assert refused.value.detail == told


def test_of_a_change_only_the_pool_is_read() -> None:
    assert [read_pool(body) for body in ({"pool": "gpu"}, {"pool": ""}, {})] == ["gpu", "", None]
    with pytest.raises(Invalid) as refused:
        read_pool({"name": "other"})
    assert refused.value.detail == {"name": ["This field cannot be changed."]}
