"""Which acts of the audit are changes of objects, and which hooks hear of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType
from api_shim.domain.triggers import CHANGES, NO_CHANGES, Change, JobHook
from approval_gate.model import ObjectType
from tests.factories import NOW


def test_every_act_is_a_change_of_an_object_or_is_said_to_be_none() -> None:
    assert {*CHANGES} | NO_CHANGES == {*EventType}
    assert not {*CHANGES} & NO_CHANGES


@pytest.mark.parametrize(
    ("hook", "change", "hears"),
    [
        pytest.param({}, Change.CREATE, True, id="what it is for"),
        pytest.param({}, Change.UPDATE, False, id="another change"),
        pytest.param({"type_update": True}, Change.UPDATE, True, id="a change"),
        pytest.param({"type_delete": True}, Change.DELETE, True, id="an end"),
        pytest.param({"enabled": False}, Change.CREATE, False, id="disabled"),
        pytest.param({"content_types": ("extras.jobresult",)}, Change.CREATE, False, id="another type"),
        pytest.param({"created": NOW + timedelta(seconds=1)}, Change.CREATE, False, id="before it was made"),
    ],
)
def test_a_hook_hears_of_what_it_is_for(hook: dict[str, Any], change: Change, hears: bool) -> None:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "name": "hook",
        "job_id": uuid4(),
        "content_types": ("extras.job",),
        "type_create": True,
        "created": NOW,
        "last_updated": NOW,
    }
    assert JobHook(**{**fields, **hook}).hears(ObjectType.JOB, change, NOW) is hears
