"""Where a server is, and what may be sent there.

* A key goes to the address that was given and nowhere else; over plain HTTP it does not leave this machine, unless
  somebody wants that.
* It is part of no message, and nor is an address before it is known to have no password in it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx

from approval_gate.errors import Invalid, Unavailable

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
