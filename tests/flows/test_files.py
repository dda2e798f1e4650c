"""What the files of runs may be called, and how large they may be."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from flows.files import GivenFile, RunFile, ids_in, is_file_name, is_reference, too_large

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


ID = UUID(int=7)
FILE = GivenFile.sent(ID, "a.txt", b"hello")
REFERENCE = {
    "id": str(ID),
    "name": "a.txt",
    "size": 5,
    "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
}


def test_a_reference_says_which_file_it_is_and_nothing_of_what_it_has() -> None:
    assert FILE.reference == REFERENCE
    assert GivenFile.kept(REFERENCE).reference == REFERENCE
    assert "hello" not in repr(FILE)
    assert str(FILE) == str(GivenFile.sent(UUID(int=8), "a.txt", b"hello")) != str(GivenFile.sent(ID, "a.txt", b"x"))


@pytest.mark.parametrize(
    "other",
    [None, "x", [], {}, REFERENCE | {"more": 1}, REFERENCE | {"id": "x"}, REFERENCE | {"id": 7}],
    ids=str,
)
def test_what_does_not_look_like_a_reference_is_none(other: Any) -> None:
    assert not is_reference(other)
    assert ids_in({"a": other, "b": REFERENCE}) == {ID}


def test_a_run_reads_a_file_that_has_a_name() -> None:
    file = RunFile(REFERENCE, b"hello")
    assert (file.name, file.size, file.read(), file.read()) == ("a.txt", 5, b"hello", b"")
    assert str(file) == "<file a.txt>"


def test_a_run_is_given_no_other_file_than_was_requested() -> None:
    with pytest.raises(OSError, match="The file is not the one"):
        RunFile(REFERENCE, b"hullo")
