"""The form that changes a scheduled job: what it shows, what was typed into it, and what of that is a change.

* Only what was typed differently is sent to be changed, so that nobody undoes what others have changed meanwhile.
* A start is typed on the clocks of the schedule's zone; with another zone it is meant on that one's, unless a crontab
  says when it runs.
* A fault is told beside its field; what belongs to none is told above all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData

from api_shim.model import Job, ScheduledJob
from api_shim.pages.filters import pretty, sentences
from api_shim.pages.visit import text_of
from api_shim.recurrence import Interval

INPUT = "input."
"""What the fields of the inputs are called, before their names."""
FLAGS = frozenset({"BooleanVar", "DryRunVar"})
FIELDS = ("name", "crontab", "start_time", "time_zone", "queue")
NAMED = {"queue": "job_queue"}
CALLED = {"task_queue": "queue", "job_queue": "queue"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    """What stands in the form.

    Args:
        fields: the texts of the scheduled job's own fields.
        inputs: the texts of its inputs, by variable; a list where several may be chosen.
    """

    fields: Mapping[str, str]
    inputs: Mapping[str, str | list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """What is wrong with what was typed.

    Args:
        general: what belongs to no field.
        fields: sentences by field.
    """

    general: list[str] = field(default_factory=list)
    fields: Mapping[str, list[str]] = field(default_factory=dict)


def shown(row: ScheduledJob, job: Job) -> Typed:
    """Return what the form shows of a scheduled job as it stands."""
    start = row.start_time.astimezone(ZoneInfo(row.time_zone))
    at = f"{start:%Y-%m-%dT%H:%M:%S}" if start.second else f"{start:%Y-%m-%dT%H:%M}"
    fields = {
        "name": row.name,
        "crontab": row.crontab,
        "start_time": "" if row.immediate else at,
        "time_zone": row.time_zone,
        "queue": row.queue,
    }
    inputs = {each["name"]: _written(each["type"], row.inputs.get(each["name"])) for each in job.variables}
    return Typed(fields=fields, inputs=inputs)


def _written(kind: str, value: Any) -> str | list[str]:
    if kind == "MultiChoiceVar":
        return [str(each) for each in value or []]
    if kind in FLAGS:
        return "on" if value else ""
    if value is None:
        return ""
    return pretty(value) if kind == "JSONVar" else _lines(str(value))


def _lines(text: str) -> str:
    # Forms send every end of a line in the network's way.
    return text.replace("\r\n", "\n")


def read(form: FormData, row: ScheduledJob, job: Job) -> Typed:
    """Return what was typed; what the form did not have is as it stands."""
    stands = shown(row, job)
    fields = {name: text_of(form, name, stands.fields[name]) for name in FIELDS}
    if "inputs" not in form:
        return Typed(fields=fields, inputs=stands.inputs)
    return Typed(fields=fields, inputs={each["name"]: _typed(form, each) for each in job.variables})


def _typed(form: FormData, variable: Mapping[str, Any]) -> str | list[str]:
    name = f"{INPUT}{variable['name']}"
    if variable["type"] == "MultiChoiceVar":
        return [each for each in form.getlist(name) if isinstance(each, str)]
    return _lines(text_of(form, name))


def changed(typed: Typed, row: ScheduledJob, job: Job) -> dict[str, Any]:
    """Return what of that is a change, as the use case takes it."""
    stands = shown(row, job)
    differ = {name: text for name, text in typed.fields.items() if text != stands.fields[name]}
    if "time_zone" in differ and row.interval is not Interval.CUSTOM and typed.fields["start_time"]:
        differ["start_time"] = typed.fields["start_time"]
    body: dict[str, Any] = {NAMED.get(name, name): text for name, text in differ.items()}
    if typed.inputs != stands.inputs:
        kinds = {each["name"]: each["type"] for each in job.variables}
        body["data"] = {name: _meant(kinds[name], value) for name, value in typed.inputs.items()}
    return body


def _meant(kind: str, value: str | list[str]) -> Any:
    return bool(value) if kind in FLAGS else value


def faults_of(detail: Any) -> Faults:
    """Return the sentences of a refusal, each where it belongs."""
    if not isinstance(detail, Mapping):
        return Faults(general=[*sentences(detail)])
    general: list[str] = []
    fields: dict[str, list[str]] = {}
    for name, told in detail.items():
        if name == "errors" and isinstance(told, Mapping):
            fields |= {f"{INPUT}{variable}": [*sentences(each)] for variable, each in told.items()}
        elif CALLED.get(name, name) in FIELDS:
            fields[CALLED.get(name, name)] = [*sentences(told)]
        else:
            general += sentences(told)
    return Faults(general=general, fields=fields)


def choices_of(variable: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what can be chosen: how a form writes it, and what it is called."""
    return [(str(value), str(label)) for value, label in variable.get("choices", [])]


def told(variable: Mapping[str, Any], value: Any) -> str:
    """Return the value of an input as people read it, choices by their labels."""
    labels = dict(choices_of(variable))
    if isinstance(value, list) and labels:
        return ", ".join(labels.get(str(each), str(each)) for each in value) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "–"
    if isinstance(value, str) or not labels:
        return labels.get(value, value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return labels.get(str(value), str(value))
