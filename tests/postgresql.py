"""A PostgreSQL server for a while, of whatever version this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live import free_port
from tests.memory import folder_in_memory

POSTGRES_HOMES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")
HASTY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
"""For a database in which nothing has to survive a power cut."""


class NoPostgreSQL(Exception):
    """There is no PostgreSQL on this machine."""


def postgresql_programs() -> Path:
    if (on_path := shutil.which("initdb")) is not None:
        return Path(on_path).parent
    found = sorted(path for home in POSTGRES_HOMES for path in Path(home).glob("**/bin/initdb"))
    if not found:
        raise NoPostgreSQL
    return found[-1].parent


@contextmanager
def postgresql_cluster(*, lasts: bool) -> Iterator[str]:
    """Have a PostgreSQL server for a while, and yield its URL, without a database.

    Args:
        lasts: whether what it commits would survive a power cut, as it has to where it is measured.

    Raises:
        NoPostgreSQL: there is none here.
    """
    programs = postgresql_programs()
    with tempfile.TemporaryDirectory(prefix="signoff-pg-", dir=None if lasts else folder_in_memory()) as folder:
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        is_root = os.geteuid() == 0
        if is_root:
            shutil.chown(folder, "postgres")
        data, port = f"{folder}/data", free_port()

        def run(*command: str) -> None:
            whose: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if is_root else {}
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **whose)

        run(str(programs / "initdb"), "-D", data, "-U", "signoff", "--auth=trust", "-E", "UTF8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 {'' if lasts else HASTY}"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://signoff@127.0.0.1:{port}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
