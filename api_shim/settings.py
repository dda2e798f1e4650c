"""The settings of the server, and the clock and time zone that its other layers are given.

Each setting is an environment variable:

* ``SIGNOFF_HOME``: the folder of all data, readable by its owner only. Default: ``~/.signoff``.
* ``SIGNOFF_DATABASE_URL``: the database. Default: an SQLite file in the home folder.
* ``SIGNOFF_DB_UPGRADE``: ``auto``, by whatever opens an older database; or ``manual``, by ``signoff db upgrade`` alone,
  and until then nothing starts. Default: ``auto``.
* ``SIGNOFF_DATABASE_URL_FILE``: a file that has the address of the database, in place of ``SIGNOFF_DATABASE_URL``.
* ``SIGNOFF_STORE_TIMEOUT``: how many seconds a statement on the database may take, or wait for another one; what it was
  for is then answered with 503. Default: 30.
* ``SIGNOFF_JOBS``: the modules with Jobs, separated by commas. Default: the examples.
* ``SIGNOFF_JOBS_GONE_AFTER``: how many seconds after it was last heard of a server counts as there, of which the Jobs
  are. Default: 900.
* ``SIGNOFF_RETENTION_DAYS``: how many days after they have ended job results are removed, with their runs in Prefect,
  and scheduled jobs that have had their only run. Default: none is.
* ``SIGNOFF_CATCH_UP_LIMIT``: how many missed firings of one scheduled job may wait to be made up for, where all of them
  are, and how many runs of one Job for their turn. Default: 100.
* ``SIGNOFF_ACCOUNT_REQUESTS`` and ``SIGNOFF_ACCOUNT_WRITES``: how many requests a minute one account may make, and how
  many of these that change something; 0 for no limit. Default: 60000 and 30000.
* ``SIGNOFF_ADDRESS_REQUESTS`` and ``SIGNOFF_ADDRESS_WRITES``: the same of one address. Default: 120000 and 60000.
* ``SIGNOFF_WAITING_REQUESTS``: how many requests of one person may wait for their approval. Default: 1000.
* ``SIGNOFF_AGENTS_NEED_APPROVAL``: what needs approval because an agent requests it: ``everything``; what the ``jobs``
  ask for, as of people; or the Jobs that match constraints besides, as JSON. Default: ``everything``.
* ``SIGNOFF_AGENT_REQUESTS_EXPIRE``: how many hours a request of an agent waits for a decision; 0 for ever. Default: 24.
* ``SIGNOFF_AGENT_REQUESTS``, ``SIGNOFF_AGENT_WRITES`` and ``SIGNOFF_AGENT_WAITING_REQUESTS``: the same of one agent as
  of one account. Default: 600, 60 and 20.
* ``SIGNOFF_MCP_JOB_TOOLS``: the Jobs that agents are offered as tools of their own: those that match constraints, as
  JSON; ``{}`` for all. Default: none.
* ``SIGNOFF_DENIAL_COMMENT``: where whoever denies a request has to say why: on ``pages``, ``always``, or ``never``.
  Who takes back their own has not. Default: ``pages``.
* ``SIGNOFF_BODY_BYTES``: the maximum size of the body of a request, in bytes. Default: 5000000.
* ``SIGNOFF_FILE_BYTES``: the maximum size of a file that a run makes, and of those of a request together, in bytes.
  Default: 10485760.
* ``SIGNOFF_PAGE_SIZE``: how many objects a page of a list may have. Default: 1000.
* ``SIGNOFF_PREFECT``: ``embedded``, Prefect's server runs within ours; or ``external``, others run one, which is at
  ``PREFECT_API_URL`` (``prefect_api.prefect_external``). Default: ``embedded``.
* ``SIGNOFF_PREFECT_INSECURE``: whether that server may be reached by plain HTTP on another machine. Default: ``false``.
* ``SIGNOFF_POOL``: the Prefect work pool that runs the Jobs. Default: ``signoff``.
* ``SIGNOFF_JOBS_USER``: the user of this machine that the Jobs run as. Default: the server's own.
* ``SIGNOFF_AUDIT_KEY_FILE``: the file with the key that signs the audit, and from which the one that encrypts sensitive
  inputs is derived. Default: ``audit.key`` in the home folder.
* ``SIGNOFF_ORIGIN``: the origin that people and programs use, of which links are made. Default: the address that the
  server listens on (``web.origins``).
* ``SIGNOFF_TRUSTED_PROXIES``: addresses or networks of reverse proxies whose ``X-Forwarded-*`` headers are trusted,
  separated by commas. Default: none.
* ``SIGNOFF_SMTP_HOST``, ``SIGNOFF_SMTP_PORT`` and ``SIGNOFF_SMTP_TLS``: the mail server that notifications are sent by,
  and ``starttls``, ``tls`` from the beginning, or ``none``. Default: no mail is sent; 587 and ``starttls``.
* ``SIGNOFF_SMTP_USER`` and ``SIGNOFF_SMTP_PASSWORD``: who signs in there. Default: nobody does.
* ``SIGNOFF_SMTP_PASSWORD_FILE``: a file that has this password, in place of it.
* ``SIGNOFF_SMTP_FROM``: the address that mail comes from. Needed with ``SIGNOFF_SMTP_HOST``.
* ``SIGNOFF_NOTIFY_NETWORKS``: addresses or networks that are not public and that notifications may be sent to all the
  same, separated by commas (``approval_gate.addresses``). Default: none.
* ``SIGNOFF_REMIND_AFTER``: after how many hours those are reminded who may approve a request. Default: 24.
* ``SIGNOFF_SESSION_HOURS``: how many hours a session of a browser lasts at most. Default: 12.
* ``SIGNOFF_LOCAL_PASSWORDS``: whether people can sign in with passwords that we keep. Default: ``true``.
* ``SIGNOFF_BREAK_GLASS``: the user whose password is good although others' are not. Default: nobody's.
* ``SIGNOFF_OIDC_ISSUER``: the identity provider that people sign in at (OpenID Connect). Default: none.
* ``SIGNOFF_OIDC_CLIENT_ID``, and ``SIGNOFF_OIDC_CLIENT_SECRET`` or ``SIGNOFF_OIDC_CLIENT_SECRET_FILE``: what the
  provider knows us by. Default: none.
* ``SIGNOFF_OIDC_NAME``: what the sign-in page calls the provider. Default: the host of its address.
* ``SIGNOFF_OIDC_SCOPES``: what is asked of the provider. Default: ``openid profile email``.
* ``SIGNOFF_OIDC_USERNAME_CLAIM`` and ``SIGNOFF_OIDC_GROUPS_CLAIM``: where the provider says what a new user is called,
  and which groups they are in. Default: ``preferred_username`` and ``groups``.
* ``SIGNOFF_OIDC_GROUPS``: which of our groups those of the provider are, as JSON. Default: none.
* ``SIGNOFF_OIDC_NEW_USERS``: whether somebody unknown gets an account when they first sign in. Default: ``true``.
* ``SIGNOFF_LOG_FORMAT``: ``console``, or ``json`` for programs (``logs``). Default: ``console``.

``SIGNOFF_TIMEOUT`` is how many seconds another server may take to answer: ours to a client, and to us a Prefect server
that others run. ``SIGNOFF_URL`` and ``SIGNOFF_TOKEN`` are settings of the client (``api_shim.client.transport``).
"""

