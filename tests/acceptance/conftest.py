"""What acceptance tests share: an administrator, and people who may do some of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.people import People
from tests.live import Live


@pytest.fixture(scope="session")
def admin(live: Live) -> Iterator[httpx.Client]:
    """A superuser's client."""
    with live.client() as client:
        yield client


@pytest.fixture(scope="session")
def people(live: Live) -> Iterator[People]:
    """Makes users."""
    made = People(live)
    yield made
    made.close()
