"""Who comes to an object, who is told why not, and who may not know of it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from api_shim.services.authorization import get_authorized
from api_shim.store import Store
from approval_gate.constraints import UNLIMITED, Constraint, parse
from approval_gate.errors import Forbidden, NotFound
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.factories import make_job

KIND = ObjectType.JOB
ROOT = Actor(id=uuid4(), username="root", superuser=True)
THIS, OTHER = (parse({"name": name}, {"name": str}) for name in ("Back up / now", "another"))


def somebody(**may: Constraint) -> Actor:
    grants = tuple(
        Grant(object_types=frozenset({KIND}), actions=frozenset({Action(action)}), constraint=constraint)
        for action, constraint in may.items()
    )
    return Actor(id=uuid4(), username="somebody", grants=grants)


def test_a_job_is_found_by_id_and_by_name(store: Store) -> None:
    job = make_job(name="Back up / now")
    with store.transaction() as tx:
        tx.add(job)
        tx.add(make_job())
    with store.transaction(write=False) as tx:
        assert get_authorized(tx, ROOT, Action.RUN, KIND, id=job.id) == job
        assert get_authorized(tx, ROOT, Action.RUN, KIND, name="Back up / now") == job
        for nothing in ({"name": str(job.id)}, {"id": uuid4()}):
            with pytest.raises(NotFound):
                get_authorized(tx, ROOT, Action.RUN, KIND, **nothing)


@pytest.mark.parametrize(
    ("may", "refusal"),
    [
        pytest.param({}, Forbidden, id="no permission on the type"),
        pytest.param({"view": UNLIMITED}, Forbidden, id="may only see it"),
        pytest.param({"run": OTHER, "view": UNLIMITED}, Forbidden, id="may run another, and see this one"),
        pytest.param({"run": OTHER}, NotFound, id="may run another, and not see this one"),
        pytest.param({"run": OTHER, "view": OTHER}, NotFound, id="may run and see another"),
        pytest.param({"run": THIS}, None, id="may run this one"),
        pytest.param({"run": UNLIMITED}, None, id="may run any"),
    ],
)
def test_who_comes_to_an_object(sqlite_store: Store, may: dict[str, Any], refusal: type[Exception] | None) -> None:
    job = make_job(name="Back up / now")
    with sqlite_store.transaction() as tx:
        tx.add(job)
        if refusal is None:
            assert get_authorized(tx, somebody(**may), Action.RUN, KIND, lock=True, id=job.id) == job
        else:
            with pytest.raises(refusal):
                get_authorized(tx, somebody(**may), Action.RUN, KIND, lock=True, id=job.id)