from __future__ import annotations

import json
import os
import pwd
import re
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import tzlocal
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api_shim.keys import new_key
from api_shim.names import imported_as
from approval_gate.addresses import is_private
from approval_gate.errors import Invalid, Unavailable
from flows.files import LARGEST_FILE

NO_HOME = (
    "The folder {home} is not the home folder of a signoff server. SIGNOFF_HOME, or --home, names another one; "
    "`signoff up` makes one."
)
OWNER_ONLY = 0o700
OWNER_FILE = 0o600
FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
AUDIT_KEY_BYTES = 32
NOT_FOR_OTHERS = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
"""What the file of the audit's key may not allow; a group may read it."""
AUDIT_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * AUDIT_KEY_BYTES}}}")


class Upgrade(StrEnum):
    """Who upgrades the tables of an earlier version."""

    AUTO = "auto"
    MANUAL = "manual"


class DenialComment(StrEnum):
    """Where whoever denies a request has to say why."""

    PAGES = "pages"
    ALWAYS = "always"
    NEVER = "never"


class MailTls(StrEnum):
    """How the connection with the mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


JobsMeant = dict[str, Any] | list[dict[str, Any]]
"""Which Jobs a setting is about, as the constraints of a permission say it (``approval_gate.constraints``)."""


class AgentsNeedApproval(StrEnum):
    """What needs approval because an agent requests it, where no Jobs are named.

    Attributes:
        EVERYTHING: whatever it requests.
        JOBS: what its Job asks to have approved, as of people.
    """

    EVERYTHING = "everything"
    JOBS = "jobs"


class PrefectServer(StrEnum):
    """Whose Prefect server it is."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one person, address or request may ask of a server, and what it asks of them.

    The amounts are far above what people and their programs need.

    Args:
        catch_up_limit: how many missed firings of one scheduled job may wait to be made up for, and runs of one Job for
            their turn.
        account_requests: how many requests one account may make a minute; 0 for no limit.
        account_writes: how many of those may change something; 0 for no limit.
        address_requests: how many requests may come from one address a minute; 0 for no limit.
        address_writes: how many of those may change something; 0 for no limit.
        waiting_requests: how many requests of one person may wait for their approval at the same time.
        agent_requests: how many requests an agent may make a minute; 0 for no limit.
        agent_writes: how many of those may change something; 0 for no limit.
        agent_waiting_requests: how many requests of one agent may wait for their approval at the same time.
        agent_requests_expire: how many hours a request of an agent waits for a decision before it expires; 0 for ever.
        agents_need_approval: what needs approval because an agent requests it; Jobs that match constraints, and what
            the Jobs ask to have approved.
        mcp_job_tools: the Jobs that agents are offered as tools of their own; None for none.
        body_bytes: the maximum size of the body of a request, in bytes.
        file_bytes: the maximum size of a file that a run makes, and of those of a request together, in bytes; they come
            on top of the body.
        page_size: how many objects a page of a list may have.
        denial_comment: where whoever denies a request has to say why.
    """

    catch_up_limit: int = 100
    account_requests: int = 60_000
    account_writes: int = 30_000
    address_requests: int = 120_000
    address_writes: int = 60_000
    waiting_requests: int = 1_000
    agent_requests: int = 600
    agent_writes: int = 60
    agent_waiting_requests: int = 20
    agent_requests_expire: int = 24
    agents_need_approval: AgentsNeedApproval | JobsMeant = AgentsNeedApproval.EVERYTHING
    mcp_job_tools: JobsMeant | None = None
    body_bytes: int = 5_000_000
    file_bytes: int = LARGEST_FILE
    page_size: int = 1_000
    denial_comment: DenialComment = DenialComment.PAGES


@dataclass(frozen=True, kw_only=True, slots=True)
class SignInRules:
    """How people sign in to the pages, and for how long.

    Args:
        longest: how long a session lasts at most.
        passwords: whether everybody's password is good.
        break_glass: the user whose password is good in any case; empty for nobody.
        groups: which of our groups those of the identity provider are.
        new_users: whether somebody whom the provider vouches for gets an account, if they have none.
    """

    longest: timedelta = timedelta(hours=12)
    passwords: bool = True
    break_glass: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    new_users: bool = True


SIGN_IN_RULES = SignInRules()
"""Those that hold unless somebody sets others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderSettings:
    """An identity provider, and what it knows us by.

    Args:
        issuer: its address, as its tokens name it.
        client_id: our name there.
        client_secret: what proves it; empty for a client without one.
        name: what people call it.
        scopes: what is asked of it.
        username_claim: where it says what a new user is called.
        groups_claim: where it says which groups somebody is in.
        timeout: how many seconds it may take to answer.
    """

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    name: str
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    timeout: float = 10.0


