"""How several things to delete are named."""

from __future__ import annotations

import pytest

from api_shim.parsing.deletions import read_ids
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
