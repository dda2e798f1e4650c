"""``signoff job-button`` and ``signoff job-hook``: what they ask, and what they print."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

BUTTONS, HOOKS = "/api/extras/job-buttons/", "/api/extras/job-hooks/"


def test_the_lists_say_for_what_each_is(signoff: Run, server: Told) -> None:
    server.body = said.page(said.button())
    printed = signoff("job-button", "list", "-w", "enabled=true")
    assert [line.split() for line in printed.out.splitlines()] == [
        ["id", "name", "text", "types", "enabled"],
        [server.body["results"][0]["id"], "inspect", "Inspect", "extras.jobresult", "yes"],
    ]
    server.body = said.page(said.hook())
    printed = signoff("job-hook", "list", "--sort", "name")
    assert [line.split() for line in printed.out.splitlines()] == [
        ["id", "name", "types", "changes", "enabled"],
        [server.body["results"][0]["id"], "watch", "extras.scheduledjob", "create,", "delete", "yes"],
    ]
    assert signoff("job-hook", "list", "--json").json == server.body["results"]


@pytest.mark.parametrize(
    ("words", "answer", "asked", "text"),
    [
        pytest.param(
            ("job-button", "add", "inspect", "--job", "Inspect", "--on", "extras.jobresult", "--no-confirmation"),
            said.button(),
            {
                "name": "inspect",
                "job": "Inspect",
                "text": "inspect",
                "content_types": ["extras.jobresult"],
                "weight": 100,
                "group_name": "",
                "button_class": "default",
                "confirmation": False,
            },
            "Added the button “inspect”.\n",
            id="a button",
        ),
        pytest.param(
            ("job-hook", "add", "watch", "--job", "Hear", "--on", "extras.job", "--on", "extras.jobresult", "--delete"),
            said.hook(),
            {
                "name": "watch",
                "job": "Hear",
                "content_types": ["extras.job", "extras.jobresult"],
                "type_create": False,
                "type_update": False,
                "type_delete": True,
            },
            "Added the hook “watch”.\n",
            id="a hook",
        ),
    ],
)
def test_what_is_added_is_told(
    signoff: Run, server: Told, words: tuple[str, ...], answer: Any, asked: dict[str, Any], text: str
) -> None:
    server.body = answer
    printed = signoff(*words)
    assert (printed.status, printed.out) == (0, text)
    assert server.asked == [("POST", f"/api/extras/{words[0]}s/", asked)]


@pytest.mark.parametrize("what", ["job-button", "job-hook"])
def test_several_are_deleted_one_after_the_other(signoff: Run, server: Told, what: str) -> None:
    server.status, server.body = 204, None
    assert signoff(what, "delete", "a", "b").status == 0
    assert server.asked == [("DELETE", f"/api/extras/{what}s/{name}/", None) for name in "ab"]
