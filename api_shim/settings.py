"""The settings, each an environment variable that begins with ``SIGNOFF_``.

* ``SIGNOFF_HOME``: the folder of everything that signoff keeps; readable by its owner only. Default ``~/.signoff``.
* ``SIGNOFF_DATABASE_URL``: the store, when it is not the SQLite file in the home folder.
* ``SIGNOFF_JOBS``: the modules that Jobs are found in, comma separated. Default: the examples.
* ``SIGNOFF_POOL``: the Prefect work pool that runs them. Default ``signoff``.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from approval_gate.errors import Unavailable

OWNER_ONLY = 0o700
OWNER_FILE = 0o600


class Settings(BaseSettings):
    """What can be set from outside."""

    model_config = SettingsConfigDict(env_prefix="SIGNOFF_", frozen=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".signoff")
    database_url: SecretStr | None = None
    jobs: str = "flows.examples"
    pool: str = "signoff"

    @property
    def store_url(self) -> str:
        """Where the store is, as SQLAlchemy writes it."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'signoff.db'}"
        url = self.database_url.get_secret_value()
        scheme, colon, rest = url.partition(":")
        return f"postgresql+psycopg{colon}{rest}" if scheme in {"postgres", "postgresql"} else url

    @property
    def job_modules(self) -> list[str]:
        """The names of the modules that Jobs are found in."""
        return [name.strip() for name in self.jobs.split(",") if name.strip()]

    def make_home(self) -> Path:
        """Make the home folder, readable by its owner only, and return it.

        Raises:
            Unavailable: it cannot be made.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
            self.home.chmod(OWNER_ONLY)
        except OSError as error:
            raise Unavailable(f"The home folder {self.home} cannot be used: {error.strerror}.") from error
        return self.home

    def worker_key(self) -> str:
        """Return the key of the embedded worker's account, which stays the same so that its runs survive a restart."""
        path = self.home / "worker.key"
        if not path.exists():
            path.touch(mode=OWNER_FILE)
            path.write_text(secrets.token_hex(20))
        return path.read_text().strip()
