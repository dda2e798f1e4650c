"""How much runs at once, and whose memory ran out."""

from __future__ import annotations

from pathlib import Path

import pytest

from api_shim.worker.capacity import default_limit, free_memory, killed_for_memory, limit_here

MB = 2**20


@pytest.mark.parametrize(
    ("cores", "free", "limit"),
    [
        pytest.param(2, 8000 * MB, 16, id="cores decide where there is memory"),
        pytest.param(2, 1000 * MB, 10, id="memory decides where there is little"),
        pytest.param(64, None, 512, id="cores decide where nobody tells of memory"),
        pytest.param(1, 0, 2, id="never fewer than two"),
    ],
)
def test_the_limit_follows_the_machine(cores: int, free: int | None, limit: int) -> None:
    assert default_limit(cores=cores, free=free) == limit


def test_this_machine_can_run_something() -> None:
    assert limit_here() >= 2


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("memory_", "memory.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:   5000 kB\n"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        pytest.param({"proc__meminfo": MEMINFO}, 5000 * 1024, id="what the machine has"),
        pytest.param(
            {
                "proc__meminfo": MEMINFO,
                "proc__self__cgroup": "0::/ours\n",
                "sys__fs__cgroup__ours__memory_max": "3000000\n",
                "sys__fs__cgroup__ours__memory_current": "1000000\n",
            },
            2000000,
            id="what our group may have, if that is less",
        ),
        pytest.param(
            {
                "proc__meminfo": MEMINFO,
                "proc__self__cgroup": "0::/ours\n",
                "sys__fs__cgroup__ours__memory_max": "max\n",
                "sys__fs__cgroup__ours__memory_current": "1000000\n",
            },
            5000 * 1024,
            id="a group without limit",
        ),
        pytest.param({}, None, id="nobody tells"),
    ],
)
def test_free_memory_is_the_least_that_is_told(tmp_path: Path, files: dict[str, str], free: int | None) -> None:
    assert free_memory(machine(tmp_path, **files)) == free


def test_who_was_killed_for_memory_is_told_by_our_group_before_the_machine(tmp_path: Path) -> None:
    assert killed_for_memory(tmp_path) == 0
    machine(tmp_path, proc__vmstat="nr_free_pages 1\noom_kill 7\n")
    assert killed_for_memory(tmp_path) == 7
    machine(tmp_path, sys__fs__cgroup__memory_events="oom 3\noom_kill 2\n")
    assert killed_for_memory(tmp_path) == 2
