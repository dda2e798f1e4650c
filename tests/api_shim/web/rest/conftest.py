"""The server that the REST API's tables are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import admin, greet, people, planned
from tests.api_shim.in_process import InProcess, in_process

__all__ = ["admin", "greet", "people", "planned"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """Our whole application, with Prefect in memory."""
    with in_process(tmp_path_factory.mktemp("in-process")) as started:
        yield started
