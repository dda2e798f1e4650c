"""The help says what there is, all of it and nothing else, to everybody who is signed in."""

from __future__ import annotations

import html
import json
import re

import pytest

import flows
from api_shim.domain.model import Status
from api_shim.domain.status_words import ScheduleStatus
from api_shim.mcp_server.tools import READS, WRITES
from api_shim.store import Store
from api_shim.web.pages.help import ACTIONS, IN_RUN, META, RECIPES, RESULTS, SCHEDULED, TOOLS, TOPICS, VARIABLES
from approval_gate.model import Action, ObjectType
from flows.definition import _ALIASES, _META
from flows.examples import CheckHosts
from flows.job import _HOOKS
from flows.variables import BooleanVar
from tests.api_shim.origin import ADDRESS, Origin
from tests.api_shim.web.pages.test_run import Visitor, check_harmless
from tests.conftest import Clock


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    made.user("plain", superuser=False)
    return made


def test_every_class_of_variables_is_explained_and_no_other() -> None:
    assert {*VARIABLES} == {name for name in flows.__all__ if name.endswith("Var") or name == "ScriptVariable"}


def test_the_options_of_variables_are_those_that_there_are() -> None:
    for name, told in VARIABLES.items():
        kind = getattr(flows, name)
        options = [option for option in told.options.split(", ") if option]
        known = {word for base in kind.__mro__ if base.__init__ is not object.__init__ for word in _words(base)}
        assert {*options} <= known, name
    assert VARIABLES[BooleanVar.__name__].options == ""


def _words(base: type) -> set[str]:
    code = getattr(base.__init__, "__code__", None)
    return set() if code is None else {*code.co_varnames}


def test_every_setting_of_meta_is_explained_and_no_other() -> None:
    assert {*META} == {*_META, *_ALIASES}


def test_what_a_job_can_use_is_there() -> None:
    job = CheckHosts()
    # A run alone has a request.
    assert [name for name in IN_RUN if not hasattr(job, name) and name != "request"] == []
    explained = " ".join([*IN_RUN, *IN_RUN.values()])
    assert [name for name in _HOOKS if name not in explained] == []


def test_every_tool_of_agents_is_explained_and_no_other() -> None:
    assert {*TOOLS} == {*READS, *WRITES}


def test_what_is_said_of_clients_is_json_with_the_address_of_this_server(origin: Origin) -> None:
    page = html.unescape(Visitor(origin).get("/signoff/help/agents").text)
    told = [json.loads(text) for text in re.findall(r"<pre[^>]*>(\{.*?)</pre>", page, re.DOTALL)]
    of_one, of_another, program = [each["mcpServers"]["signoff"] for each in told]
    assert of_one["url"] == of_another["url"] == f"{ADDRESS}/signoff/mcp"
    assert [each["headers"]["Authorization"].partition(" ")[0] for each in (of_one, of_another)] == ["Bearer"] * 2
    assert (program["command"], program["args"]) == ("signoff", ["mcp", "--url", ADDRESS])


def test_every_action_is_explained_and_recipes_name_what_there_is() -> None:
    assert {*ACTIONS} == {*Action}
    for need in (need for needs in RECIPES.values() for need in needs):
        named, _, kinds = need.partition(" on ")
        assert {*named.split(", ")} <= {*map(str, Action)}, need
        found = re.findall(r"[a-z]+\.[a-z]+", kinds)
        assert found
        assert {*found} <= {str(kind) for kind in ObjectType}, need


def test_every_state_is_explained_and_no_other() -> None:
    assert {*RESULTS} == {*Status}
    assert {*SCHEDULED} == {*ScheduleStatus}


@pytest.mark.parametrize("who", ["admin", "plain"])
@pytest.mark.parametrize("address", ["", *(f"/{topic}" for topic in TOPICS)])
def test_everybody_who_is_signed_in_reads_it_and_nobody_else(origin: Origin, who: str, address: str) -> None:
    page = Visitor(origin, who).get(f"/signoff/help{address}")
    assert page.status_code == 200
    check_harmless(page.text)
    addresses = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert [each for each in addresses if not each.startswith(("/", "#"))] == []
    stranger = origin.ask("GET", f"/signoff/help{address}", None)
    assert stranger.status_code == 303
    assert stranger.headers["location"].startswith("/signoff/sign-in")


def test_a_page_that_there_is_not_is_none(origin: Origin) -> None:
    for topic in ("nothing", "%2e%2e", "help", "%00"):
        assert Visitor(origin).get(f"/signoff/help/{topic}").status_code == 404


def test_it_is_linked_from_where_the_question_arises(origin: Origin) -> None:
    job, admin = origin.job(), Visitor(origin)
    for address, link in (
        ("/signoff/jobs", "/signoff/help/jobs"),
        (f"/signoff/jobs/{job.id}/run", "/signoff/help/crontab"),
        ("/signoff/approval-queue", "/signoff/help/permissions"),
        ("/signoff/results", "/signoff/help/words"),
        ("/signoff/scheduled-jobs", "/signoff/help/words"),
        ("/signoff/account", "/signoff/help/api"),
        ("/signoff/administration/permissions", "/signoff/help/permissions"),
        ("/signoff/preferences", "/signoff/help"),
    ):
        assert f'href="{link}"' in admin.get(address).text, address
    assert "/signoff/help" not in origin.ask("GET", "/signoff/sign-in", None).text
