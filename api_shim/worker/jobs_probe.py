"""What a process of the Jobs' user can reach; says the first thing that is not as it must be, or nothing.

It is told on standard input, which nobody else can read: ``modules`` of the Jobs, ``folder`` of a run, and what to
``keep from`` them.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from api_shim.worker.jobs_user import capabilities


def complaints(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not as it must be, each as the rest of a sentence that begins with the name of the user.

    Args:
        told: what the module says.
    """
    if any(capabilities()[kind] for kind in ("CapPrm", "CapEff", "CapAmb")):
        yield "would keep rights of root"
    if find_spec("prefect") is None:
        yield f"cannot read the Python environment {sys.prefix}"
    files = dict(_files(told["modules"]))
    for module, file in files.items():
        if file is None or not os.access(file, os.R_OK):
            yield f"cannot read the module {module}; make its folder readable for them"
    if not os.access(told["folder"], os.R_OK | os.W_OK | os.X_OK):
        yield f"cannot write to temporary folders in {Path(told['folder']).parent.parent}; set TMPDIR"
    for path in map(Path, told["keep from"]):
        if any(os.access(path, how) for how in (os.R_OK, os.W_OK, os.X_OK)):
            yield f"can use {path}, which is the server's alone; give it another owner, or chmod go= {path}"
    for path in (*_executed(files), *(Path(path).parent for path in told["keep from"])):
        if _can_change(path):
            yield f"can change {path}, which the server uses as well; make it writable for its owner only"


def _files(modules: list[str]) -> Iterator[tuple[str, str | None]]:
    for module in modules:
        try:
            spec = find_spec(module)
        except Exception:  # noqa: S112 - what is wrong with a package is told by the run that needs it
            continue
        yield module, spec.origin if spec else None


def _executed(files: Mapping[str, str | None]) -> Iterator[Path]:
    """Yield what the server executes."""
    yield from (Path(path) for path in sys.path if path and Path(path).exists())
    for file in filter(None, files.values()):
        yield from (Path(file), Path(file).parent)


def _can_change(path: Path) -> bool:
    """Say whether this process can put something else in place of a file, or of what is in a folder."""
    if not os.access(path, os.W_OK):
        return False
    found = path.stat()
    # In such a folder, as /tmp is one, everybody can change only what is theirs.
    return not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and found.st_uid != os.geteuid())


if __name__ == "__main__":
    print(next(complaints(json.load(sys.stdin)), ""))  # noqa: T201 - read by the process that has started this one
