"""The audit's key: what it has signed, and what it has not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api_shim.domain.audit import AuditHead
from api_shim.domain.audit_key import AuditKey

KEY, OTHER = AuditKey(b"k" * 32), AuditKey(b"o" * 32)
HEAD = KEY.sign(AuditHead(number=405, hash="a" * 64))


@pytest.mark.parametrize(
    ("to", "signed"),
    [
        pytest.param({}, True, id="as it was"),
        pytest.param({"announced": 7}, True, id="told to Prefect since"),
        pytest.param({"number": 404}, False, id="another number"),
        pytest.param({"hash": "b" * 64}, False, id="another hash"),
        pytest.param({"number": 40, "hash": f"5 {'a' * 64}"}, False, id="where the number ends"),
        pytest.param({"signature": ""}, False, id="no signature"),
        pytest.param({"signature": "0" * 128}, False, id="another signature"),
        pytest.param({"signature": "no digits"}, False, id="what is no signature"),
        pytest.param({"key": ""}, False, id="no key"),
        pytest.param({"key": OTHER.public}, False, id="the name of another key"),
    ],
)
@pytest.mark.parametrize("key", [KEY, AuditKey(b"k" * 32)], ids=["by who signed it", "by another process"])
def test_a_head_is_signed_if_it_is_as_it_was(key: AuditKey, to: dict[str, Any], signed: bool) -> None:
    assert key.has_signed(replace(HEAD, **to)) is signed


def test_what_another_key_has_signed_is_not_signed() -> None:
    assert not KEY.has_signed(OTHER.sign(HEAD))


def test_the_private_half_is_not_shown() -> None:
    assert b"k".hex() * 32 not in f"{KEY!r} {HEAD!r} {vars(KEY)}"
