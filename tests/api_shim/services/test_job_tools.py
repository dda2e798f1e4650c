"""Which Jobs agents are offered as tools of their own, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from api_shim.domain.model import Job
from api_shim.services.job_tools import JobTools
from api_shim.settings import LIMITS, AgentsNeedApproval
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import Plant, opened_plant
from tests.api_shim.services.test_agents import agent_for, gone
from tests.api_shim.services.test_approvals import may, person

JOB, RUN, VIEW = ObjectType.JOB, Action.RUN, Action.VIEW
NETWORK = {"grouping": "Network"}


@pytest.fixture
def plant(store_url: str) -> Iterator[Plant]:
    yield from opened_plant(store_url)


def is_offered(plant: Plant, who: Actor, **limits: Any) -> bool:
    tools = JobTools(plant.store, replace(LIMITS, **limits))
    return plant.only(Job).id in [job.id for job in asyncio.run(tools.offered(who))]


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("job", "meant", "is_there"),
    [
        pytest.param({}, None, False, id="without the setting"),
        pytest.param({}, {}, True, id="where all are meant"),
        pytest.param({"grouping": "Network"}, NETWORK, True, id="one that is named"),
        pytest.param({"grouping": "Office"}, NETWORK, False, id="another one"),
        pytest.param({}, [NETWORK, {"enabled": True}], True, id="one of several that are named"),
        pytest.param({"enabled": False}, {}, False, id="one that is not enabled"),
        pytest.param({"installed": False}, {}, False, id="one that is not installed"),
        pytest.param({"is_job_hook_receiver": True}, {}, False, id="one that events start"),
        pytest.param({"approval_required": True}, {}, True, id="one that needs approval"),
        pytest.param({"has_sensitive_variables": True}, {}, True, id="one that only runs at once"),
        pytest.param(
            {"has_sensitive_variables": True, "approval_required": True},
            {},
            False,
            id="one that never can",
        ),
    ],
)
def test_a_person_is_offered_what_the_setting_names_and_can_run(
    plant: Plant, job: dict[str, Any], meant: Any, is_there: bool
) -> None:
    plant.change(plant.only(Job), hidden=False, **job)
    who = person(plant, "bob", may(JOB, RUN, VIEW))
    assert is_offered(plant, who, mcp_job_tools=meant) is is_there


def everything(plant: Plant) -> Actor:
    return person(plant, "bob", may(JOB, RUN, VIEW))


def unseen(plant: Plant) -> Actor:
    return person(plant, "bob", may(JOB, RUN))


def elsewhere(plant: Plant) -> Actor:
    return person(plant, "bob", may(JOB, VIEW), may(JOB, RUN, limit={"name": "another"}))


def with_a_token_that_only_reads(plant: Plant) -> Actor:
    return person(plant, "bob", may(JOB, RUN, VIEW), read_only=True)


def agent(plant: Plant) -> Actor:
    return agent_for(plant, everything(plant))


def whose_person_may_not(plant: Plant) -> Actor:
    return agent_for(plant, person(plant, "bob"))


def whose_person_has_gone(plant: Plant) -> Actor:
    made = agent_for(plant, bob := everything(plant))
    gone(plant, bob)
    return made


@pytest.mark.parametrize(
    ("made", "is_there"),
    [
        (everything, True),
        (unseen, False),
        (elsewhere, False),
        (with_a_token_that_only_reads, False),
        (agent, True),
        (whose_person_may_not, False),
        (whose_person_has_gone, False),
    ],
)
def test_whoever_asks_is_offered_what_they_may_view_and_run(
    plant: Plant, made: Callable[[Plant], Actor], is_there: bool
) -> None:
    assert is_offered(plant, made(plant), mcp_job_tools={}) is is_there


def test_what_could_be_approved_by_nobody_an_agent_is_not_offered(plant: Plant) -> None:
    plant.change(plant.only(Job), has_sensitive_variables=True)
    helper = agent(plant)
    assert is_offered(plant, helper, mcp_job_tools={}) is False
    assert is_offered(plant, helper, mcp_job_tools={}, agents_need_approval=AgentsNeedApproval.JOBS) is True
