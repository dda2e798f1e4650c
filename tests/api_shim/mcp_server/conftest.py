"""The server that agents ask in this process."""

from tests.api_shim.web.rest.conftest import admin, people, server

__all__ = ["admin", "people", "server"]
