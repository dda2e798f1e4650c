"""Whether a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

from api_shim.worker.stamps import stamp


def test_a_stamp_stays_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "jobs.py"
    file.write_text("a = 1")
    was = stamp(str(file))
    assert was == stamp(str(file))
    file.write_text("a = 10")
    assert was != stamp(str(file))


def test_a_file_that_is_put_in_its_place_is_another_one_even_with_its_time_and_size(tmp_path: Path) -> None:
    file, other = tmp_path / "jobs.py", tmp_path / "other.py"
    file.write_text("a = 1")
    was, times = stamp(str(file)), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    other.write_text("a = 2")
    os.utime(other, ns=times)
    other.replace(file)
    assert was != stamp(str(file))


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert stamp(str(tmp_path / "nothing.py")) == []
