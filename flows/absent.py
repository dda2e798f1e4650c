"""What authors of Nautobot Jobs know and does not exist here: the name, and what to do in its place.

* Importing such a name works, so that it costs no other Job of the module; a Job that uses it is refused when it is
  registered, with the sentence of the table.
* A name that comes to exist is taken out of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.places import used_of_self
from flows.variables import BadJob

CLASSES: Mapping[str, str] = {
    "JobButtonReceiver": "no page has buttons of objects; people request Jobs, events start a JobHookReceiver",
}
"""Base classes of Jobs."""

USED: Mapping[str, str] = {
    "job_model": "self.class_path and self.name tell which Job it is",
    "log_debug": "call self.logger.debug()",
    "log_failure": "call self.fail(), or self.logger.failure()",
    "log_info": "call self.logger.info()",
    "log_success": "call self.logger.success()",
    "log_warning": "call self.logger.warning()",
}
"""Attributes of ``self``."""

DEFINED: Mapping[str, str] = {
    "post_run": "after_return() is called at the end",
}
"""Methods that were called once."""


def stand_in(name: str, job: type) -> type | None:
    """Return what stands for a name that does not exist here; None for a name that nobody knows.

    Args:
        name: the name.
        job: the base class of Jobs.
    """
    if name not in CLASSES:
        return None
    return type(name, (job,), {"__module__": "flows", "_absent": f"there is no {name} here: {CLASSES[name]}."})


def faults(job_class: type, path: str) -> Iterator[BadJob]:
    """Yield what a Job is, defines or uses that does not exist here.

    Args:
        job_class: the Job.
        path: its class path.
    """
    if reason := getattr(job_class, "_absent", ""):
        yield BadJob(f"{path}: {reason}")
    for name, hint in DEFINED.items():
        if hasattr(job_class, name):
            yield BadJob(f"{path}.{name} has no effect: {hint}.", name)
    for name in used_of_self(job_class):
        if name in USED and not hasattr(job_class, name):
            yield BadJob(f"{path}: there is no self.{name} here: {USED[name]}.", f"self.{name}")
