"""What the tests of the worker share: fork servers with an engine that executes what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api_shim.worker import fork_server
from api_shim.worker.fork_server import Child, ForkServers
from api_shim.worker.jobs_user import JobsUser, working_folder
from tests.live import PATIENCE, eventually

ROOT = Path(__file__).parents[3]


@dataclass
class Forks:
    """Fork servers, and how to ask them."""

    servers: ForkServers
    folder: Path
    out: Path

    async def begin(
        self, do: str, *, job: str = "nowhere.Job", fresh: bool = False, command: Sequence[str] = (), **env: str
    ) -> Child:
        """Have a child execute some code; ``out`` is a file that it may write to."""
        code = f"from pathlib import Path; out = Path({str(self.out)!r})\n{do}"
        whole = {**self.servers.environment, "DO": code, **env}
        return await self.servers.fork(
            {
                "env": whole,
                "cwd": str(self.folder),
                "job": job,
                "fresh": fresh,
                "command": command,
                "output": True,
                "known": {},
                "at": 0,
            }
        )

    async def do(self, do: str, **how: Any) -> str:
        """Have a child execute some code to its end, and return what it has written."""
        self.out.unlink(missing_ok=True)
        child = await self.begin(do, **how)
        await asyncio.wait_for(child.ended.wait(), PATIENCE)
        assert child.returncode == 0
        return self.out.read_text()

    async def written(self, child: Child) -> str:
        """Wait until a child has written something, and return it."""
        del child
        return await asyncio.to_thread(eventually, lambda: self.out.read_text() if self.out.exists() else "")


@pytest.fixture
def anyio_backend() -> str:
    """What runs tests that are coroutines."""
    return "asyncio"


Forking = Callable[..., Any]


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Forking:
    """Fork servers for modules that stand in ``tmp_path``."""
    monkeypatch.setattr(fork_server, "ZYGOTE", "tests.api_shim.worker.zygote_for_tests")

    @asynccontextmanager
    async def made(*modules: str, user: JobsUser | None = None, **env: str) -> AsyncIterator[Forks]:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        path = os.pathsep.join((str(tmp_path), str(ROOT)))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **env}
        with contextlib.ExitStack() as stack:
            if user is not None:
                # Where they can neither read nor write it stays ours.
                parent = stack.enter_context(working_folder(user))
                work = Path(stack.enter_context(user.folder(parent)))
                environment = user.adapt(environment | {"PYTHONPATH": os.environ["PYTHONPATH"]}, parent)
            servers = ForkServers(modules, {"folder": str(work), "certificates": None}, environment, user)
            try:
                yield Forks(servers, work, (tmp_path if user is None else work) / "out")
            finally:
                await servers.stop(0)

    return made
