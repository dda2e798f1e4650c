"""Where a secret may be sent."""

from __future__ import annotations

import httpx
import pytest

from approval_gate.addresses import is_private, trusts_environment


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
