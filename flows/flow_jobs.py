"""A Prefect flow that exists, as a Job: ``register_flows()``, or ``@as_job()`` over ``@flow``.

* The flow stays what it is, for who calls it or deploys it otherwise. A run of the Job is one flow run, in which the
  gate comes first; then the flow's function is called in it, with its task runner, its prints as lines of the log, and
  its hooks for completion and failure, which no run calls that was not let go.
* Its parameters are the variables (``flows.signatures``), its ``timeout_seconds`` is the soft time limit, its name and
  description are the Job's. Settings of ``Meta`` are arguments; what a Job may be told, a flow may be told.
* Other than for classes, the inputs are not sensitive unless a parameter is a secret by its type, or it is said.
* What would run before the gate, or run the function again after it, is refused; a name for its runs has no effect.
* A flow is known by what it has, so that this module needs no Prefect.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, ClassVar, TypeVar, overload

from flows.definition import JobDefinition
from flows.job import Job
from flows.registry import refuse, register
from flows.signatures import Parameter, parameters_of
from flows.variables import BadJob, Variable

F = TypeVar("F")

_OF_FLOWS = ("fn", "name", "parameters", "retries", "on_completion_hooks", "task_runner")
"""What tells a flow from other things."""

_REFUSED: Mapping[str, str] = {
    "retries": "retries, but a run executes once: give them to its tasks, or call it from another flow",
    "on_running_hooks": "a hook on_running, which would be called before the run is let go",
    "on_cancellation_hooks": "a hook on_cancellation, which nothing here calls",
    "on_crashed_hooks": "a hook on_crashed, which nothing here calls",
}
"""What a flow must not have, and why."""

_SECTION = re.compile(
    r"\n\s*\n\s*(?:(?:Args|Arguments|Parameters|Returns|Raises|Yields|Examples?)\s*:?\s*\n|:\w+).*", re.S
)
"""Where the description of a docstring ends."""


class FlowJob(Job):
    """A Job whose ``run()`` is the function of a flow."""

    _flow: ClassVar[Any]
    _parameters: ClassVar[Mapping[str, Parameter]]

    def run(self, **inputs: Any) -> Any:
        """Call the function of the flow with values of its types."""
        return self._flow.fn(**{name: self._parameters[name].value(value) for name, value in inputs.items()})

    @classmethod
    def _declared(cls) -> dict[str, Variable]:
        """Return a variable for each parameter."""
        return {name: each.variable for name, each in cls._parameters.items()}

    @classmethod
    def definition(cls) -> JobDefinition:
        """Return the definition of the Job; it is built once."""
        definition = super().definition()
        if cls._flow.flow_run_name and not any("flow_run_name" in each for each in definition.warnings):
            told = (
                f"{definition.class_path}: flow_run_name has no effect, because runs are called after their requests."
            )
            cls._definition = definition = replace(definition, warnings=(*definition.warnings, told))
        return definition


def register_flows(*flows: Any, **meta: Any) -> None:
    """Register Prefect flows as Jobs. Call it at the end of a module that defines or imports them by name.

    Args:
        flows: the flows; each has a name of its own in the module.
        meta: what classes say in their ``Meta``, as ``approval_required=True``, for all of them.
    """
    calling = sys._getframe(1)
    for flow in flows:
        names = [name for name, each in calling.f_globals.items() if each is flow]
        own = own_name(flow)
        if is_flow(flow) and not names:
            refuse(calling, own, f"register_flows(): {own} must be imported, or made, by name at the top level.")
        else:
            _register(flow, own if own in names else next(iter(names), own), meta, calling)


@overload
def as_job(flow: F, /) -> F: ...


@overload
def as_job(**meta: Any) -> Callable[[F], F]: ...


def as_job(flow: Any = None, /, **meta: Any) -> Any:
    """Register the Prefect flow that is defined below it as a Job; the flow itself stays as it is.

    Args:
        flow: the flow, where nothing is said of the Job.
        meta: what classes say in their ``Meta``, as ``approval_required=True``.
    """
    calling = sys._getframe(1)

    def registered(flow: F) -> F:
        _register(flow, own_name(flow), meta, calling)
        return flow

    return registered if flow is None else registered(flow)


def is_flow(thing: object) -> bool:
    """Say whether something is a Prefect flow."""
    return not isinstance(thing, type) and all(hasattr(thing, name) for name in _OF_FLOWS)


def own_name(flow: object) -> str:
    """Return the name of the function of a flow; empty for what is none."""
    return str(getattr(getattr(flow, "fn", None), "__name__", ""))


def job_of(flow: Any, name: str, module: str, meta: Mapping[str, Any]) -> type[FlowJob]:
    """Return a flow as a Job.

    Args:
        flow: the flow.
        name: what it is called in the module.
        module: the name of the module that registers it.
        meta: what classes say in their ``Meta``.

    Raises:
        BadJob: it cannot be one.
    """
    path = f"{module}.{name}"
    if not is_flow(flow):
        order = " Write @as_job() above @flow." if inspect.isfunction(flow) else ""
        raise BadJob(f"{module}: {flow!r} is no Prefect flow.{order}")
    for setting, why in _REFUSED.items():
        if getattr(flow, setting):
            raise BadJob(f"{path} has {why}.")
    if inspect.isgeneratorfunction(flow.fn) or inspect.isasyncgenfunction(flow.fn):
        raise BadJob(f"{path} must be a function without yield.")
    described = {name: each.get("description") or "" for name, each in flow.parameters.properties.items()}
    try:
        parameters = parameters_of(flow.fn, described)
    except BadJob as error:
        raise BadJob(f"{path} {error}") from error
    stated = {
        "name": flow.name,
        "description": _SECTION.sub("", inspect.cleandoc(flow.description or "")),
        "has_sensitive_variables": any(each.secret for each in parameters.values()),
        "soft_time_limit": flow.timeout_seconds or 0,
        **meta,
    }
    # The module of the function is one whose code counts, too, which may be another one.
    origin = type(name, (FlowJob,), {"__module__": flow.fn.__module__, "_flow": flow, "_parameters": parameters})
    body = {"__module__": module, "__doc__": flow.description, "Meta": type("Meta", (), stated)}
    return type(name, (origin,), body)


def _register(flow: Any, name: str, meta: Mapping[str, Any], calling: FrameType) -> None:
    module = str(calling.f_globals["__name__"])
    try:
        register(job_of(flow, name, module, meta), calling)
    except BadJob as error:
        refuse(calling, f"{module}.{name or repr(flow)}", str(error), getattr(flow, "fn", flow))
