"""Idempotency keys: the same request once, another one not at all, and each its caller's own."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.model import JobResult, RequestKey, ScheduledJob
from api_shim.parsing.run_request import RunRequest
from api_shim.services.request_keys import DELETED, KEPT, LONGEST, OTHER_REQUEST, read_key, request_key
from api_shim.services.schedules import Accepted
from api_shim.store import InputsKey
from approval_gate.errors import Conflict, Invalid, Unavailable
from approval_gate.model import Actor
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants
from tests.factories import NOW, make_user

LATER = {"interval": "future", "name": "once", "start_time": (NOW + 100 * HOUR).isoformat()}


def ask(plant: Plant, key: str | None, schedule: Any = None, who: Actor | None = None, **to: Any) -> Accepted:
    request = RunRequest(**{"data": INPUTS, "schedule": schedule, **to})
    return asyncio.run(plant.schedules.request(who or plant.actor, plant.job.id, request, key))


def made(plant: Plant) -> list[Any]:
    return [*plant.all(ScheduledJob), *plant.all(JobResult)]


def id_of(accepted: Accepted) -> Any:
    thing = accepted.job_result or accepted.scheduled_job
    assert thing is not None
    return thing.id


@pytest.mark.parametrize("schedule", [None, LATER], ids=["now", "later"])
def test_the_same_request_is_made_once_and_answered_as_it_stands(plants: Plants, schedule: Any) -> None:
    plant = plants.ready()
    first = ask(plant, "k", schedule)
    plant.now += KEPT
    again = ask(plant, "k", schedule)
    assert id_of(again) == id_of(first)
    assert [again.job_result or again.scheduled_job] == made(plant)
    assert len(plant.unended()) == 1


def test_without_a_key_or_with_another_it_is_another_request(plants: Plants) -> None:
    plant = plants.ready()
    assert len({id_of(ask(plant, key)) for key in (None, None, "k", "l")}) == 4


@pytest.mark.parametrize(
    "to",
    [
        pytest.param({"data": {"count": 3}}, id="other inputs"),
        pytest.param({"schedule": LATER}, id="another time"),
        pytest.param({"job_queue": "default"}, id="a queue that is named"),
    ],
)
def test_another_request_with_the_same_key_is_refused(plants: Plants, to: Any) -> None:
    plant = plants.ready()
    ask(plant, "k")
    with pytest.raises(Conflict, match=OTHER_REQUEST):
        ask(plant, "k", **to)
    assert len(made(plant)) == 1


def test_a_key_is_its_caller_s_own(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(bob := make_user("bob", is_superuser=True))
    first = ask(plant, "k")
    assert id_of(ask(plant, "k", who=Actor(id=bob.id, username="bob", superuser=True))) != id_of(first)


def test_after_a_day_a_key_is_new_and_the_old_one_gone(plants: Plants) -> None:
    plant = plants.ready()
    first = ask(plant, "k")
    plant.now += KEPT + timedelta(seconds=1)
    assert id_of(ask(plant, "k", data={"count": 3})) != id_of(first)
    assert [kept.created for kept in plant.all(RequestKey)] == [plant.now]


def test_what_has_been_deleted_is_not_made_again(plants: Plants) -> None:
    plant = plants.ready()
    ask(plant, "k", LATER)
    asyncio.run(plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id))
    with pytest.raises(Conflict, match=DELETED):
        ask(plant, "k", LATER)


def test_a_refused_request_leaves_its_key_free(plants: Plants) -> None:
    plant = plants.ready()
    ask(plant, None, LATER)
    with pytest.raises(Invalid):
        ask(plant, "k", LATER)
    assert plant.all(RequestKey) == []
    ask(plant, "k", {**LATER, "name": "another"})


def test_wherever_a_request_dies_asking_again_makes_it_one(plants: Plants) -> None:
    def request(plant: Plant) -> Any:
        return plant.schedules.request(plant.actor, plant.job.id, RunRequest(data=INPUTS), "k")

    for plant in plants.dying(plants.ready, request):
        plant.start()
        ask(plant, "k")
        plant.settle()
        assert len(made(plant)) == len(plant.unended()) == 1


def test_nothing_of_a_request_is_kept_that_could_be_guessed_from() -> None:
    def kept(key: str, secret: bytes) -> RequestKey:
        return request_key(user, key, ["j", {"password": "x"}], NOW, InputsKey(secret).fingerprint)

    user = uuid4()
    ours, theirs = b"i" * 32, b"j" * 32
    assert kept("k", ours) == kept("k", ours)
    every = [kept(key, secret) for key in ("k", "l") for secret in (ours, theirs)]
    assert len({each.request for each in every}) == len({each.key for each in every}) == 4


def test_without_the_key_of_the_store_none_is_kept(plants: Plants) -> None:
    plant = plants.ready()
    plant.store.inputs_key = None
    with pytest.raises(Unavailable):
        ask(plant, "k")
    assert made(plant) == []


def test_one_that_an_earlier_version_has_kept_is_not_recognised(plants: Plants) -> None:
    plant = plants.ready()
    key = hashlib.sha256(b"k").hexdigest()
    plant.add(RequestKey(user_id=plant.user.id, key=key, request="0" * 64, created=plant.now))
    ask(plant, "k")
    assert len(made(plant)) == 1


@pytest.mark.parametrize("header", ["k", "x" * LONGEST, "8e03978e-40d5-43e8-bc93-6894a57f9324", 'quoted "text"'])
def test_a_key_is_any_printable_text(header: str) -> None:
    assert read_key(header) == header


@pytest.mark.parametrize("header", ["", "x" * (LONGEST + 1), "zoë", "a\tb", "a\x00"])
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(Invalid):
        read_key(header)


def test_no_header_is_no_key() -> None:
    assert read_key(None) is None
