"""The classes with which authors write Jobs."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flows.execution import JobFailed
from flows.flow_jobs import as_job, register_flows
from flows.job import Job, JobButtonReceiver, JobHookReceiver
from flows.objects import MultiObjectVar, ObjectVar
from flows.registry import register_jobs
from flows.variables import (
    BooleanVar,
    ChoiceVar,
    DateTimeVar,
    DateVar,
    DryRunVar,
    FileVar,
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
    "FileVar",
    "IPAddressVar",
    "IPAddressWithMaskVar",
    "IPNetworkVar",
    "IntegerVar",
    "JSONVar",
    "Job",
    "JobButtonReceiver",
    "JobFailed",
    "JobHookReceiver",
    "MultiChoiceVar",
    "MultiObjectVar",
    "ObjectVar",
    "ScriptVariable",
    "StringVar",
    "TextVar",
    "as_job",
    "register_flows",
    "register_jobs",
]


if not TYPE_CHECKING:  # or every name would be one of ours

    def __getattr__(name: str) -> Any:
        # Jobs may stand beside a flows.py of their own, which is found by this name.
        if name[0] != "_" and find_spec("flows.flows") is not None:
            return getattr(import_module("flows.flows"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
