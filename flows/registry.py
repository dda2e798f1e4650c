"""The registry of Jobs.

* A class is a Job once its module registers it with ``register_jobs()``, while that module is imported.
* What cannot work as it is written is refused in one sentence, with file and line; the module's other Jobs stay.
* Class paths and names are unique: a second Job with either is refused, and the first stays.
* A module that cannot be imported is reported with its line and error; the other modules are still imported.
* A module that registers nothing is reported, too.
* A Job is loaded by its class path: importing its module registers it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from approval_gate.errors import NotRunnable
from flows.definition import JobDefinition, path_of
from flows.job import Job
from flows.places import UNKNOWN, Place, place_of
from flows.source import import_module
from flows.variables import BadJob

_REGISTERED: dict[str, type[Job]] = {}
"""The registered classes by class path. Registering a class path again replaces the class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a module, or a Job, cannot be used.

    Args:
        module: the name of the module.
        sentence: why, for its author.
        place: where that stands.
    """

    module: str
    sentence: str
    place: Place = UNKNOWN

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place.file else self.sentence


_REFUSED: dict[str, tuple[dict[str, Any], Refusal]] = {}
"""What was refused, by class path, with the contents of the module that was executed then."""

_REGISTERING: set[str] = set()
"""The names of the modules that have registered something, or have tried to."""


class Registry(Mapping[str, JobDefinition]):
    """Job definitions by class path, in the order in which they were added.

    Args:
        definitions: the definitions to start with.

    Raises:
        BadJob: two of them have the same class path or the same name.
    """

    def __init__(self, definitions: Iterable[JobDefinition] = ()) -> None:
        self._by_path: dict[str, JobDefinition] = {}
        for definition in definitions:
            self.add(definition)

    def add(self, definition: JobDefinition) -> None:
        """Add one Job.

        Raises:
            BadJob: another Job has its class path or its name.
        """
        path = definition.class_path
        if path in self._by_path:
            raise BadJob(f"There are two Jobs at {path}.")
        other = next((each for each in self._by_path.values() if each.name == definition.name), None)
        if other:
            raise BadJob(f"{path} and {other.class_path} are both called {definition.name!r}; rename one of them.")
        self._by_path[path] = definition

    def __getitem__(self, class_path: str) -> JobDefinition:
        return self._by_path[class_path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_path)

    def __len__(self) -> int:
        return len(self._by_path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Discovery:
    """The result of importing modules.

    Args:
        jobs: the Jobs that can be used.
        problems: why each module or Job that cannot be used cannot.
    """

    jobs: Registry
    problems: tuple[Refusal, ...]


def register_jobs(*job_classes: type[Job]) -> None:
    """Register classes as Jobs. Call it at the end of the module that defines them.

    One that cannot work as it is written is refused, which the start and ``signoff check`` tell; the others are Jobs.

    Args:
        job_classes: subclasses of ``Job``, each at the top level of its module.
    """
    calling = sys._getframe(1)
    for job_class in job_classes:
        try:
            _check_class(job_class)
            register(job_class, calling)
        except BadJob as error:
            path = path_of(job_class) if isinstance(job_class, type) else repr(job_class)
            refuse(calling, path, str(error), job_class, error.attribute)


def _check_class(job_class: object) -> None:
    if not (isinstance(job_class, type) and issubclass(job_class, Job)):
        raise BadJob(f"register_jobs() takes Job classes, not {job_class!r}.")
    if job_class.__qualname__ != job_class.__name__:
        raise BadJob(f"{job_class.__qualname__} must be at the top level of {job_class.__module__}.")


def register(job_class: type[Job], calling: FrameType) -> None:
    """Register a class as a Job.

    Args:
        job_class: the class.
        calling: the frame of the module that registers it.

    Raises:
        BadJob: it cannot work as it is written.
    """
    _REGISTERING.add(str(calling.f_globals["__name__"]))
    path = job_class.definition().class_path
    _REFUSED.pop(path, None)
    _REGISTERED[path] = job_class


def refuse(calling: FrameType, path: str, sentence: str, code: object = None, attribute: str = "") -> None:
    """Note that something was refused.

    Args:
        calling: the frame of the module that registers it.
        path: its class path.
        sentence: why.
        code: the class or function; None where the place of the call is meant.
        attribute: the attribute of the class that is meant; empty for the class.
    """
    called = Place(calling.f_code.co_filename, calling.f_lineno)
    place = place_of(code, attribute) if isinstance(code, type) or callable(code) else UNKNOWN
    module = str(calling.f_globals["__name__"])
    _REGISTERED.pop(path, None)
    _REFUSED[path] = (
        calling.f_globals,
        Refusal(module=module, sentence=sentence, place=place if place.file else called),
    )


def discover(module_names: Iterable[str]) -> Discovery:
    """Import modules and return every Job that is registered afterwards.

    Args:
        module_names: dotted names of modules.
    """
    names = [*module_names]
    failed = [problem for name in names if (problem := _import(name))]
    refused = [each for contents, each in _REFUSED.values() if _contents_of(each.module) is contents]
    jobs, problems = Registry(), [*failed, *refused]
    for job_class in _registered().values():
        try:
            jobs.add(job_class.definition())
        except BadJob as error:
            problems.append(Refusal(module=job_class.__module__, sentence=str(error), place=place_of(job_class)))
    told = {*_REGISTERING, *(each.module for each in failed)}
    problems += [_registers_nothing(name) for name in dict.fromkeys(names) if not _is_within(name, told)]
    return Discovery(jobs=jobs, problems=tuple(problems))


def _is_within(module_name: str, modules: Iterable[str]) -> bool:
    return any(each == module_name or each.startswith(f"{module_name}.") for each in modules)


def _registers_nothing(module_name: str) -> Refusal:
    return Refusal(
        module=module_name,
        sentence=f"The module {module_name} has no Jobs: it must call register_jobs() or register_flows().",
        place=Place(str(getattr(sys.modules.get(module_name), "__file__", None) or ""), 1),
    )


def _contents_of(module_name: str) -> dict[str, Any] | None:
    return getattr(sys.modules.get(module_name), "__dict__", None)


def load(class_path: str) -> type[Job]:
    """Import the module of a Job and return its class.

    Args:
        class_path: ``module.Class``.

    Raises:
        NotRunnable: the module cannot be imported, or does not register the Job.
    """
    module_name, _, class_name = class_path.rpartition(".")
    if problem := _import(module_name):
        raise NotRunnable(f"The Job {class_path} is not installed here. {problem}")
    job_class = _registered().get(class_path)
    if job_class is None:
        contents, refusal = _REFUSED.get(class_path, (None, None))
        if refusal and _contents_of(refusal.module) is contents:
            raise NotRunnable(f"The Job {class_path} is not installed here. {refusal}")
        raise NotRunnable(
            f"The Job {class_path} is not installed here: "
            f"{module_name} does not register a {class_name} with register_jobs()."
        )
    return job_class


def registered(class_path: str) -> type[Job] | None:
    """Return the class of a Job whose module has been imported; None if there is none.

    Args:
        class_path: ``module.Class``.
    """
    return _registered().get(class_path)


def code_files() -> set[str]:
    """Return the files and folders that may change the code of a registered Job."""
    return {path for job_class in _registered().values() for path in job_class._code.files}


def _registered() -> dict[str, type[Job]]:
    return {path: each for path, each in _REGISTERED.items() if _is_in_its_module(each)}


def _is_in_its_module(job_class: type[Job]) -> bool:
    # Of a flow the module has the flow itself.
    there = getattr(sys.modules.get(job_class.__module__), job_class.__name__, None)
    return there is not None and (there is job_class or there is getattr(job_class, "_flow", None))


def _import(module_name: str) -> Refusal | None:
    """Import a module; return why it cannot be imported if it fails."""
    try:
        import_module(module_name)
    except (Exception, SystemExit) as error:
        said = str(error) if isinstance(error, BadJob) else f"{type(error).__name__}: {error}"
        return Refusal(
            module=module_name,
            sentence=f"The module {module_name} cannot be imported: {said}{_hint(module_name, error)}",
            place=_place(module_name, error),
        )
    return None


def _hint(module_name: str, error: BaseException) -> str:
    missing = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing != "nautobot":
        return ""
    return f". Jobs import from flows here: signoff check --fix-imports {module_name} rewrites that."


def _place(module_name: str, error: BaseException) -> Place:
    if isinstance(error, SyntaxError) and error.lineno:
        return Place(error.filename or "", error.lineno)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = frame.f_globals.get("__name__", "")
        if name == module_name or name.startswith(f"{module_name}."):
            return Place(frame.f_code.co_filename, line)
    return UNKNOWN
