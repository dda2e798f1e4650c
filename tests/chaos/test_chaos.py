"""A short trial: what is bounded is how much is asked and how much is harmed, never the time that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.system import Databases
from tests.chaos.trial import Extent, tried

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc"),
]
SEED = 1
SHORT = Extent(answered=60, harm=3)


def test_nothing_is_lost_done_twice_or_done_undecided_while_the_system_is_harmed(tmp_path: Path) -> None:
    outcome = tried(Databases.SQLITE, tmp_path, SEED, SHORT)
    print(f"seed {SEED}\n{outcome.note()}")
    assert outcome.violations == []