STORE_TIMEOUT = 30.0
"""Seconds that a statement on the database may take, or wait for another one, unless somebody sets another number."""

MOST_FILE_BYTES = 256 * 2**20
"""A file is held in memory as a whole, by the server and by the run."""

LIMITS = Limits()
"""Those that hold unless somebody sets others."""

TIMEOUT = 30.0
"""Seconds that another server may take to answer, unless ``SIGNOFF_TIMEOUT`` says another number."""

OURS = SettingsConfigDict(env_prefix="SIGNOFF_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True)
SECRETS = frozenset({"database_url", "oidc_client_secret", "smtp_password", "token"})
"""The settings whose values nobody is shown. Beside each there is one, ``…_file``, that names a file which has it."""


def told_in_files(told: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the secrets that are in files.

    Args:
        told: by name.

    Raises:
        ValueError: a file cannot be read or is empty, or the secret is there twice; with a sentence that has no secret.
    """
    named = {name: path for name in SECRETS if (path := told.get(f"{name}_file"))}
    return told | {
        name: secret_in(Path(path), f"SIGNOFF_{name.upper()}", told.get(name)) for name, path in named.items()
    }


def secret_in(path: Path, setting: str, told: object) -> str:
    """Return the secret that is in a file.

    Args:
        path: the file.
        setting: what it is the value of, in capitals.
        told: the value that there is without the file; it may be none.

    Raises:
        ValueError: the file cannot be read or is empty, or the secret is there twice; with a sentence without it.
    """
    if told:
        raise ValueError(f"Set either {setting} or {setting}_FILE, not both.")
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{setting}_FILE: {path} cannot be read: {why}.") from None
    if not secret:
        raise ValueError(f"{setting}_FILE: {path} is empty.")
    return secret


def _json(example: str) -> BeforeValidator:
    """Return what reads a setting that is JSON like an example."""

    def read(told: object) -> object:
        try:
            return json.loads(told) if isinstance(told, str) else told
        except ValueError:
            raise ValueError(f"It is JSON, like {example}.") from None

    return BeforeValidator(read)


def _word_or_json(told: object) -> object:
    """Return what agents need approval for, in a word or as constraints.

    Raises:
        ValueError: it is neither.
    """
    try:
        return json.loads(told) if isinstance(told, str) and told not in {*AgentsNeedApproval} else told
    except ValueError:
        raise ValueError('It is everything, jobs, or constraints as JSON, like {"grouping": "Network"}.') from None


class Place(NamedTuple):
    """Where a request goes, as ``is_private`` asks it."""

    scheme: str
    host: str


class Settings(BaseSettings):
    """The settings, read from the environment."""

    model_config = OURS

    from_files = model_validator(mode="before")(told_in_files)

    home: Path = Field(default_factory=lambda: Path.home() / ".signoff")
    database_url: SecretStr | None = None
    db_upgrade: Upgrade = Upgrade.AUTO
    database_url_file: Path | None = None
    store_timeout: float = Field(default=STORE_TIMEOUT, ge=1, le=3600)
    jobs: str = "flows.examples"
    jobs_gone_after: int = Field(default=900, ge=180)
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    catch_up_limit: int = Field(default=LIMITS.catch_up_limit, ge=1, le=1000)
    account_requests: int = Field(default=LIMITS.account_requests, ge=0)
    account_writes: int = Field(default=LIMITS.account_writes, ge=0)
    address_requests: int = Field(default=LIMITS.address_requests, ge=0)
    address_writes: int = Field(default=LIMITS.address_writes, ge=0)
    waiting_requests: int = Field(default=LIMITS.waiting_requests, ge=1)
    agent_requests: int = Field(default=LIMITS.agent_requests, ge=0)
    agent_writes: int = Field(default=LIMITS.agent_writes, ge=0)
    agent_waiting_requests: int = Field(default=LIMITS.agent_waiting_requests, ge=1)
    agent_requests_expire: int = Field(default=LIMITS.agent_requests_expire, ge=0, le=8760)
    agents_need_approval: Annotated[AgentsNeedApproval | JobsMeant, NoDecode, BeforeValidator(_word_or_json)] = (
        LIMITS.agents_need_approval
    )
    mcp_job_tools: Annotated[JobsMeant | None, NoDecode, _json('{"grouping": "Network"}')] = None
    body_bytes: int = Field(default=LIMITS.body_bytes, ge=10_000)
    file_bytes: int = Field(default=LIMITS.file_bytes, ge=1, le=MOST_FILE_BYTES)
    page_size: int = Field(default=LIMITS.page_size, ge=50, le=10_000)
    denial_comment: DenialComment = LIMITS.denial_comment
    prefect: PrefectServer = PrefectServer.EMBEDDED
    prefect_insecure: bool = False
    pool: str = "signoff"
    jobs_user: str = ""
    audit_key_file: Path | None = None
    origin: str = ""
    trusted_proxies: str = ""
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_tls: MailTls = MailTls.STARTTLS
    smtp_user: str = ""
    smtp_password: SecretStr | None = None
    smtp_password_file: Path | None = None
    smtp_from: str = ""
    notify_networks: str = ""
    remind_after: int = Field(default=24, ge=1, le=8_760)
    session_hours: float = Field(default=SIGN_IN_RULES.longest.total_seconds() / 3600, gt=0, le=8760)
    local_passwords: bool = True
    break_glass: str = ""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr | None = None
    oidc_client_secret_file: Path | None = None
    oidc_name: str = ""
    oidc_scopes: str = "openid profile email"
    oidc_username_claim: str = "preferred_username"
    oidc_groups_claim: str = "groups"
    oidc_groups: Annotated[dict[str, str], NoDecode, _json('{"network": "Network operators"}')] = Field(
        default_factory=dict
    )
    oidc_new_users: bool = True
    log_format: Literal["console", "json"] = "console"

    @model_validator(mode="after")
    def whole_provider(self) -> Settings:
        """See that the provider is told as a whole, and that its secrets can be sent there.

        Raises:
            ValueError: something is missing, or others could read what is sent.
        """
        if not self.oidc_issuer:
            return self
        address = urlsplit(self.oidc_issuer)
        if address.scheme not in {"http", "https"} or not address.hostname or address.query or address.fragment:
            raise ValueError("SIGNOFF_OIDC_ISSUER is the address of a provider, like https://login.example.com.")
        if not is_private(Place(scheme=address.scheme, host=address.hostname)):
            raise ValueError(
                "SIGNOFF_OIDC_ISSUER must begin with https, because others could read what is sent without it."
            )
        if not self.oidc_client_id:
            raise ValueError("SIGNOFF_OIDC_ISSUER needs SIGNOFF_OIDC_CLIENT_ID, what the provider knows signoff by.")
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("SIGNOFF_OIDC_SCOPES must have openid.")
        return self

    @property
    def store_file(self) -> Path:
        """Where the database is, unless a setting says otherwise."""
        return self.home / "signoff.db"

    @property
    def sign_in_rules(self) -> SignInRules:
        """How people sign in to the pages, and for how long."""
        return SignInRules(
            longest=timedelta(hours=self.session_hours),
            passwords=self.local_passwords,
            break_glass=self.break_glass,
            groups=self.oidc_groups,
            new_users=self.oidc_new_users,
        )

    @property
    def provider(self) -> ProviderSettings | None:
        """The identity provider that people sign in at; None without one."""
        if not self.oidc_issuer:
            return None
        secret = self.oidc_client_secret
        return ProviderSettings(
            issuer=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else "",
            name=self.oidc_name or str(urlsplit(self.oidc_issuer).hostname),
            scopes=(*self.oidc_scopes.split(),),
            username_claim=self.oidc_username_claim,
            groups_claim=self.oidc_groups_claim,
        )

    @property
    def store_url(self) -> str:
        """The database URL; it may contain a password."""
        if self.database_url is None:
            return f"sqlite:///{self.store_file}"
        return self.database_url.get_secret_value()

    @property
    def job_modules(self) -> list[str]:
        """The names of the modules with Jobs; one that is called like ours is imported by another name."""
        return [*map(imported_as, _separated(self.jobs))]

    @property
    def limits(self) -> Limits:
        """How much one person, address or request may ask of this server."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})

    @property
    def retention(self) -> timedelta | None:
        """How long what has ended is kept; None for as long as there is the database."""
        return None if self.retention_days is None else timedelta(days=self.retention_days)

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks of the trusted reverse proxies."""
        return _separated(self.trusted_proxies)

    @property
    def kept_from_jobs(self) -> list[Path]:
        """The files and folders that Jobs of another user must not be able to use."""
        _, is_file, database = self.store_url.partition("sqlite:///")
        return [
            self.home,
            *filter(None, [self.audit_key_file, self.database_url_file]),
            *filter(None, [self.smtp_password_file, self.oidc_client_secret_file]),
            *([Path(database)] if is_file else []),
        ]

    def free_disk(self) -> int:
        """Return how many bytes are left where data is kept: in the home folder, and beside an SQLite database."""
        _, is_file, database = self.store_url.partition("sqlite:///")
        folders = {self.home, *([Path(database).parent] if is_file else [])}
        return min(shutil.disk_usage(folder).free for folder in folders)

    def close_home(self) -> bool:
        """Close what is in the home folder to other users, as ``make_home`` does the folder itself.

        Returns:
            whether they could reach it until now.

        Raises:
            Unavailable: it cannot be used.
        """
        try:
            was_open = self.home.exists() and bool(self.home.stat().st_mode & FOR_OTHERS)
            self.make_home()
            for folder, _folders, files in os.walk(self.home):
                for path in (Path(folder), *(Path(folder, name) for name in files)):
                    _close(path)
        except OSError as error:
            raise Unavailable(f"The home folder {self.home} cannot be used: {error.strerror}.") from error
        return was_open

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

    def check_home(self) -> None:
        """Check that the home folder is a server's, so that nothing is made where somebody has mistaken the folder.

        Where the database is elsewhere, a machine may have no home yet: then it is made.

        Raises:
            Unavailable: it is not, or it cannot be used.
        """
        if self.database_url is None and not self.store_file.exists():
            raise Unavailable(NO_HOME.format(home=self.home))
        self.make_home()

    def worker_key(self) -> str:
        """Return the key of the embedded worker. It is kept in a file, so that runs survive a restart of the server.

        Raises:
            Unavailable: the file cannot be read or created.
        """
        return self._kept_key("worker.key")

    def local_key(self) -> str:
        """Return the key with which programs on the server's own machine speak to Prefect (``Shim.within``).

        Raises:
            Unavailable: the file cannot be read or created.
        """
        return self._kept_key("local.key")

    def _kept_key(self, name: str) -> str:
        path = self.home / name
        try:
            key = path.read_text().strip() if path.exists() else ""
        except OSError as error:
            raise Unavailable(f"The key {path} cannot be used: {error.strerror}.") from error
        if not key:
            write_file(path, key := new_key())
        return key

    @property
    def audit_head_file(self) -> Path:
        """The file that keeps the last head of the audit outside the database."""
        return self.home / "audit.head"

    def audit_key(self, *, make: bool = False) -> bytes:
        """Return the key that signs the audit: 32 bytes, which the file has as 64 hexadecimal digits.

        Args:
            make: make the key if there is none; never in a file that a setting names, which may just be out of reach.

        Raises:
            Unavailable: there is no key, it cannot be read, or users for whom it is not meant can read it.
        """
        path = self.audit_key_file or self.home / "audit.key"
        try:
            if make and self.audit_key_file is None and not path.exists():
                write_file(path, secrets.token_hex(AUDIT_KEY_BYTES), replace=False)
            if path.stat().st_mode & NOT_FOR_OTHERS:
                raise Unavailable(f"The audit's key {path} is open to other users: chmod 600 {path}")
            text = path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError as error:
            raise Unavailable(
                f"The audit's key {path} is not there, and all servers of one database need the same. Copy it from "
                "another one, restore it from a backup, or name its file with SIGNOFF_AUDIT_KEY_FILE; if it is lost, "
                "`signoff audit accept` goes on with a new one."
            ) from error
        except OSError as error:
            raise Unavailable(f"The audit's key {path} cannot be used: {error.strerror}.") from error
        if not AUDIT_KEY.fullmatch(text):
            raise Unavailable(f"The audit's key {path} is not one: it needs {2 * AUDIT_KEY_BYTES} hexadecimal digits.")
        return bytes.fromhex(text)


def read_settings(home: Path | None = None, *, prefect: PrefectServer | None = None) -> Settings:
    """Return the settings of the environment.

    Args:
        home: a home folder in place of the environment's.
        prefect: whose Prefect server it is, in place of what the environment says.

    Raises:
        Invalid: one of them cannot be read; the sentence does not repeat it.
    """
    with readable_settings():
        typed: dict[str, Any] = {"home": home and home.expanduser().absolute(), "prefect": prefect}
        return Settings(**{name: value for name, value in typed.items() if value is not None})


class Patience(BaseSettings):
    """How long is waited for another server, read from the environment.

    Args:
        timeout: how many seconds a server may take to answer, or to be reached.
    """

    model_config = OURS

    timeout: float = Field(default=TIMEOUT, ge=1, le=3600)


def read_timeout() -> float:
    """Return how many seconds another server may take to answer.

    Raises:
        Invalid: it cannot be read.
    """
    with readable_settings():
        return Patience().timeout


@contextmanager
def readable_settings() -> Iterator[None]:
    """Say in sentences which settings cannot be read, while this is entered.

    Raises:
        Invalid: one cannot be read; the sentence does not repeat it.
    """
    try:
        yield
    except ValidationError as error:
        raise Invalid(" ".join(_fault(each["loc"], each["msg"]) for each in error.errors())) from None


def _fault(place: tuple[int | str, ...], what: str) -> str:
    what = what.removeprefix("Value error, ").removesuffix(".")
    return f"SIGNOFF_{str(place[0]).upper()}: {what}." if place else f"{what}."


def write_file(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file for its owner only, as a whole: nobody finds half of it, whatever happens.

    Args:
        path: where; its folder exists.
        text: what.
        replace: whether one that is there is replaced; else it is left as it is.

    Raises:
        Unavailable: it cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        fresh = Path(name)
        try:
            with open(descriptor, "w", encoding="utf-8") as out:  # noqa: PTH123 - a descriptor has no path
                out.write(text)
                out.flush()
                os.fsync(descriptor)
            if replace:
                fresh.replace(path)
            else:
                with suppress(FileExistsError):
                    path.hardlink_to(fresh)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"The file {path} cannot be written: {error.strerror}.") from error


@contextmanager
def private_files() -> Iterator[int]:
    """Make files and folders for their owner only, while this is entered; gives the umask that there was."""
    umask = os.umask(FOR_OTHERS)
    try:
        yield umask
    finally:
        os.umask(umask)


def _close(path: Path) -> None:
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if mode & FOR_OTHERS and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~FOR_OTHERS)


def system_user() -> str:
    """Return the name of the user of this machine that this process runs as, whatever the environment says."""
    user_id = os.geteuid()
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"


HIDDEN = "(hidden)"
"""What is shown of a secret."""
WITH_PASSWORD = re.compile(r"://.*[@?]", re.DOTALL)
"""In an address: a password may have a slash, and may stand in the query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownSetting:
    """A setting as people are shown it.

    Args:
        name: the environment variable.
        value: its value, or ``HIDDEN``; empty for none.
        source: where it came from.
    """

    name: str
    value: str
    source: str


def shown_settings(told: BaseSettings, typed: Collection[str] = ()) -> list[ShownSetting]:
    """Return settings as people are shown them: without secrets, and without what may be one.

    Args:
        told: the settings.
        typed: the names of those that stood on the command line.
    """
    return [
        ShownSetting(
            name=f"SIGNOFF_{name.upper()}",
            value="" if value is None else shown_value(str(value), secret=name in SECRETS),
            source=_source(told, name, typed),
        )
        for name, value in told
    ]


def shown_value(value: str, *, secret: bool) -> str:
    """Return the value of a setting as people are shown it."""
    return HIDDEN if secret or WITH_PASSWORD.search(value) else value


def _source(told: BaseSettings, name: str, typed: Collection[str]) -> str:
    if name in typed:
        return "command line"
    if name not in told.model_fields_set:
        return "default"
    return "file" if getattr(told, f"{name}_file", None) else "environment"


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
    name = tzlocal.get_localzone_name() or "UTC"
    return "UTC" if name == "Etc/UTC" else name
