"""Where a server is, and what may be sent there.

* A key goes to the address that was given and nowhere else; over plain HTTP it does not leave this machine, unless
  somebody wants that.
* It is part of no message, and nor is an address before it is known to have no password in it.

What comes back from the server: the content of an answer, or the error of the rules that it means.

* What the server refuses, and what goes wrong on the way, is an error of the rules, with a sentence; what was said
  by field stays in its ``detail``.

Contract 2.

Where signoff runs and with which key somebody signs in, as the environment says; and what Prefect's says.

* ``SIGNOFF_URL`` and ``SIGNOFF_TOKEN``; ``PREFECT_API_URL`` and ``PREFECT_API_AUTH_STRING``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from approval_gate.errors import (
    Conflict,
    Forbidden,
    GateError,
    Invalid,
    NotFound,
    NotRunnable,
    TooLarge,
    Unavailable,
    sentences,
)

C = TypeVar("C")

HERE = "http://127.0.0.1:4200"
TIMEOUT = 30.0
"""Seconds that a server has for an answer."""

NO_ADDRESS = f"The address of signoff cannot be read; it looks like {HERE}."
MORE_THAN_ADDRESS = f"The address of signoff looks like {HERE}, with no name, password or query in it."


def read_address(url: str) -> httpx.URL:
    """Read the address of an origin.

    Raises:
        Invalid: it is none. The message does not repeat it: there may be a password in it.
    """
    try:
        address = httpx.URL(url)
        # As the system will have it when it looks the host up.
        address.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Invalid(NO_ADDRESS) from error
    is_whole = address.scheme in {"http", "https"} and address.host and (address.port or 0) <= 65535
    if not is_whole or address.userinfo or address.query or address.fragment:
        raise Invalid(MORE_THAN_ADDRESS)
    return address


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, reached without any network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_private(address: httpx.URL, *, insecure: bool = False) -> None:
    """See that nobody else can read what is sent there.

    Args:
        address: of the server.
        insecure: others may.

    Raises:
        Unavailable: others could.
    """
    if address.scheme == "http" and not is_loopback(address.host) and not insecure:
        message = f"Others could read the token on its way to {address.host}: use https, or --insecure."
        raise Unavailable(message)


def trusts_environment(address: httpx.URL) -> bool:
    """Say whether a proxy that the environment names may carry what is sent there; not what is to stay here."""
    return address.scheme == "https" or not is_loopback(address.host)


def opened(client: Callable[..., C], **how: Any) -> C:
    """Return a client of httpx.

    Args:
        client: its kind.
        how: what it is made with.

    Raises:
        Unavailable: the environment names what httpx cannot use.
    """
    try:
        return client(**how)
    except (ValueError, ImportError, OSError) as error:
        message = f"The proxy or the certificates that the environment names cannot be used: {error}."
        raise Unavailable(message) from error


def options(address: httpx.URL, token: str | None) -> dict[str, Any]:
    """Return how a client of httpx speaks to signoff.

    Args:
        address: of the origin.
        token: the key of who speaks; None where he is known without.
    """
    signed = {} if token is None else {"Authorization": f"Token {token}"}
    return {
        "base_url": address,
        "headers": {**signed, "Accept": "application/json"},
        "timeout": TIMEOUT,
        "trust_env": trusts_environment(address),
    }


REFUSALS: Mapping[int, type[GateError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotRunnable,
    409: Conflict,
    413: TooLarge,
}
"""What each status means; any other that is no success means that this cannot be had now."""

UNREADABLE = object()
"""Content that is no JSON."""


def content_of(answer: httpx.Response, where: str) -> Any:
    """Return what an answer says, decoded; None for an empty one.

    Args:
        answer: complete.
        where: the address, for people.

    Raises:
        GateError: it is a refusal, by its status.
    """
    content = _decoded(answer)
    if answer.is_success:
        return content
    kind = REFUSALS.get(answer.status_code, Unavailable)
    told = content.get("detail", content) if isinstance(content, dict) and len(content) == 1 else content
    if not any(sentences(told)):
        raise kind(f"{where} answered with status {answer.status_code}.")
    raise kind(" ".join(sentences(told)) if isinstance(told, str) else told)


def _decoded(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return UNREADABLE


def undelivered(error: httpx.HTTPError, where: str) -> Unavailable:
    """Return the refusal for a question that had no answer."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Unavailable(f"{where} cannot be reached: {error}.")
    return Unavailable(f"{where} gave no answer; what was asked of it may have been done all the same.")


def stranger(where: str) -> Unavailable:
    """Return the refusal for what was not said by signoff."""
    return Unavailable(f"What answers at {where} is not signoff, or not this version of it.")


KEY = re.compile(r"[!-~]+")
NO_TOKEN = "The token is empty, or has characters that no token has."  # noqa: S105 - a sentence, not a secret


class Environment(BaseSettings):
    """What is set from outside.

    Args:
        url: the address of the origin.
        token: a key; whether it is one is seen later, and it is not repeated.
    """

    model_config = SettingsConfigDict(env_prefix="SIGNOFF_", env_ignore_empty=True, frozen=True)

    url: str = HERE
    token: Any = Field(default=None, repr=False)


class PrefectEnvironment(BaseSettings):
    """What is set for clients of Prefect.

    Args:
        api_url: the address of its API.
        api_auth_string: ``user:password``.
    """

    model_config = SettingsConfigDict(env_prefix="PREFECT_", env_ignore_empty=True, frozen=True)

    api_url: str | None = None
    api_auth_string: Any = Field(default=None, repr=False)


def check_key(token: str) -> str:
    """Return a token that can be sent.

    Raises:
        Invalid: it is none.
    """
    if not KEY.fullmatch(token):
        raise Invalid(NO_TOKEN)
    return token


def find_token(token: str | None) -> str:
    """Return a token, from the environment if it is not given.

    Raises:
        Invalid: there is none.
    """
    found = Environment().token if token is None else token
    if found is None:
        raise Invalid("Give a token, or set SIGNOFF_TOKEN to it.")
    return check_key(str(found).strip() if token is None else token)
