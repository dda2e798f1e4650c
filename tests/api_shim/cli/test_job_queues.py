"""``signoff job-queue``: what it asks, and what it prints."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

QUEUES = "/api/extras/job-queues/"


def test_the_list_has_the_pool_of_each(signoff: Run, server: Told) -> None:
    server.body = said.page(said.queue())
    printed = signoff("job-queue", "list", "--pool", "big", "--sort", "name")
    assert [line.split() for line in printed.out.splitlines()] == [
        ["id", "name", "pool", "workers"],
        [server.body["results"][0]["id"], "gpu", "big", "2"],
    ]
    assert server.asked == [("GET", f"{QUEUES}?limit=50&pool=big&sort=name", None)]
    assert signoff("job-queue", "list", "--json").json == server.body["results"]


@pytest.mark.parametrize(
    ("words", "pool", "asked", "text"),
    [
        pytest.param(
            ("add", "gpu", "--pool", "big"),
            "big",
            ("POST", QUEUES, {"name": "gpu", "pool": "big"}),
            "Added “gpu” to the work pool big.\n",
            id="add",
        ),
        pytest.param(
            ("add", "gpu"),
            "",
            ("POST", QUEUES, {"name": "gpu", "pool": ""}),
            "Added “gpu” to the work pool of the server.\n",
            id="add to that of the server",
        ),
        pytest.param(
            ("move", "gpu", "big"),
            "big",
            ("PATCH", f"{QUEUES}gpu/", {"pool": "big"}),
            "Moved “gpu” to the work pool big.\n",
            id="move",
        ),
    ],
)
def test_what_is_done_is_told(
    signoff: Run, server: Told, words: tuple[str, ...], pool: str, asked: tuple[str, str, Any], text: str
) -> None:
    server.body = said.queue(pool=pool)
    printed = signoff("job-queue", *words)
    assert (printed.status, printed.out) == (0, text)
    assert server.asked == [asked]
    assert signoff("job-queue", *words, "--json").json == server.body


def test_one_that_is_in_use_stays_and_that_is_told(signoff: Run, server: Told) -> None:
    server.status, server.body = 409, {"detail": "The queue gpu is in use."}
    printed = signoff("job-queue", "delete", "gpu")
    assert (printed.status, printed.err) == (1, "error: gpu: The queue gpu is in use.\n")
    assert server.asked == [("DELETE", f"{QUEUES}gpu/", None)]
