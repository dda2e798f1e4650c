"""The classes with which authors write Jobs."""

from flows.execution import JobFailed
from flows.job import Job, JobHookReceiver
from flows.objects import MultiObjectVar, ObjectVar
from flows.registry import register_jobs
from flows.variables import (
    BooleanVar,
    ChoiceVar,
    DateTimeVar,
    DateVar,
    DryRunVar,
    IntegerVar,
    IPAddressVar,
    IPAddressWithMaskVar,
    IPNetworkVar,
    JSONVar,
    MultiChoiceVar,
    ScriptVariable,
    StringVar,
    TextVar,
)

__all__ = [
    "BooleanVar",
    "ChoiceVar",
    "DateTimeVar",
    "DateVar",
    "DryRunVar",
    "IPAddressVar",
    "IPAddressWithMaskVar",
    "IPNetworkVar",
    "IntegerVar",
    "JSONVar",
    "Job",
    "JobFailed",
    "JobHookReceiver",
    "MultiChoiceVar",
    "MultiObjectVar",
    "ObjectVar",
    "ScriptVariable",
    "StringVar",
    "TextVar",
    "register_jobs",
]
