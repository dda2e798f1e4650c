"""Where a secret may be sent."""

from __future__ import annotations

import httpx
import pytest

from approval_gate.addresses import Reachable, is_private, reachable_with, trusts_environment
from approval_gate.errors import Invalid


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.0.0.1:4200", True),
        ("http://127.9.9.9", True),
        ("http://localhost:4200", True),
        ("http://LocalHost:4200", True),
        ("http://[::1]:4200", True),
        ("https://signoff.example", True),
        ("http://signoff.example", False),
        ("http://192.168.0.1:4200", False),
        ("http://0.0.0.0:4200", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_what_is_private_is_encrypted_or_stays_here(url: str, private: bool) -> None:
    assert is_private(httpx.URL(url)) is private


@pytest.mark.parametrize(
    ("url", "trusts"),
    [
        ("http://127.0.0.1:4200", False),
        ("http://localhost", False),
        ("https://127.0.0.1", True),
        ("https://signoff.example", True),
    ],
)
def test_no_proxy_carries_away_what_is_to_stay_here(url: str, trusts: bool) -> None:
    assert trusts_environment(httpx.URL(url)) is trusts


# What a server may be made to call

NO_NETWORKS = "198.51.100.300/24"
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NOT_PUBLIC = {
    "this machine": "127.0.0.1",
    "this machine by another number": "127.8.8.8",
    "this machine on IPv6": "::1",
    "any address of this machine": "0.0.0.0",
    "any on IPv6": "::",
    "a private network": "10.1.2.3",
    "another": "172.16.0.1",
    "a third": "192.168.1.1",
    "a private network on IPv6": "fd00::1",
    "a site of IPv6": "fec0::1",
    "a neighbour": "fe80::1",
    "a neighbour by an interface": "fe80::1%eth0",
    "what clouds tell machines": "169.254.169.254",
    "the same on IPv6": "fd00:ec2::254",
    "the same of Azure, at a public address": "168.63.129.16",
    "the same of Alibaba, shared by customers of a provider": "100.100.100.200",
    "several machines": "224.0.0.1",
    "everybody": "255.255.255.255",
    "documentation": "192.0.2.1",
    "this machine within IPv6": "::ffff:127.0.0.1",
    "a private network by a gateway": "64:ff9b::a00:1",
    "a private network by 6to4": "2002:a00:1::1",
    "a private network by Teredo": "2001:0:a00:1::1",
    "a name": "localhost",
    "nothing": "",
    "a number in another way": "2130706433",
    "an address with a port": "8.8.8.8:80",
}


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_may_be_called(host: str) -> None:
    assert Reachable().may_call(host)


@pytest.mark.parametrize("host", NOT_PUBLIC.values(), ids=list(NOT_PUBLIC))
def test_what_only_the_server_reaches_may_not_be_called(host: str) -> None:
    assert not Reachable().may_call(host)


@pytest.mark.parametrize(
    ("named", "host", "may"),
    [
        pytest.param("10.0.0.0/8, fd00::/8", "10.1.2.3", True, id="a network"),
        pytest.param("10.0.0.0/8, fd00::/8", "fd12::1", True, id="another"),
        pytest.param("10.0.0.0/8, fd00::/8", "192.168.1.1", False, id="not the others"),
        pytest.param("127.0.0.1", "127.0.0.1", True, id="an address"),
        pytest.param("127.0.0.1", "::ffff:127.0.0.1", True, id="the same within IPv6"),
        pytest.param("127.0.0.1", "127.0.0.2", False, id="and no other"),
        pytest.param("", "8.8.8.8", True, id="public ones need no name"),
    ],
)
def test_what_somebody_has_named_may_be_called(named: str, host: str, may: bool) -> None:
    assert reachable_with(named).may_call(host) is may


@pytest.mark.parametrize("named", ["intranet.example", "10.0.0.1/8", NO_NETWORKS])
def test_what_is_no_network_is_refused(named: str) -> None:
    with pytest.raises(Invalid, match="SIGNOFF_NOTIFY_NETWORKS"):
        reachable_with(named)
