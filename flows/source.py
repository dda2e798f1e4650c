"""The code of a Job: which modules it covers, what was loaded of them, and that a run imports nothing else of them.

* It covers the modules of the Job and of its base classes, and every module of the same package or folder that these
  import, however deep; and the installed versions of their distributions.
* The same package, for what is installed, as signoff always counts; for anything else the same folder, which is the
  one that is searched for the module. Other installed packages in that folder are not covered. A project that is
  installed to be edited is not installed in its own folder. Of a symbolic link, the folders of both ends count.
* Imports are read in the syntax tree, so those within functions count before they happen. Where a module computes what
  it imports, or has no source to read, every module of its package or folder is covered.
* A module counts by what was executed: one that may be covered is compiled from its source at each import, never taken
  from ``__pycache__``, and hashed as it is read. One that is not imported yet counts by its file.
* A module without source counts by its bytecode or machine code. That depends on the version of Python, which the
  digest names then.
* A run that is held to its code imports of the same packages and folders only what is covered, and unchanged. What
  its process had imported of them besides that has to be imported again, which is refused.
* What a module is found by is what it was imported by, whatever it has put in its own place since then.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import SOURCE_SUFFIXES, ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import distributions
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from approval_gate.binding import SCHEME

OWN = frozenset({"api_shim", "approval_gate", "flows"})
"""Signoff's own packages. What is called like one and stands elsewhere is not signoff's."""

ROOT = str(Path(__file__).parents[1]) + os.sep
"""Where they stand."""

COMPUTES = frozenset(
    {
        *("__import__", "import_module", "run_module", "run_path", "iter_modules", "walk_packages"),
        *("exec_module", "load_module", "module_from_spec", "spec_from_file_location", "SourceFileLoader"),
        *("resolve_name", "locate", "entry_points", "EntryPoint", "ImportString"),
        *("import_object", "import_string", "load_script_as_module"),
        *("eval", "exec", "builtins", "__builtins__", "modules", "__loader__", "__spec__"),
    }
)
"""Names of what imports, or gets hold of, a module whose name is computed.

