"""Who may what with each tool: agents that were given everything or nothing, people, and who has no key that counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastmcp import Client

from api_shim.client.async_client import AsyncShim
from api_shim.mcp_server.server import create_server
from api_shim.mcp_server.tools import READS, WRITES
from tests.acceptance.people import People, schedule, unique
from tests.api_shim.in_process import InProcess

TOLD = ""
NO_PERMISSION = "You do not have permission to perform this action."
NO_RUN = "This user does not have permission to run jobs."
OVER = "This run has already ended."
KINDS = ("job", "scheduledjob", "jobresult", "approvalrequest", "joblogentry", "jobqueue")
ACTIONS = ("view", "add", "change", "delete", "run", "approve")
GREET: dict[str, Any] = {"job": "Greet", "inputs": {}}

TABLE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "find_jobs": ({}, TOLD, NO_PERMISSION, TOLD),
    "describe_job": ({"job": "Greet"}, TOLD, NO_PERMISSION, TOLD),
    "check_request": (GREET, TOLD, NO_RUN, TOLD),
    "request_run": (GREET, TOLD, NO_RUN, TOLD),
    "schedule_run": ({**GREET, "cron": "0 2 * * *"}, TOLD, NO_RUN, TOLD),
    "list_requests": ({}, TOLD, TOLD, TOLD),
    "show_request": ({"request": "request"}, TOLD, NO_PERMISSION, TOLD),
    "list_results": ({}, TOLD, NO_PERMISSION, TOLD),
    "show_result": ({"result": "result"}, TOLD, NO_PERMISSION, TOLD),
    "wait": ({"about": "result", "seconds": 1}, TOLD, NO_PERMISSION, TOLD),
    "cancel_run": ({"result": "result"}, NO_PERMISSION, NO_PERMISSION, OVER),
    "withdraw_request": ({"request": "request"}, NO_PERMISSION, "No ScheduledJob matches", TOLD),
}
"""By tool: what it is called with, about what somebody else has requested and run; and what an agent that was given
everything, an agent that was given nothing, and a superuser are told: nothing of a refusal, or its sentence."""


@pytest.fixture(scope="module")
def callers(people: People) -> dict[str, str]:
    person = people.add(superuser=True)
    grants = [(f"extras.{kind}", action, None) for kind in KINDS for action in ACTIONS]
    return {
        "an agent with everything": people.add(*grants, acts_for=person),
        "an agent with nothing": people.add(acts_for=person),
        "a person": person,
    }


@pytest.fixture
def theirs(people: People, admin: httpx.Client) -> Iterator[dict[str, str]]:
    """A request and a result of somebody else."""
    made = schedule(admin, job="Guarded")
    yield {"request": made["id"], "result": people.result("Greet")}
    admin.delete(made["url"])


def told(server: InProcess, key: str, tool: str, arguments: dict[str, Any]) -> tuple[bool, str]:
    """Call a tool with a key; return whether it was refused, and what was said."""
    transport = httpx.ASGITransport(app=server.application.front)

    async def called() -> tuple[bool, str]:
        made = create_server(lambda: AsyncShim(server.origin, key, insecure=True, transport=transport))
        async with Client(made) as client:
            answer = await client.call_tool(tool, arguments, raise_on_error=False)
            return answer.is_error, answer.content[0].text if answer.content else ""

    return server.portal.call(called)


def filled(arguments: dict[str, Any], theirs: dict[str, str], tool: str) -> dict[str, Any]:
    named = {"name": unique()} if tool == "schedule_run" else {}
    return {
        name: theirs.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()
    } | named


def test_every_tool_is_in_the_table() -> None:
    assert {*TABLE} == {*READS, *WRITES}


@pytest.mark.parametrize("who", ["an agent with everything", "an agent with nothing", "a person"])
@pytest.mark.parametrize("tool", TABLE)
def test_each_caller_has_what_they_may_and_no_more(
    server: InProcess, admin: httpx.Client, callers: dict[str, str], theirs: dict[str, str], tool: str, who: str
) -> None:
    arguments, *outcomes = TABLE[tool]
    refused, said = told(server, server.keys[callers[who]], tool, filled(arguments, theirs, tool))
    sentence = outcomes[[*callers].index(who)]
    assert (refused, sentence in said) == (bool(sentence), True), said
    taken_back = tool == "withdraw_request" and not refused
    there = admin.get(f"/api/extras/scheduled-jobs/{theirs['request']}/")
    assert there.status_code == (404 if taken_back else 200)


@pytest.mark.parametrize("tool", TABLE)
def test_whoever_has_no_key_that_counts_is_told_so_by_every_tool(
    server: InProcess, people: People, theirs: dict[str, str], tool: str
) -> None:
    arguments = filled(TABLE[tool][0], theirs, tool)
    assert told(server, "0" * 40, tool, arguments) == (True, "Invalid token")
