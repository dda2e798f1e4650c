"""Which addresses a secret may be sent to, and by which way; and which a server may be made to call.

* Over plain HTTP a secret does not leave this machine.
* What stays on this machine takes no way by a proxy.
* Whoever may name an address for a server to call reaches by it what only the server can: its machine, its networks
  and what its cloud tells machines. So it calls public addresses alone, unless somebody who runs it has named others.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol

from approval_gate.errors import Invalid


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
    return address.scheme == "https" or is_loopback(address.host)


def trusts_environment(address: Address) -> bool:
    """Say whether proxy settings of the environment apply: not for plain HTTP on this machine."""
    return address.scheme == "https" or not is_loopback(address.host)


def is_loopback(host: str) -> bool:
    """Say whether a name or number of a machine means this one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Number = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = frozenset({ip_address("168.63.129.16")})
"""Public addresses that mean the cloud which a machine stands in, and tell its secrets."""
TRANSLATED = ip_network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are an IPv4 address, which a gateway calls."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """Which addresses a server lets itself be made to call: public ones, and what somebody has named.

    Args:
        named: networks that it may call although they are not public.
    """

    named: tuple[Network, ...] = ()

    def may_call(self, host: str) -> bool:
        """Say whether an address may be called; what is no number of a machine may not."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        each = _meant_by(address)
        return all(_is_public(one) or any(one in network for network in self.named) for one in each)


def reachable_with(text: str) -> Reachable:
    """Return what a server may call besides public addresses.

    Args:
        text: addresses or networks, separated by commas.

    Raises:
        Invalid: one of them is neither.
    """
    try:
        return Reachable(tuple(ip_network(each.strip()) for each in text.split(",") if each.strip()))
    except ValueError as error:
        raise Invalid(f"SIGNOFF_NOTIFY_NETWORKS: {error}.") from None


def _meant_by(address: Number) -> tuple[Number, ...]:
    """Return what is reached by an address: itself, or the IPv4 address within it that is called in its place."""
    if not isinstance(address, IPv6Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in TRANSLATED:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address, address.sixtofour)
    return (address, *(address.teredo or ()))


def _is_public(address: Number) -> bool:
    is_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or is_local or address in METADATA)