Some of them have other meanings, too. A module that uses them then has more covered than it needs, never less.
"""

BYTECODE_HEADER = 16
"""Bytes at the beginning of a ``.pyc`` file that tell when it was made, not what it does."""

_RECORDED = re.compile(r"^([^/.,]+)[/.]", re.MULTILINE)
"""The first name of a module, in the list of files of a distribution."""

_LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class OtherCode(ImportError):
    """A run that is held to its code would import something else."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a module consists of.

    Args:
        digest: SHA-256 of its source, or of what it has in its place, in hexadecimal.
        imports: the names that it may import; ``package.*`` for all modules of a package.
        computes: whether it may import modules that are not named in it.
        compiled: whether it has no source.
    """

    digest: str
    imports: frozenset[str] = frozenset()
    computes: bool = False
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What is covered if it is imported: one package, or one folder.

    Args:
        package: the first name of its modules; empty for a folder.
        folder: where that package stands, or the folder.
    """

    package: str
    folder: str

    @classmethod
    def around(cls, spec: ModuleSpec) -> Iterator[Scope]:
        """Yield the scopes of a module that has a file: more than one if symbolic links lead to it."""
        path = _path_of(spec)
        depth = spec.name.count(".") + (spec.submodule_search_locations is not None)
        written = Path(path).absolute().parents[depth]
        folders = {written, Path(os.path.realpath(written)), Path(os.path.realpath(path)).parents[depth]}
        first = _first(spec.name)
        for folder in map(str, folders):
            if is_installed(path) or is_own(first, path):
                yield cls(first, folder)
            else:
                yield from (cls(package, folder) for package in _installed_with(first, folder) or {""})

    def has(self, name: str, path: str) -> bool:
        """Say whether a module is in it.

        Args:
            name: its name.
            path: its file, or its folder; empty if it has neither.
        """
        first = _first(name)
        if self.package:
            return first == self.package and (first not in OWN or is_own(first, path))
        # Whether it is installed is asked first, as links take long to follow.
        if not path or is_own(first, path) or is_installed(path) or first in installed_in(self.folder):
            return False
        ends = (Path(path).absolute(), Path(os.path.realpath(path)))
        return any(end.is_relative_to(self.folder) for end in ends)

    def all(self) -> Iterator[str]:
        """Yield the names of all modules in it, those of folders without ``__init__`` left out."""
        if not self.package:
            yield from _below([self.folder], "")
        elif (spec := find(self.package)) is not None:
            yield from _below(spec.submodule_search_locations or (), f"{self.package}.")


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a Job.

    Args:
        digest: scheme, version of Python if that matters, and SHA-256, separated by colons; empty if there is no code.
        modules: the digest of each module that is covered, by its name.
        files: which files and folders may change it.
        scopes: the packages and folders of which it covers modules.
    """

    digest: str
    modules: Mapping[str, str]
    files: frozenset[str]
    scopes: frozenset[Scope]


# Which modules are covered


def code_of(job_class: type) -> Code:
    """Return the code of a Job, as it was loaded into this process."""
    roots = [*dict.fromkeys(each.__module__ for each in job_class.__mro__ if _is_root(each, job_class))]
    specs = [spec for root in roots if (spec := find(root)) is not None and spec.has_location]
    scopes = frozenset(scope for spec in specs for scope in Scope.around(spec))
    if job_class.__module__ not in {spec.name for spec in specs}:
        return Code("", {}, frozenset(), scopes)
    walk = _Walk(scopes)
    walk.follow(roots)
    python = str(sys.implementation.cache_tag) if any(each.compiled for each in walk.found.values()) else ""
    modules = {name: each.digest for name, each in sorted(walk.found.items())}
    versions = sorted({each for scope in scopes for each in installed_in(scope.folder).get(scope.package, ())})
    digest = _sha256(json.dumps([modules, versions]).encode())
    return Code(f"{SCHEME}:{python}:{digest}", modules, walk.files, scopes)


def module_digest(job_class: type) -> str:
    """Return what approvals of earlier versions are bound to: SHA-256 of the source of a Job's module alone.

    Returns:
        the digest in hexadecimal; empty if there is no source.
    """
    try:
        source = inspect.getsource(sys.modules[job_class.__module__])
    except (KeyError, OSError, TypeError):
        return ""
    return _sha256(source.encode(errors="surrogateescape"))


def _is_root(base: type, job_class: type) -> bool:
    module = base.__module__
    if module == job_class.__module__:
        return True
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return not is_own(_first(module), file) and _first(module) not in sys.stdlib_module_names


class _Walk:
    """Follows imports as long as they stay in scope.

    Args:
        scopes: the packages and folders to stay in.
    """

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self.found: dict[str, Contents] = {}
        self._scopes = scopes
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._known: set[str] = set()
        self._waiting: list[str] = []
        self._near: dict[str, bool] = {}

    @property
    def files(self) -> frozenset[str]:
        """The files of what was found; and where more of it can be added without a change of these, the folders."""
        computes = any(each.computes for each in self.found.values())
        return frozenset(self._files | (self._folders if computes else set()))

    def follow(self, names: Iterable[str]) -> None:
        """Find what is imported by these names, however deep."""
        self._add(names)
        while self._waiting:
            name = self._waiting.pop()
            spec = find(name.removesuffix(".*"))
            scopes = [] if spec is None else [each for each in self._scopes if each.has(spec.name, _path_of(spec))]
            if spec is None or not scopes:
                continue
            inner = spec.submodule_search_locations or ()
            self._folders.update(inner)
            if name.endswith(".*"):
                self._add(_below(inner, f"{spec.name}."))
            elif spec.has_location:
                self._take(spec, scopes)

    def _take(self, spec: ModuleSpec, scopes: Iterable[Scope]) -> None:
        self._files.add(str(spec.origin))
        self.found[spec.name] = contents = contents_of(spec)
        self._add(contents.imports)
        if contents.computes:
            for scope in scopes:
                self._folders.add(scope.folder)
                self._add(scope.all())

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            # The packages that a module is in are imported before it.
            parts = name.split(".")
            whole = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            if parts[0] == "flows":
                # What ours has not is looked for in theirs, which has this name.
                whole.add("flows.flows")
            whole -= self._known
            if whole and self._is_near(parts[0]):
                self._waiting += whole
                self._known |= whole

    def _is_near(self, first: str) -> bool:
        if first not in self._near:
            spec = find(first)
            near = spec is not None and any(each.has(first, _path_of(spec)) for each in self._scopes)
            self._near[first] = near or first == "flows"
        return self._near[first]


def _below(folders: Iterable[str], prefix: str) -> Iterator[str]:
    for folder in folders:
        for each in pkgutil.iter_modules([folder], prefix):
            yield each.name
            if each.ispkg:
                yield from _below([f"{folder}{os.sep}{each.name.removeprefix(prefix)}"], f"{each.name}.")


@cache
def installed_in(folder: str) -> Mapping[str, tuple[str, ...]]:
    """Return the distributions that are installed in a folder, as ``name==version``, by the first name of modules."""
    found: dict[str, set[str]] = {}
    for each in distributions(path=[folder]):
        record = each.read_text("RECORD") or ""
        if not (record or is_installed(folder + os.sep)):
            # The project itself, which was built here or is installed to be edited.
            continue
        for first in {*(each.read_text("top_level.txt") or "").split(), *_RECORDED.findall(record)}:
            found.setdefault(first, set()).add(f"{each.name}=={each.version}")
    return {first: tuple(sorted(versions)) for first, versions in found.items()}


def _installed_with(first: str, folder: str) -> set[str]:
    """Return the first names of modules of the distributions that a module belongs to, its own included."""
    installed = installed_in(folder)
    own = installed.get(first, ())
    return {name for name, versions in installed.items() if not set(own).isdisjoint(versions)}


# Finding modules


def is_installed(path: str) -> bool:
    """Say whether a file belongs to Python or to an installed package."""
    return path.startswith(_LIBRARIES) or not {"site-packages", "dist-packages"}.isdisjoint(Path(path).parts)


def is_own(first: str, path: str) -> bool:
    """Say whether a file is signoff's own.

    Args:
        first: the first name of the module.
        path: the file, or the folder.
    """
    return first in OWN and path.startswith(ROOT)


def find(name: str) -> ModuleSpec | None:
    """Return what would be, or was, imported by a name, without importing anything; None if there is nothing."""
    if name in sys.modules:
        spec = _FINDER.executed.get(name) or getattr(sys.modules[name], "__spec__", None)
        if isinstance(spec, ModuleSpec):
            return spec
        if name == "__main__":
            # A script was not found by this name.
            return None
    package = name.rpartition(".")[0]
    path: Sequence[str] | None = None
    if package:
        above = find(package)
        if above is None or above.submodule_search_locations is None:
            return None
        # A package that was imported may have changed where it looks.
        path = getattr(sys.modules.get(package), "__path__", above.submodule_search_locations)
    return _ask(sys.meta_path, name, path)


def _ask(
    finders: Iterable[Any], name: str, path: Sequence[str] | None, target: ModuleType | None = None
) -> ModuleSpec | None:
    specs = (each.find_spec(name, path, target) for each in finders)
    return next((spec for spec in specs if spec is not None), None)


def _path_of(spec: ModuleSpec) -> str:
    """Return the file of a module, or the folder of a package without one; empty for a module of neither."""
    return str(spec.origin) if spec.has_location else next(iter(spec.submodule_search_locations or ()), "")


def _first(name: str) -> str:
    return name.partition(".")[0]


# What modules consist of


def contents_of(spec: ModuleSpec) -> Contents:
    """Return what a module consists of: as it was executed if that is known, or else as it is now."""
    if isinstance(spec.loader, Observed) and spec.loader.contents is not None:
        return spec.loader.contents
    loader: Any = spec.loader
    try:
        data: bytes = loader.get_data(spec.origin)
    except (AttributeError, OSError):
        return Contents("", computes=True)
    if not str(spec.origin).endswith(tuple(SOURCE_SUFFIXES)):
        header = BYTECODE_HEADER if str(spec.origin).endswith(".pyc") else 0
        return Contents(_sha256(data[header:]), computes=True, compiled=True)
    return _parsed(data, _package_of(spec.name, is_package=spec.submodule_search_locations is not None))


@lru_cache(maxsize=1000)
def _parsed(data: bytes, package: str) -> Contents:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        # It cannot be imported, and so imports nothing.
        return Contents(_sha256(data))
    return _contents(data, tree, package)


def _contents(data: bytes, tree: ast.AST, package: str) -> Contents:
    names: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                names |= {*_imported(node, package)}
                used |= {alias.name for alias in node.names}
            case ast.Name(id=name) | ast.Attribute(attr=name):
                used.add(name)
    return Contents(_sha256(data), frozenset(names), not used.isdisjoint(COMPUTES))


def _package_of(name: str, *, is_package: bool) -> str:
    return name if is_package else name.rpartition(".")[0]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    try:
        module = resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        # It fails when it is executed, too.
        return
    yield module
    yield from (f"{module}.{alias.name}" for alias in node.names)


# Imports


class Observed(SourceFileLoader):
    """Loads a module from its source, and notes what that was."""

    contents: Contents | None = None

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source as it is now.

        Raises:
            OtherCode: the run is held to its code, and this is not part of it.
        """
        path = self.get_filename(fullname)
        data = self.get_data(path)
        tree = ast.parse(data, path)
        contents = _contents(data, tree, _package_of(fullname, is_package=self.is_package(fullname)))
        _check(fullname, path, contents)
        self.contents = contents
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Execute a module; what it was found by is noted first, as it can change that."""
        if module.__spec__ is not None:
            _FINDER.executed[module.__spec__.name] = module.__spec__
        super().exec_module(module)


class _Finder:
    """Finds modules as the finders after it do, and has the covered ones observed."""

    def __init__(self) -> None:
        self.packages: set[str] = set()
        self.executed: dict[str, ModuleSpec] = {}
        self.held: Code | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in sys.modules:
            self.executed.pop(name, None)
        after = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = _ask(after, name, path, target)
        if spec is None or not spec.has_location:
            return spec
        # Some libraries bring a loader of their own kind for all files; what may be covered is loaded as it stands.
        if isinstance(spec.loader, SourceFileLoader) and self._may_be_covered(spec):
            spec.loader = Observed(spec.loader.name, str(spec.origin))
        elif self.held is not None and _is_held(self.held, name, _path_of(spec)):
            _check(name, _path_of(spec), contents_of(spec))
        return spec

    def _may_be_covered(self, spec: ModuleSpec) -> bool:
        first = _first(spec.name)
        path = str(spec.origin)
        return first in self.packages or not (is_own(first, path) or is_installed(path))


_FINDER = _Finder()


def import_module(name: str) -> ModuleType:
    """Import a module of Jobs; it and what may be covered with it are observed from now on.

    Raises:
        Exception: whatever the module raises.
    """
    if _FINDER not in sys.meta_path:
        # Before those that find files, so that whoever wants to be asked before that still is.
        files = (i for i, each in enumerate(sys.meta_path) if isinstance(each, type) and issubclass(each, PathFinder))
        sys.meta_path.insert(next(files, len(sys.meta_path)), _FINDER)
    _FINDER.packages.add(_first(name))
    return importlib.import_module(name)


def hold_to(code: Code | None) -> None:
    """Let this process import, of the packages and folders of a Job, only what its code covers.

    Args:
        code: the code of the Job that this process runs; None to hold it to nothing again.

    Raises:
        OtherCode: something else was imported already.
    """
    if code is not None:
        for name in code.modules.keys() & sys.modules.keys():
            loader = getattr(find(name), "loader", None)
            if isinstance(loader, Observed) and loader.contents and loader.contents.digest != code.modules[name]:
                raise OtherCode(_changed(name), name=name)
        _forget_what_is_not_covered(code)
    _FINDER.held = code


def _forget_what_is_not_covered(code: Code) -> None:
    """Have what was imported already, of other Jobs for example, meet the check when it is imported again."""
    for name, module in [*sys.modules.items()]:
        spec = find(name) if name != "__main__" else None
        # A package without a file has nothing to execute, and covered modules may be in it.
        if spec is None or not spec.has_location or spec.name in code.modules:
            continue
        if _is_held(code, spec.name, _path_of(spec)):
            del sys.modules[name]
            above, _, last = name.rpartition(".")
            attributes = getattr(sys.modules.get(above), "__dict__", {})
            if attributes.get(last) is module:
                del attributes[last]


def _is_held(code: Code, name: str, path: str) -> bool:
    return name in code.modules or any(scope.has(name, path) for scope in code.scopes)


def _check(name: str, path: str, contents: Contents) -> None:
    held = _FINDER.held
    if held is None or not _is_held(held, name, path):
        return
    if name not in held.modules:
        raise OtherCode(
            f"The module {name} is not part of the code that was approved: no module of the Job imports it by name.",
            name=name,
        )
    if held.modules[name] != contents.digest:
        raise OtherCode(_changed(name), name=name)


def _changed(name: str) -> str:
    return f"The module {name} changed after the code of this run was compared with what was approved."
