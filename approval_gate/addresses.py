"""Which addresses a secret may be sent to, and by which way.

* Over plain HTTP it does not leave this machine.
* What stays on this machine takes no way by a proxy.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol


class Address(Protocol):
    """A URL, as far as it says where a request goes."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""

    @property
    def host(self) -> str:
        """The name or the number of the machine, without brackets."""


def is_private(address: Address) -> bool:
    """Say whether nobody can read on its way what is sent there: it is encrypted, or does not leave this machine."""
    return address.scheme == "https" or _is_loopback(address.host)


def trusts_environment(address: Address) -> bool:
    """Say whether proxy settings of the environment apply: not for plain HTTP on this machine."""
    return address.scheme == "https" or not _is_loopback(address.host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
