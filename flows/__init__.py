"""The classes with which authors write Jobs."""

from flows.execution import JobFailed
from flows.job import Job, JobHookReceiver
from flows.registry import register_jobs
from flows.variables import (
    BooleanVar,
    ChoiceVar,
    DryRunVar,
    FileVar,
    IntegerVar,
    JSONVar,
    MultiChoiceVar,
    StringVar,
    TextVar,
)

__all__ = [
    "BooleanVar",
    "ChoiceVar",
    "DryRunVar",
    "FileVar",
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
