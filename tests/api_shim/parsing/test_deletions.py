"""How several things to delete are named."""

from __future__ import annotations

from uuid import UUID

import pytest

from api_shim.parsing.deletions import read_ids, read_versions
from approval_gate.errors import Invalid, TooLarge


def test_a_bulk_deletion_names_the_places_of_its_faults() -> None:
    good = "6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab"
    assert [str(each) for each in read_ids([good, {"id": good}])] == [good, good]
    assert read_ids([]) == []
    with pytest.raises(Invalid) as refused:
        read_ids([good, 5])
    assert refused.value.detail == [{}, {"id": ["Must be a valid UUID."]}]
    with pytest.raises(TooLarge):
        read_ids([good] * 1001)


GOOD, OTHER = UUID(int=1), UUID(int=2)


def test_a_bulk_deletion_may_name_the_version_of_each() -> None:
    body = [str(GOOD), {"id": str(GOOD)}, {"id": str(OTHER), "version": "a1"}, {"id": str(GOOD), "version": ""}]
    assert read_versions(body) == [(OTHER, "a1"), (GOOD, "")], "an empty one is none that anything has"
    assert read_versions([{"id": str(GOOD), "version": None}]) == []
    with pytest.raises(Invalid) as refused:
        read_versions([str(GOOD), {"id": str(GOOD), "version": 1}])
    assert refused.value.detail == [{}, {"version": ["Not a valid string."]}]
