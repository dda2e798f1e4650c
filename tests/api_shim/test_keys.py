"""What keys look like: a secret scanner finds them, and tells them from what only looks like one."""

from __future__ import annotations

import re
import zlib

import pytest

from api_shim.keys import ALPHABET, checksum, new_key

SCANNED = re.compile(r"\bsignoff_([0-9A-Za-z]{30})([0-9A-Za-z]{6})\b")


def test_a_scanner_finds_a_key_in_a_text_and_sees_that_it_is_one() -> None:
    for _ in range(100):
        key = new_key()
        found = SCANNED.search(f'SIGNOFF_TOKEN="{key}"\n')
        assert found is not None
        assert found[0] == key
        assert sum(ALPHABET.index(c) * 62**place for place, c in enumerate(found[2][::-1])) == zlib.crc32(
            found[1].encode()
        )


def test_keys_differ() -> None:
    assert len({new_key() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        pytest.param("3" * 30, "0b2IQP", id="one that needs a leading zero"),
        pytest.param("0123456789ABCDEFGHIJKLMNOPQRST", "4PMbyp", id="digits and capital letters"),
    ],
)
def test_the_checksum_stays_what_scanners_have_learned(drawn: str, expected: str) -> None:
    assert checksum(drawn) == expected
