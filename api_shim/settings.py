"""The settings of the server, and the clock and time zone that its other layers are given.

Each setting is an environment variable:

* ``SIGNOFF_HOME``: the folder of all data, readable by its owner only. Default: ``~/.signoff``.
* ``SIGNOFF_DATABASE_URL``: the database. Default: an SQLite file in the home folder.
* ``SIGNOFF_JOBS``: the modules with Jobs, separated by commas. Default: the examples.
* ``SIGNOFF_POOL``: the Prefect work pool that runs the Jobs. Default: ``signoff``.
* ``SIGNOFF_ORIGIN``: the origin that people and programs use, of which links are made. Default: the address that the
  server listens on (``web.origins``).
* ``SIGNOFF_TRUSTED_PROXIES``: addresses or networks of reverse proxies whose ``X-Forwarded-*`` headers are trusted,
  separated by commas. Default: none.

``SIGNOFF_URL`` and ``SIGNOFF_TOKEN`` are settings of the client (``api_shim.client.transport``).
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import tzlocal
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from approval_gate.errors import Unavailable

WORKER = "signoff-worker"
"""The user name of the embedded worker."""


OWNER_ONLY = 0o700
OWNER_FILE = 0o600
KEY_BYTES = 20


class Settings(BaseSettings):
    """The settings, read from the environment."""

    model_config = SettingsConfigDict(env_prefix="SIGNOFF_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".signoff")
    database_url: SecretStr | None = None
    jobs: str = "flows.examples"
    pool: str = "signoff"
    origin: str = ""
    trusted_proxies: str = ""

    @property
    def store_url(self) -> str:
        """The database URL; it may contain a password."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'signoff.db'}"
        return self.database_url.get_secret_value()

    @property
    def job_modules(self) -> list[str]:
        """The names of the modules with Jobs."""
        return _separated(self.jobs)

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks of the trusted reverse proxies."""
        return _separated(self.trusted_proxies)

    def make_home(self) -> Path:
        """Create the home folder, readable by its owner only, and return it.

        Raises:
            Unavailable: it cannot be created, or every user can write to it, as to /tmp.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
            if self.home.stat().st_mode & stat.S_IWOTH:
                raise Unavailable(f"Every user can write to the folder {self.home}. Choose another with --home.")
            self.home.chmod(OWNER_ONLY)
        except OSError as error:
            raise Unavailable(f"The home folder {self.home} cannot be used: {error.strerror}.") from error
        return self.home

    def worker_key(self) -> str:
        """Return the key of the embedded worker. It is kept in a file, so that runs survive a restart of the server.

        Raises:
            Unavailable: the file cannot be read or created.
        """
        path = self.home / "worker.key"
        try:
            key = path.read_text().strip() if path.exists() else ""
            if not key:
                # Renamed into place when complete: half a key could be guessed.
                fresh = self.home / "worker.key.new"
                fresh.unlink(missing_ok=True)
                fresh.touch(mode=OWNER_FILE)
                fresh.write_text(key := secrets.token_hex(KEY_BYTES))
                fresh.replace(path)
        except OSError as error:
            raise Unavailable(f"The worker's key {path} cannot be used: {error.strerror}.") from error
        return key


def system_user() -> str:
    """Return the name of the user of this machine that this process runs as, whatever the environment says."""
    user_id = os.geteuid()
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"


def _separated(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def machine_name() -> str:
    """Return the name of this machine, which need not be one that others know it by."""
    return socket.gethostname()


def utc_now() -> datetime:
    """Return the current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


def server_zone() -> str:
    """Return the IANA name of this machine's time zone."""
    return tzlocal.get_localzone_name() or "UTC"
