"""Permissions in words."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import Permission
from api_shim.web.pages.permission_text import (
    ACTIONS,
    AS_OTHERS,
    COMPARED,
    DANGEROUS,
    KINDS,
    OFF,
    UNREADABLE,
    granted,
    listed,
    remarks,
)
from approval_gate.constraints import Op
from approval_gate.model import Action, ObjectType

SOMEBODY = UUID("00000000-0000-4000-8000-000000000001")


def permission(
    types: tuple[str, ...] = ("extras.job",), actions: tuple[str, ...] = ("view",), limit: Any = None, **to: Any
) -> Permission:
    return Permission(id=uuid4(), name="one", object_types=types, actions=actions, constraints=limit, **to)


def test_every_type_action_and_comparison_has_words() -> None:
    assert (set(KINDS), set(ACTIONS), {*COMPARED, Op.ISNULL}) == (set(ObjectType), set(Action), set(Op))


@pytest.mark.parametrize(
    ("one", "said"),
    [
        pytest.param(permission(), "Can view Jobs.", id="one action on one type"),
        pytest.param(
            permission(("extras.job", "extras.scheduledjob"), ("approve", "view", "run")),
            "Can view, run and approve requests of Jobs and scheduled jobs.",
            id="several, in an order of their own",
        ),
        pytest.param(permission(limit={}), "Can view Jobs.", id="no limit"),
        pytest.param(
            permission(limit={"name": "Back up"}), "Can view Jobs, but only those whose name is “Back up”.", id="a name"
        ),
        pytest.param(
            permission(limit={"name__startswith": "Back", "grouping__in": ["A", "B"]}),
            "Can view Jobs, but only those whose name begins with “Back” and grouping is one of “A” or “B”.",
            id="both of two",
        ),
        pytest.param(
            permission(limit=[{"name": "a"}, {"enabled": True}]),
            "Can view Jobs, but only those whose name is “a”, or those whose enabled is yes.",
            id="either of two",
        ),
        pytest.param(
            permission(("extras.scheduledjob",), limit={"user": "$user"}),
            "Can view scheduled jobs, but only those whose user is whoever asks.",
            id="their own",
        ),
        pytest.param(
            permission(("extras.scheduledjob",), limit={"user": str(SOMEBODY)}),
            f"Can view scheduled jobs, but only those whose user is {SOMEBODY}.",
            id="somebody's",
        ),
        pytest.param(
            permission(("extras.scheduledjob",), limit={"job_model__name": "x"}),
            "Can view scheduled jobs, but only those whose name of its job model is “x”.",
            id="of what it belongs to",
        ),
        pytest.param(
            permission(("extras.scheduledjob",), limit={"last_run_at__isnull": True}),
            "Can view scheduled jobs, but only those whose last run at is empty.",
            id="nothing there",
        ),
        pytest.param(permission(("gone",)), UNREADABLE, id="a type that there is not any more"),
        pytest.param(permission(limit={"colour": 1}), UNREADABLE, id="a limit that cannot be read"),
    ],
)
def test_what_a_permission_grants(one: Permission, said: str) -> None:
    assert granted(one) == said


@pytest.mark.parametrize(
    ("one", "said"),
    [
        pytest.param(permission(), [], id="a plain one"),
        pytest.param(permission(enabled=False), [OFF], id="one that is switched off"),
        pytest.param(permission(("prefect",), ("write",)), [DANGEROUS], id="to write in Prefect"),
        pytest.param(permission(("prefect",)), [], id="to view there"),
        pytest.param(permission(("users.token",), ("add",)), [AS_OTHERS], id="to make tokens for others"),
        pytest.param(permission(("users.objectpermission",), ("change",)), [AS_OTHERS], id="to change permissions"),
        pytest.param(permission(("users.user",), ("view", "delete")), [], id="to remove users"),
        pytest.param(permission(("gone",)), [], id="one that cannot be read"),
    ],
)
def test_what_is_to_be_known_besides(one: Permission, said: list[str]) -> None:
    assert remarks(one) == said


@pytest.mark.parametrize(
    ("words", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_in_a_sentence(words: list[str], said: str) -> None:
    assert listed(words) == said
