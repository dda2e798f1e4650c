"""What runs find in their environment: that of the worker, without what is the server's own.

* Of the variables that begin with ``SIGNOFF_`` only those that are listed: a new setting is not passed on unless
  somebody decides so.
* Nothing of Prefect's server: its databases, its account, its folders, its messages.
* Nothing that names the home folder, and nothing that repeats an address or a password that is left out.
* What finds and runs programs stays, whatever it says; so does what a run speaks to Prefect with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

OURS = "SIGNOFF_"
PASSED_ON = frozenset({"SIGNOFF_URL"})
"""Of ours: where the server is."""

OF_PREFECTS_SERVER = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_", "PREFECT_REDIS_")
"""What the names of Prefect's variables begin with that only its server reads, old names too."""

FOR_PROGRAMS = frozenset({"PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PGSSLKEY", "CREDENTIALS_DIRECTORY"})
"""What the server's connection to PostgreSQL, and the system that starts it, keep secrets in."""

AUTH = "PREFECT_API_AUTH_STRING"
"""The variable that has the credentials for Prefect's API."""

STAYS = frozenset({"HOME", "USER", "LOGNAME", "PATH", "PYTHONPATH", "VIRTUAL_ENV"}) | {
    "PREFECT_API_URL",
    AUTH,
}

SECRET = re.compile("AUTH|DATABASE|KEY|PASS|SECRET|TOKEN")
"""In the name of a variable: its value is not to be found under another name either."""


def for_runs(environment: Mapping[str, str], home: str) -> dict[str, str]:
    """Return what runs may have of an environment.

    Args:
        environment: that of the server or of a worker.
        home: the home folder; empty for none.
    """
    left_out = {name: value for name, value in environment.items() if is_servers_own(name)}
    secrets, named = {*_secrets(left_out)}, _naming(home)
    return {
        name: value
        for name, value in environment.items()
        if name not in left_out
        and (name in STAYS or not (named.search(value) or value in secrets or any(s in value for s in _urls(secrets))))
    }


def for_a_worker(environment: Mapping[str, str], home: str) -> dict[str, str]:
    """Return what the worker of a server may have of its environment: what runs may, and nothing for its database.

    Args:
        environment: that of the server.
        home: the home folder.
    """
    without = {name: value for name, value in environment.items() if name not in FOR_PROGRAMS}
    return for_runs(without, home)


def is_servers_own(name: str) -> bool:
    """Say whether a variable is left out for its name."""
    return (name.startswith(OURS) and name not in PASSED_ON) or name.startswith(OF_PREFECTS_SERVER)


def _secrets(left_out: Mapping[str, str]) -> Iterator[str]:
    for name, value in left_out.items():
        if SECRET.search(name) and value:
            yield value
            try:
                password = urlsplit(value).password
            except ValueError:
                continue
            if password:
                yield unquote(password)


def _urls(secrets: set[str]) -> list[str]:
    return [secret for secret in secrets if "://" in secret]


def _naming(home: str) -> re.Pattern[str]:
    """Return what finds a folder, or what is in it, in a value."""
    paths = {home, str(Path(home).absolute()), str(Path(home).resolve())} if home else set[str]()
    # Each begins with a slash; the root of all names nothing.
    spelled = "|".join(re.escape(path) for path in paths if len(path) > 1)
    return re.compile(rf"(?:{spelled})(?![\w.-])" if spelled else r"(?!)")
