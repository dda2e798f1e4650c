"""What automations run of ours is requested, and not made in Prefect; what is not ours is made there as before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.server.events import actions
from prefect.server.events.schemas.automations import Automation, TriggeredAction

from api_shim.domain.ports import AutomationFiring
from api_shim.prefect_api.prefect_automations import run_as_accounts
from api_shim.prefect_api.prefect_json import read_automation
from approval_gate.errors import Forbidden, Invalid, Unavailable

OURS, THEIRS = uuid4(), uuid4()


class Orchestration:
    """Prefect's client, which makes no run here."""

    def __init__(self) -> None:
        self.made: list[UUID] = []

    async def create_flow_run(self, deployment_id: UUID, _run: object) -> httpx.Response:
        self.made.append(deployment_id)
        return httpx.Response(409, json={"detail": "as Prefect does"})


class Accounts:
    """What is asked here, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[AutomationFiring] = []
        self.error: Exception | None = None
        self.away = False
        self.became = SimpleNamespace(job_result=SimpleNamespace(id=uuid4()), scheduled_job=None)

    async def is_ours(self, deployment_id: UUID) -> bool:
        if self.away:
            raise Unavailable("The store does not answer.")
        return deployment_id == OURS

    async def request(self, firing: AutomationFiring) -> Any:
        self.asked.append(firing)
        if self.error is not None:
            raise self.error
        return self.became


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    monkeypatch.setattr(actions.RunDeployment, "command", actions.RunDeployment.command)
    made = Accounts()
    assert run_as_accounts(made.is_ours, made.request)
    return made


def triggered(deployment_id: UUID, **to: Any) -> TriggeredAction:
    action = {"type": "run-deployment", "source": "selected", "deployment_id": str(deployment_id), **to}
    trigger = {"type": "event", "posture": "Reactive", "threshold": 1, "within": 0, "expect": ["b", "a"]}
    automation = Automation(id=uuid4(), name="nightly", trigger=trigger, actions=[action])
    return TriggeredAction(
        automation=automation,
        triggered=datetime.now(UTC),
        triggering_labels={"who": "Zoë"},
        triggering_event=None,
        action=automation.actions[0],
    )


def perform(one: TriggeredAction, orchestration: Orchestration | None = None) -> httpx.Response:
    action: Any = one.action
    answer: httpx.Response = asyncio.run(action.command(orchestration or Orchestration(), action.deployment_id, one))
    return answer


def test_a_run_of_ours_is_requested_with_what_prefect_fills_in(accounts: Accounts) -> None:
    orchestration = Orchestration()
    one = triggered(
        OURS,
        parameters={"who": {"__prefect_kind": "jinja", "template": "{{ labels.who }}"}},
        schedule_after=60,
        job_variables={"image": "x"},
    )
    assert perform(one, orchestration).status_code == 201
    [asked] = accounts.asked
    assert asked == AutomationFiring(
        automation=read_automation(one.automation.model_dump(mode="json")),
        key=one.idempotency_key(),
        deployment_id=OURS,
        parameters={"who": "Zoë"},
        job_variables={"image": "x"},
        after=timedelta(seconds=60),
    )
    assert asked.automation.runs == {OURS}
    assert one.action._result_details == {"job_result": str(accounts.became.job_result.id)}
    assert orchestration.made == []


def test_what_waits_is_told_as_such(accounts: Accounts) -> None:
    accounts.became = SimpleNamespace(job_result=None, scheduled_job=SimpleNamespace(id=uuid4()))
    perform(one := triggered(OURS))
    assert one.action._result_details == {"scheduled_job": str(accounts.became.scheduled_job.id)}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        pytest.param(Forbidden("It is bound to no account."), "It is bound to no account.", id="a refusal"),
        pytest.param(Invalid({"errors": {"who": ["Required."]}}), "who: Required.", id="inputs that do not fit"),
    ],
)
def test_a_refusal_is_one_sentence_of_an_action_that_failed(
    accounts: Accounts, error: Exception, sentence: str
) -> None:
    accounts.error = error
    with pytest.raises(actions.ActionFailed) as failed:
        perform(triggered(OURS))
    assert failed.value.reason == sentence


def test_parameters_that_cannot_be_filled_in_are_told(accounts: Accounts) -> None:
    with pytest.raises(actions.ActionFailed) as failed:
        perform(triggered(OURS, parameters={"who": {"__prefect_kind": "jinja", "template": "{{ 1 / 0 }}"}}))
    assert failed.value.reason.startswith("The parameters of the run could not be filled in: ")
    assert accounts.asked == []


def test_while_it_is_not_known_whose_it_is_nothing_is_run(accounts: Accounts) -> None:
    accounts.away = True
    for deployment_id in (OURS, THEIRS):
        orchestration = Orchestration()
        with pytest.raises(actions.ActionFailed) as failed:
            perform(triggered(deployment_id), orchestration)
        assert (failed.value.reason, orchestration.made, accounts.asked) == ("The store does not answer.", [], [])


def test_runs_of_what_is_not_ours_are_made_in_prefect(accounts: Accounts) -> None:
    orchestration = Orchestration()
    assert perform(triggered(THEIRS), orchestration).status_code == 409
    assert (orchestration.made, accounts.asked) == ([THEIRS], [])


async def other(self: Any, triggered_action: Any) -> None: ...


def without_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "RunDeployment", actions.DoNothing)


def with_other_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions.RunDeployment, "command", other)


@pytest.mark.parametrize("as_other_version", [without_fields, with_other_parameters])
def test_with_a_class_that_looks_otherwise_nothing_is_taken_over_which_is_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    as_other_version: Callable[[pytest.MonkeyPatch], None],
) -> None:
    as_other_version(monkeypatch)
    before = getattr(actions.RunDeployment, "command", None)
    nobody = Accounts()
    assert not run_as_accounts(nobody.is_ours, nobody.request)
    assert getattr(actions.RunDeployment, "command", None) is before
    assert "they can run no Jobs" in caplog.text
