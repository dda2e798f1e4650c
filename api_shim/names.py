"""The names of signoff's packages, beside which Jobs may have others of the same name: many projects have ``flows``.

* In every process that imports ``api_shim``, ``flows`` and ``approval_gate`` are signoff's, whatever comes first on the
  path. New interpreters of runs have ``worker/first`` on it, which sees to that.
* A module in a folder ``flows`` of theirs is found beside ours: ``flows.demo``. A ``flows.py``, or what stands in the
  ``__init__`` of such a folder, is ``flows.flows``; what ours has not, ``from flows import …`` takes from there.
* Where that cannot be, the start says so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
FIRST = Path(__file__).parent / "worker" / "first"
"""The folder that is first on the path of runs."""

SHARED = "flows"
THEIRS = "flows.flows"
"""What is imported of theirs by the name that ours has."""
OURS = (SHARED, "approval_gate")
UNSHARED = ("api_shim", "approval_gate")


def imported_as(name: str) -> str:
    """Return the name by which a module of Jobs is imported: one that is called like ours has another."""
    return THEIRS if name == SHARED else name


class OurNames(PathFinder):
    """Finds our packages before others of their names, and modules in a folder ``flows`` of theirs."""

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG003 - ours is where we say
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return what is imported by a name; None for what is no matter of ours."""
        if fullname in OURS:
            return PathFinder.find_spec(fullname, [str(ROOT)], target)
        if not fullname.startswith(f"{SHARED}.") or fullname.count(".") > 1:
            return None
        found = PathFinder.find_spec(fullname, [str(ROOT / SHARED)], target)
        if found is not None:
            return found
        folders = [*folders_of_others(sys.path)]
        if fullname == THEIRS:
            file = next((each for folder in folders for each in _named_like_ours(folder)), None)
            return None if file is None else spec_from_file_location(fullname, file)
        return PathFinder.find_spec(fullname, [str(folder / SHARED) for folder in folders], target)


def claim() -> None:
    """Have our names be ours in this process."""
    if OurNames in sys.meta_path:
        return
    where = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(where, OurNames)
    for name in OURS:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in sys.modules and (file is None or Path(file).parent != ROOT / name):
            del sys.modules[name]


def folders_of_others(paths: Iterable[str]) -> Iterator[Path]:
    """Yield the folders of a path in which something is called ``flows``, those of signoff left out."""
    for folder in dict.fromkeys(Path(path or ".").absolute() for path in paths):
        if folder in {ROOT, FIRST} or _is_signoff(folder):
            continue
        if (folder / SHARED).is_dir() or (folder / f"{SHARED}.py").is_file():
            yield folder


def collision(paths: Iterable[str]) -> str:
    """Return a sentence on what stands on a path and cannot be imported beside signoff; empty for nothing.

    Args:
        paths: the folders that Jobs are imported from.
    """
    paths = [*paths]
    for folder in (Path(path or ".").absolute() for path in paths):
        if _is_signoff(folder):
            continue
        for name in UNSHARED:
            if (folder / name / "__init__.py").exists() or (folder / f"{name}.py").exists():
                return f"{folder / name} has the name of a package of signoff: rename it, or start in another folder."
    own = {each.stem for each in (ROOT / SHARED).glob("*.py")} - {"__init__"}
    for folder in folders_of_others(paths):
        for each in sorted((folder / SHARED).glob("*")):
            if each.stem in own and (each.suffix == ".py" or (each / "__init__.py").exists()):
                return f"{each} cannot be imported, because signoff has a module flows.{each.stem}: rename it."
    return ""


def _is_signoff(folder: Path) -> bool:
    """Say whether a folder is one of signoff's own, of whatever version."""
    return (folder / "approval_gate" / "prefect_gate.py").exists()


def _named_like_ours(folder: Path) -> Iterator[Path]:
    yield from (each for each in (folder / SHARED / "__init__.py", folder / f"{SHARED}.py") if each.is_file())
