"""An agent asks by the Model Context Protocol, and a person decides: a real server, worker and client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from tests.acceptance.people import People, unique
from tests.live import Live

GREET = "jobs_for_tests-Greet"
SEEN = ("extras.job", "extras.scheduledjob", "extras.jobresult", "extras.joblogentry")


@pytest.fixture
def agent(people: People) -> str:
    """An agent of its own for each test: how much one may ask a minute is limited."""
    person = people.add(("extras.job", "run", None))
    return people.add(("extras.job", "run", None), *((kind, "view", None) for kind in SEEN), acts_for=person)


def by_http(live: Live, key: str) -> StreamableHttpTransport:
    return StreamableHttpTransport(f"{live.origin}/signoff/mcp", headers={"Authorization": f"Bearer {key}"})


def by_stdio(live: Live, key: str) -> StdioTransport:
    environment = {**os.environ, "SIGNOFF_URL": live.origin, "SIGNOFF_TOKEN": key}
    return StdioTransport(sys.executable, ["-m", "api_shim.cli", "mcp"], env=environment)


@pytest.fixture(params=[by_http, by_stdio], ids=["over HTTP", "over standard input and output"])
def talk(request: pytest.FixtureRequest, live: Live, agent: str) -> Iterator[Callable[..., Any]]:
    """Lets something be done with a client that has signed in as the agent."""

    def talked(what: Callable[[Client[Any]], Awaitable[Any]]) -> Any:
        async def within() -> Any:
            async with Client(request.param(live, live.keys[agent])) as client:
                return await what(client)

        return asyncio.run(within())

    return talked


def test_an_agent_asks_a_person_decides_and_the_agent_reads_what_came_of_it(
    talk: Callable[..., Any], admin: httpx.Client
) -> None:
    heard: list[float] = []

    async def asks(client: Client[Any]) -> Any:
        asked = (
            await client.call_tool("request_run", {"job": "Greet", "inputs": {"who": "Ada"}, "reason": "Hi."})
        ).data

        async def hear(progress: float, _total: float | None, _message: str | None) -> None:
            heard.append(progress)

        waiting = {"about": asked["request"], "seconds": 1}
        first = (await client.call_tool("wait", waiting, progress_handler=hear)).data
        with pytest.raises(TimeoutError):
            # The agent breaks off in the middle of a wait, and its session ends.
            await asyncio.wait_for(client.call_tool("wait", {**waiting, "seconds": 300}), 2)
        return asked, first

    asked, first = talk(asks)
    assert (asked["state"], first["over"], bool(heard)) == ("pending", False, True)
    [queued] = admin.get("/api/extras/approval-queue/", params={"q": asked["name"]}).json()["results"]
    assert queued["id"] == asked["request"]
    admin.post(f"/api/extras/scheduled-jobs/{asked['request']}/approve/").raise_for_status()

    async def goes_on(client: Client[Any]) -> Any:
        # Another session: nothing was kept of the first.
        over = (await client.call_tool("wait", {"about": asked["request"], "seconds": 120})).data
        shown = (await client.call_tool("show_result", {"result": over["result"]["result"]})).data
        return over, shown

    over, shown = talk(goes_on)
    assert (over["over"], over["state"]) == (True, "SUCCESS")
    assert shown["written_by_the_job"]["result"]["greeted"] == "Ada"
    assert any("Hello Ada" in line for line in shown["written_by_the_job"]["log"])


def test_a_job_is_a_tool_of_its_own(talk: Callable[..., Any], admin: httpx.Client) -> None:
    async def asks(client: Client[Any]) -> Any:
        tools = {tool.name: tool for tool in await client.list_tools()}
        arguments = {"inputs": {"who": "Ada", "count": 3}, "reason": "Hi."}
        return tools, (await client.call_tool(GREET, arguments)).data

    tools, asked = talk(asks)
    assert [name for name in tools if "-" in name] == [GREET]
    assert tools[GREET].input_schema["properties"]["inputs"]["properties"]["who"]["maxLength"] == 50
    [queued] = admin.get("/api/extras/approval-queue/", params={"q": asked["name"]}).json()["results"]
    assert (queued["kwargs"]["who"], queued["kwargs"]["count"], queued["reason"]) == ("Ada", 3, "Hi.")
    admin.delete(f"/api/extras/scheduled-jobs/{asked['request']}/").raise_for_status()


def test_many_calls_at_once_are_all_answered(live: Live, agent: str) -> None:
    async def asked() -> list[Any]:
        async with Client(by_http(live, live.keys[agent])) as client:
            # As clients do at their start; this one would do so in each of the calls, and ask more than an agent may.
            await client.list_tools()
            calls = (client.call_tool("find_jobs", {"search": "Greet"}) for _ in range(200))
            return [answer.data for answer in await asyncio.gather(*calls)]

    answers = asyncio.run(asked())
    assert len(answers) == 200
    assert all(answer == answers[0] and answer for answer in answers)


def test_what_is_refused_is_told_and_the_same_request_is_made_once(live: Live, agent: str) -> None:
    async def asked() -> Any:
        async with Client(by_http(live, live.keys[agent])) as client:
            key = {"job": "Greet", "inputs": {}, "idempotency_key": unique("key")}
            one, two = [(await client.call_tool("request_run", key)).data for _ in range(2)]
            refused = await client.call_tool("request_run", {"job": "nothing", "inputs": {}}, raise_on_error=False)
            await client.call_tool("withdraw_request", {"request": one["request"]})
            return one, two, refused

    one, two, refused = asyncio.run(asked())
    assert one["request"] == two["request"]
    assert (refused.is_error, refused.content[0].text) == (True, "No Job matches the given query.")
