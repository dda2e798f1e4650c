"""What the files of runs may be called, and how large they may be."""

from __future__ import annotations

import pytest

from flows.files import is_file_name, too_large

NAMES = {
    "report.csv": True,
    "Bericht für März (2).txt": True,
    ".hidden": True,
    "ß" * 127 + "x": True,
    "ß" * 128: False,
    "": False,
    ".": False,
    "..": False,
    " a": False,
    "a ": False,
    "a/b": False,
    "..\\b": False,
    "a\nb": False,
    "a\0": False,
    "evil\u202etxt.exe": False,
    "\ud800": False,
}


@pytest.mark.parametrize(("name", "allowed"), NAMES.items(), ids=ascii)
def test_a_file_is_called_by_a_name_that_can_be_read_and_is_no_path(name: str, allowed: bool) -> None:
    assert is_file_name(name) is allowed


def test_a_file_may_have_as_many_bytes_as_are_allowed_and_no_more() -> None:
    assert too_large(10, 10) == ""
    assert too_large(11, 10) == "The file has 11 bytes, of at most 10 (SIGNOFF_FILE_BYTES)."
