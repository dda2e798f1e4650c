"""The classes with which authors write Jobs."""

from typing import TYPE_CHECKING, Any

from flows.absent import stand_in
from flows.execution import JobFailed
from flows.job import Job, JobHookReceiver
from flows.registry import register_jobs
from flows.variables import BooleanVar, ChoiceVar, DryRunVar, IntegerVar, JSONVar, MultiChoiceVar, StringVar, TextVar

__all__ = [
    "BooleanVar",
    "ChoiceVar",
    "DryRunVar",
    "IntegerVar",
    "JSONVar",
    "Job",
    "JobFailed",
    "JobHookReceiver",
    "MultiChoiceVar",
    "StringVar",
    "TextVar",
    "register_jobs",
]


if not TYPE_CHECKING:  # or every name would be one of ours

    def __getattr__(name: str) -> Any:
        if (found := stand_in(name, Job)) is not None:
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
