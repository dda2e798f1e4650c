"""What authors of Nautobot Jobs know and does not exist here: the name, and what to do in its place.

* A Job that uses such a name is refused when it is registered, with the sentence of the table.
* A name that comes to exist is taken out of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.places import used_of_self
from flows.variables import BadJob

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


def faults(job_class: type, path: str) -> Iterator[BadJob]:
    """Yield what a Job defines or uses that does not exist here.

    Args:
        job_class: the Job.
        path: its class path.
    """
    for name, hint in DEFINED.items():
        if hasattr(job_class, name):
            yield BadJob(f"{path}.{name} has no effect: {hint}.", name)
    for name in used_of_self(job_class):
        if name in USED and not hasattr(job_class, name):
            yield BadJob(f"{path}: there is no self.{name} here: {USED[name]}.", f"self.{name}")
