"""Jobs as tools of their own: what they are called, who has them, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastmcp import Client
from hypothesis import given
from hypothesis import strategies as st

from api_shim.client.async_client import AsyncShim
from api_shim.mcp_server.job_tools import LONGEST_NAME, PLAIN, tool_name
from api_shim.mcp_server.server import create_server
from api_shim.mcp_server.tools import READS, WRITES
from api_shim.settings import LIMITS
from tests.acceptance.people import People, unique
from tests.api_shim.in_process import InProcess

JOBS = "tests-acceptance-jobs_for_tests"
GREET = f"{JOBS}-Greet"
MEANT = {"name__in": ["Greet", "Guarded", "Write a file"]}


@pytest.mark.parametrize(
    ("module", "job_class", "name"),
    [
        ("jobs", "Backup", "jobs-Backup"),
        ("network.backup", "BackupConfig", "network-backup-BackupConfig"),
        ("a.b_c", "D", "a-b_c-D"),
        ("a_b.c", "D", "a_b-c-D"),
        ("far.away." * 6 + "jobs", "Backup", "Backup--a9ceb850c7"),
        ("jobs", "Größe", "Gr__e--c4a2f22500"),
        ("jobs", "B" * 60, f"{'B' * 36}--d1ce4e9a3f"),
    ],
)
def test_a_tool_is_called_like_its_job(module: str, job_class: str, name: str) -> None:
    assert tool_name(module, job_class) == name


identifier = st.text(max_size=60).filter(str.isidentifier)
paths = st.tuples(st.lists(identifier, min_size=1, max_size=4).map(".".join), identifier)


@given(st.sets(paths, max_size=6))
def test_names_are_such_as_clients_take_and_no_two_are_the_same(jobs: set[tuple[str, str]]) -> None:
    names = [tool_name(*job) for job in jobs]
    assert all(len(name) <= LONGEST_NAME and PLAIN.fullmatch(name) and "-" in name for name in names)
    assert len({*names}) == len(names)


@pytest.fixture(autouse=True)
def _offering(server: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    offers = server.application.shim.state.services.job_tools
    monkeypatch.setattr(offers, "_limits", replace(LIMITS, mcp_job_tools=MEANT))


@pytest.fixture(scope="module")
def person(people: People) -> str:
    return people.add(("extras.job", "run", None), ("extras.job", "view", None))


@pytest.fixture(scope="module")
def agent(people: People, person: str) -> str:
    return people.add(*(("extras.job", action, None) for action in ("view", "run")), acts_for=person)


Asked = Callable[..., Any]


@pytest.fixture
def asked(server: InProcess, agent: str) -> Asked:
    """Does something with a client of the agent, or of somebody else."""
    transport = httpx.ASGITransport(app=server.application.front)

    def talk(what: Callable[[Client[Any]], Any], who: str = agent) -> Any:
        async def within() -> Any:
            key = server.keys.get(who, who)
            made = create_server(lambda: AsyncShim(server.origin, key, insecure=True, transport=transport))
            async with Client(made) as client:
                return await what(client)

        return server.portal.call(within)

    return talk


def listed(asked: Asked, *who: str) -> dict[str, Any]:
    return {tool.name: tool for tool in asked(lambda client: client.list_tools(), *who)}


def call(asked: Asked, *who: str, tool: str = GREET, **arguments: Any) -> Any:
    answer = asked(lambda client: client.call_tool(tool, arguments, raise_on_error=False), *who)
    return answer.content[0].text if answer.is_error else answer.data


def test_a_tool_says_what_its_job_does_and_takes(asked: Asked) -> None:
    tools = listed(asked)
    assert tools.keys() == {*READS, *WRITES, GREET, f"{JOBS}-Guarded", f"{JOBS}-Write"}
    greet, write = tools[GREET], tools[f"{JOBS}-Write"]
    assert (greet.title, "Says hello." in greet.description) == ("Greet", True)
    assert greet.annotations.read_only_hint is False
    takes = greet.input_schema
    assert takes["properties"].keys() == {"inputs", "reason", "schedule", "idempotency_key"}
    assert takes["required"] == []
    assert takes["properties"]["inputs"]["properties"]["count"] == {
        "type": "integer",
        "default": 1,
        "minimum": 1,
        "maximum": 100,
    }
    # A Job may well have a variable that is called as something else is.
    assert "name" in write.input_schema["properties"]["inputs"]["properties"]
    assert write.input_schema["required"] == ["inputs"]


def test_it_asks_as_any_request_is_made(asked: Asked, admin: httpx.Client, agent: str) -> None:
    key = unique("key")
    made, again = (
        call(asked, inputs={"who": "Ada"}, reason="Say hello.", idempotency_key=key),
        call(asked, inputs={"who": "Ada"}, reason="Say hello.", idempotency_key=key),
    )
    assert (made["job"].rpartition(".")[2], made["state"], made["reason"]) == ("Greet", "pending", "Say hello.")
    assert again["request"] == made["request"]
    row = admin.get(f"/api/extras/scheduled-jobs/{made['request']}/", params={"depth": 1}).json()
    assert (row["kwargs"]["who"], row["user"]["username"]) == ("Ada", agent)
    later = call(asked, schedule={"name": unique(), "cron": "0 2 * * *", "time_zone": "Europe/Zurich"})
    assert (later["interval"], later["crontab"], later["state"]) == ("custom", "0 2 * * *", "pending")
    for each in (made, later):
        admin.delete(f"/api/extras/scheduled-jobs/{each['request']}/").raise_for_status()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"inputs": {"count": 0}}, "count", id="an input that is refused"),
        pytest.param({"inputs": {"more": 1}}, "unknown property", id="an input that there is not"),
        pytest.param({"inputs": {}, "decision": "approve"}, "decision", id="what it does not take"),
        pytest.param({"schedule": {"cron": "0 2 * * *"}}, "name", id="a schedule without a name"),
        pytest.param({"schedule": {"name": "x", "every": "daily", "cron": "* * * * *"}}, "not both", id="two ways"),
        pytest.param({"tool": f"{JOBS}-Read"}, "Unknown tool", id="a Job that is not offered"),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(asked: Asked, arguments: dict[str, Any], sentence: str) -> None:
    assert sentence in call(asked, **arguments)


def test_the_job_of_a_tool_is_its_own_whatever_is_sent(asked: Asked, admin: httpx.Client) -> None:
    made = call(asked, job="Guarded")
    assert made["job"].endswith(".Greet")
    admin.delete(f"/api/extras/scheduled-jobs/{made['request']}/").raise_for_status()


def test_each_caller_has_the_tools_of_the_jobs_that_they_may_run(asked: Asked, people: People, person: str) -> None:
    view = ("extras.job", "view", None)
    of_one = people.add(view, ("extras.job", "run", {"name": "Greet"}), acts_for=person)
    of_none, of_person = (
        people.add(view, acts_for=person),
        people.add(*(("extras.job", a, None) for a in ("view", "run"))),
    )
    own = {who: {name for name in listed(asked, who) if "-" in name} for who in (of_one, of_none, of_person)}
    assert own == {of_one: {GREET}, of_none: set(), of_person: {GREET, f"{JOBS}-Guarded", f"{JOBS}-Write"}}
    assert "Unknown tool" in call(asked, of_one, tool=f"{JOBS}-Guarded")
    assert "Unknown tool" in call(asked, of_none)


def test_who_has_no_key_that_counts_is_told_so(asked: Asked) -> None:
    assert "Invalid token" in call(asked, "0" * 40)
