"""A server within the tests' process: our whole application over a store of its own, with Prefect in memory.

It answers as ``signoff up --demo`` does with the acceptance tests' Jobs, but runs none. What is decided before Prefect
is asked can be tried on it in a thousandth of the time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from api_shim.domain.ports import LogLine
from api_shim.web.proxies import BehindProxies
from api_shim.web.request_ids import Identified
from api_shim.web.request_log import Logged
from flows.registry import discover
from tests.api_shim.origin import Origin
from tests.databases import sqlite_with_tables, store_of
from tests.live import Server

MODULES = ("tests.acceptance.jobs_for_tests", "flows.examples")
HERE = "127.0.0.1"
"""The address of the clients, which is a trusted proxy."""


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Within(httpx.BaseTransport):
    """Passes requests on to an application in another thread's event loop."""

    portal: BlockingPortal
    app: Any

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.portal.call(self._ask, request)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False, client=(HERE, 1))
        request.read()  # a body that has been read can be sent by a loop as well
        answer = await transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


@dataclass(kw_only=True)
class InProcess(Server):
    """A server within this process.

    Args:
        portal: where its event loop is.
        application: it.
    """

    portal: BlockingPortal
    application: Origin

    def transport(self) -> httpx.BaseTransport:
        return Within(self.portal, BehindProxies(Identified(Logged(self.application.front)), [ip_network(HERE)]))

    def log(self, result_id: str, *messages: str) -> list[LogLine]:
        """Let Prefect have a log for a job result, and return its lines."""
        lines = [
            LogLine(id=uuid4(), level=logging.INFO, source="prefect.flow_runs", message=message, created=now())
            for message in messages
        ]
        self.application.engine.lines[UUID(result_id)] = lines
        return lines

    def tick(self) -> None:
        """Let the background loop do once what is due."""
        self.portal.call(self.application.loop.tick)


@contextmanager
def in_process(home: Path) -> Iterator[InProcess]:
    """Start a server, whose files are in a folder, for a while."""
    sqlite_with_tables(home / "signoff.db")
    with (
        closing(store_of(home)) as store,
        start_blocking_portal() as portal,
    ):
        application = Origin(store, now)
        # Other tests of this process have registered Jobs of their own.
        jobs = discover(MODULES).jobs.values()
        application.catalogue.record([job for job in jobs if job.class_path.startswith(MODULES)])
        application.user("admin")
        keys = dict(application.identity.demo_keys(application.catalogue, now()))
        started = InProcess(
            origin="http://signoff.example",
            home=home,
            keys={**application.keys, **keys},
            portal=portal,
            application=application,
        )
        started.tick()
        yield started
