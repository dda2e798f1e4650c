"""What Prefect's server keeps its data in, and by what its processes tell each other of it: for a line at the start.

* All of it is set as Prefect documents, and stays as the user has set it.
* Addresses are told as who asks writes them, who leaves out the credentials.
* What stands in the memory of a process the other processes do not know of.
* What is named and not installed is refused before anything starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from approval_gate.errors import Unavailable

MODULES = {
    "PREFECT_MESSAGING_BROKER": "events.messaging_broker",
    "PREFECT_MESSAGING_CACHE": "events.messaging_cache",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "events.causal_ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "concurrency.lease_storage",
}
"""Modules that are chosen by settings, by the variable; where it stands in Prefect's settings."""
DOCKET = "PREFECT_SERVER_DOCKET_URL"
"""The variable that says where Prefect's background work stands."""
OF_REDIS = "prefect_redis."
IN_MEMORY = "memory"
"""What the name of a module ends with, and an address begins with, that is of one process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backing:
    """What Prefect's server rests on.

    Args:
        database: where its database is.
        shared: whether several processes can use it.
        broker: by what events are passed on.
        docket: where its background work stands.
        alone: the variables of what stands in the memory of each process.
    """

    database: str
    shared: bool
    broker: str
    docket: str
    alone: tuple[str, ...]


def backing(shown: Callable[[str], str]) -> Backing:
    """Return what Prefect is told to rest on, by its own settings.

    Args:
        shown: writes an address for people, without what is secret in it.

    Raises:
        Unavailable: a module that they name is not installed.
    """
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    modules = {name: _value(server, where) for name, where in MODULES.items()}
    for name, module in modules.items():
        if not _is_installed(module):
            raise Unavailable(f"{name} is {module}, which is not installed: install prefect-signoff[redis].")
    url = address_of(server)
    by_redis = modules["PREFECT_MESSAGING_BROKER"].startswith(OF_REDIS)
    alone = [name for name, module in modules.items() if module.endswith(IN_MEMORY)]
    return Backing(
        database=shown(url),
        shared=not url.startswith("sqlite"),
        broker=shown(_messaging_url()) if by_redis else _told(modules["PREFECT_MESSAGING_BROKER"]),
        docket=_told("") if server.docket.url.startswith(IN_MEMORY) else shown(server.docket.url),
        alone=(*alone, *([DOCKET] if server.docket.url.startswith(IN_MEMORY) else [])),
    )


def address_of(server: Any) -> str:
    """Return the address of Prefect's database, which may contain a password.

    Args:
        server: Prefect's settings of its server; they make it of its parts where it is told in parts.
    """
    secret = server.database.connection_url
    return str(secret.get_secret_value()) if secret is not None else "sqlite://"


def _value(settings: Any, where: str) -> str:
    for name in where.split("."):
        settings = getattr(settings, name)
    return str(settings)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _told(module: str) -> str:
    return "this process alone" if not module or module.endswith(IN_MEMORY) else module


def _messaging_url() -> str:
    from prefect_redis.client import RedisMessagingSettings

    told = RedisMessagingSettings()
    return told.url or f"redis://{told.host}:{told.port}/{told.db}"
