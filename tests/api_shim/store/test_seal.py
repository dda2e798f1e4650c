"""The file that keeps the last head of the audit outside the database; what it proves is tested with the signing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from api_shim.domain.audit import AuditHead
from api_shim.domain.audit_key import AuditKey
from api_shim.store import Seal
from approval_gate.errors import Unavailable

KEY = AuditKey(b"k" * 32)
HEAD = KEY.sign(AuditHead(number=405, hash="a" * 64))


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return Seal(KEY, tmp_path / "audit.head")


def test_the_last_head_is_kept_for_its_owner_alone(seal: Seal) -> None:
    assert seal.kept() is None
    for head in (KEY.sign(AuditHead(number=1)), HEAD):
        seal.keep(head)
        assert seal.kept() == head
    assert stat.S_IMODE(seal.file.stat().st_mode) == 0o600
    assert [path.name for path in seal.file.parent.iterdir()] == ["audit.head"]


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"number": 1, "hash": "a", "key": ""}'])
def test_what_is_no_head_is_one_sentence(seal: Seal, text: str) -> None:
    seal.file.write_text(text)
    with pytest.raises(Unavailable, match="is not the head of an audit"):
        seal.kept()


def test_a_file_that_cannot_be_used_is_one_sentence(seal: Seal) -> None:
    seal.file.mkdir()
    with pytest.raises(Unavailable, match=r"audit\.head cannot be read: "):
        seal.kept()
    with pytest.raises(Unavailable, match=r"audit\.head cannot be written: "):
        seal.keep(HEAD)
