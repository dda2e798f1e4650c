"""What acceptance tests share: an administrator, and people who may do some of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.acceptance.asking import JOBS
from tests.acceptance.people import People, schedule, unique
from tests.live import Live, Server


@pytest.fixture(scope="session")
def server(live: Live) -> Server:
    """What is asked: a real server here."""
    return live


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[httpx.Client]:
    """A superuser's client."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def people(server: Server) -> Iterator[People]:
    """Makes users."""
    made = People(server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def greet(admin: httpx.Client) -> Mapping[str, Any]:
    """A Job that needs no approval and takes two variables."""
    found: Mapping[str, Any] = admin.get(f"{JOBS}Greet/").json()
    return found


@pytest.fixture(scope="module")
def planned(admin: httpx.Client) -> Iterator[Mapping[str, Any]]:
    """A scheduled job that nobody changes."""
    made = schedule(admin, unique("conformance"))
    yield made
    admin.delete(made["url"])
