"""What others of its user cannot look into."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# 3 asks what 4 has set: whether the system lets others of the same user look into it.
SCRIPT = """
import ctypes, os, sys
from api_shim.worker.hidden import hide

def looked_into():
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)

print(looked_into(), end=" ", flush=True)
hide()
print(looked_into(), end=" ", flush=True)
if os.fork() == 0:
    print(looked_into(), end=" ", flush=True)
    os.execv(sys.executable, [sys.executable, "-c", "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"])
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system is not Linux")
def test_a_process_hides_with_what_it_forks_until_that_is_another_program() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.split() == ["1", "0", "0", "1"]
