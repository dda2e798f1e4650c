"""The registry of Jobs.

* A class is a Job once its module registers it with ``register_jobs()``, while that module is imported.
* Class paths and names are unique: a second Job with either is refused, and the first stays.
* A module that cannot be imported is reported with its line and error; the other modules are still imported.
* A Job is loaded by its class path: importing its module registers it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from approval_gate.errors import NotRunnable
from flows.definition import JobDefinition
from flows.job import Job
from flows.source import import_module
from flows.variables import BadJob

_REGISTERED: dict[str, type[Job]] = {}
"""The registered classes by class path. Registering a class path again replaces the class."""


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
        problems: a sentence for each module or Job that cannot be used.
    """

    jobs: Registry
    problems: tuple[str, ...]


def register_jobs(*job_classes: type[Job]) -> None:
    """Register classes as Jobs. Call it at the end of the module that defines them.

    Args:
        job_classes: subclasses of ``Job``, each at the top level of its module.

    Raises:
        BadJob: one of them cannot work as it is written.
    """
    for job_class in job_classes:
        if not (isinstance(job_class, type) and issubclass(job_class, Job)):
            raise BadJob(f"register_jobs() takes Job classes, not {job_class!r}.")
        if job_class.__qualname__ != job_class.__name__:
            raise BadJob(f"{job_class.__qualname__} must be at the top level of {job_class.__module__}.")
        _REGISTERED[job_class.definition().class_path] = job_class


def discover(module_names: Iterable[str]) -> Discovery:
    """Import modules and return every Job that is registered afterwards.

    Args:
        module_names: dotted names of modules.
    """
    problems = [problem for name in module_names if (problem := _import(name))]
    jobs = Registry()
    for job_class in _registered().values():
        try:
            jobs.add(job_class.definition())
        except BadJob as error:
            problems.append(str(error))
    return Discovery(jobs=jobs, problems=tuple(problems))


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
    return getattr(sys.modules.get(job_class.__module__), job_class.__name__, None) is job_class


def _import(module_name: str) -> str | None:
    """Import a module; return a sentence on the problem if it fails."""
    try:
        import_module(module_name)
    except (Exception, SystemExit) as error:
        said = str(error) if isinstance(error, BadJob) else f"{type(error).__name__}: {error}"
        return f"The module {module_name} cannot be imported{_place(module_name, error)}: {said}"
    return None


def _place(module_name: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f" (line {error.lineno} of {error.filename})"
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__") == module_name:
            return f" (line {line})"
    return ""
