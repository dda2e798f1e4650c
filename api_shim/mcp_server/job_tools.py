"""Jobs as tools of their own, with the inputs that each takes.

* Which there are, the server says to each caller anew (``/api/extras/job-tools``): the Jobs of a setting that they may
  run now. Nothing is kept between two calls, nor of one caller for another.
* A tool asks as ``request_run`` and ``schedule_run`` do, and as they do it decides nothing.
* It is called like the module and the class of its Job, with hyphens for dots: ``network-backup-BackupConfig``. No
  other tool has a hyphen in its name, and no two Jobs have one name.
* What the Job is given is under ``inputs``, so that a variable may be called like anything else that a tool takes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Required

from fastmcp.exceptions import ToolError
from fastmcp.server.providers import Provider
from fastmcp.tools import FunctionTool, Tool, ToolResult
from fastmcp.utilities.components import FastMCPComponent
from fastmcp.utilities.versions import VersionSpec
from mcp.types import ToolAnnotations
from typing_extensions import TypedDict

from api_shim import schemas
from api_shim.mcp_server.input_schema import input_schema
from api_shim.mcp_server.tools import At, Cron, Every, Key, Reason, ScheduleName, SignIn, TimeZone, Tools, told

logger = logging.getLogger("signoff")

LONGEST_NAME, DIGITS = 48, 10
"""Clients put the server's name before a tool's, and some leave out what has more than 60 characters then."""
PLAIN = re.compile(r"[A-Za-z0-9_-]+")
ASKS = "Asks for a run of the Job {name} ({grouping}), which may wait until a person approves it. {description}"


class Schedule(TypedDict, total=False):
    """When it runs, if not as soon as possible."""

    name: Required[ScheduleName]
    at: At
    every: Every
    cron: Cron
    time_zone: TimeZone


class JobTool(Tool):
    """The tool of one Job.

    Args:
        job: the id of the Job.
        asks: what takes the same, and the Job besides.
    """

    job: str
    asks: FunctionTool

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Ask for a run of the Job."""
        return await self.asks.run({**arguments, "job": self.job})


class JobTools(Provider):
    """Offers the tools of Jobs.

    Args:
        sign_in: returns a client for whoever calls.
        tools: those that every caller has.
    """

    def __init__(self, sign_in: SignIn, tools: Tools) -> None:
        super().__init__()
        self._sign_in = sign_in
        self._tools = tools
        self._asks = FunctionTool.from_function(told(self._ask), name="ask")

    async def _list_tools(self) -> Sequence[Tool]:
        try:
            return [self._tool(each) for each in await self._offered()]
        except ToolError as error:
            # Who has no list cannot even connect; with the other tools they are told what is amiss.
            logger.warning("No tools of Jobs can be offered: %s", error)
            return []

    async def _get_tool(self, name: str, _version: VersionSpec | None = None) -> Tool | None:
        # Others are not looked for among Jobs.
        found = await self._offered() if "-" in name else []
        return next((self._tool(each) for each in found if _name_of(each.job) == name), None)

    async def get_tasks(self) -> Sequence[FastMCPComponent]:
        """Return none: at its start, when nobody calls yet, a server asks which tools go on in the background."""
        return []

    async def _offered(self) -> list[schemas.JobTool]:
        async def asked() -> list[schemas.JobTool]:
            async with self._sign_in() as shim:
                return await shim.job_tools()

        return await told(asked)()

    async def _ask(
        self,
        job: str,
        inputs: dict[str, Any] | None = None,
        reason: Reason = "",
        schedule: Schedule | None = None,
        idempotency_key: Key = None,
    ) -> dict[str, Any]:
        given = inputs or {}
        if schedule is None:
            return await self._tools.request_run(job, given, reason, idempotency_key=idempotency_key)
        return await self._tools.schedule_run(job, given, reason=reason, idempotency_key=idempotency_key, **schedule)

    def _tool(self, offered: schemas.JobTool) -> JobTool:
        job, takes = offered.job, input_schema(offered.variables)
        properties = {name: said for name, said in self._asks.parameters["properties"].items() if name != "job"}
        needed = ["inputs"] if takes["required"] else []
        about = ASKS.format(name=job.name, grouping=job.grouping, description=job.description)
        return JobTool(
            name=_name_of(job),
            title=job.name,
            description=about.strip(),
            parameters={
                **self._asks.parameters,
                "properties": {**properties, "inputs": takes},
                "required": needed,
            },
            annotations=ToolAnnotations(
                read_only_hint=False, destructive_hint=not job.read_only, open_world_hint=False
            ),
            job=str(job.id),
            asks=self._asks,
        )


def _name_of(job: schemas.Job) -> str:
    return tool_name(job.module_name, job.job_class_name)


def tool_name(module: str, job_class: str) -> str:
    """Return what the tool of a Job is called; no other Job's is called the same.

    Args:
        module: the name of the Job's module.
        job_class: the name of its class.
    """
    path = f"{module}.{job_class}"
    name = path.replace(".", "-")
    if len(name) <= LONGEST_NAME and PLAIN.fullmatch(name):
        return name
    # No module has an empty part, so that no name above has two hyphens.
    digest = sha256(path.encode()).hexdigest()[:DIGITS]
    short = re.sub(r"[^A-Za-z0-9_]", "_", job_class)[: LONGEST_NAME - len("--") - DIGITS]
    return f"{short}--{digest}"
