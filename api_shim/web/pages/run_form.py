"""The form that runs a Job: a field for each variable, what was typed into it, and each fault beside its field.

* What is typed is kept as it is; it is read by the Job's own variables, not here.
* A box that is not ticked and a choice of none are answers, though browsers do not send them.
* Only what the chosen type of schedule needs is sent on; what else was typed stays in the form.

Contract 3 and 4.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from api_shim.domain.model import Job
from api_shim.domain.recurrence import Interval
from api_shim.parsing.run_request import RunRequest
from approval_gate.errors import UNNAMED, sentences

KINDS: Mapping[str, str] = {
    "StringVar": "line",
    "TextVar": "lines",
    "IntegerVar": "number",
    "BooleanVar": "box",
    "DryRunVar": "box",
    "ChoiceVar": "one",
    "MultiChoiceVar": "many",
    "JSONVar": "json",
}
"""How a variable is asked for, by its type; that of a Job's own type follows from what it takes."""

INTERVALS: Mapping[Interval, tuple[str, str]] = {
    Interval.IMMEDIATELY: ("Once immediately", ""),
    Interval.FUTURE: ("Once in the future", "At the start."),
    Interval.HOURLY: ("Recurring hourly", "From the start on, at its minute."),
    Interval.DAILY: ("Recurring daily", "From the start on, at its time of day."),
    Interval.WEEKLY: ("Recurring weekly", "From the start on, at its time of its day of the week."),
    Interval.CUSTOM: ("Recurring custom", "Whenever a crontab says so."),
}
"""The types of schedule, as people are offered them: what each is called, and what it does."""

TIMED = ("name", "start_time", "time_zone")
NEEDED: Mapping[str, tuple[str, ...]] = {
    Interval.FUTURE: TIMED,
    Interval.HOURLY: TIMED,
    Interval.DAILY: TIMED,
    Interval.WEEKLY: TIMED,
    Interval.CUSTOM: (*TIMED, "crontab"),
}
"""What each type of schedule needs besides."""

Typed = Mapping[str, list[str]]
"""What stands in each field, by its name; several values where several can be chosen."""
Faults = Mapping[str, list[str]]
"""Sentences by the id of the element that they are about; ``""`` for those about none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """The field of a variable.

    Args:
        variable: its name.
        kind: how it is asked for: one of the values of ``KINDS``.
        help: what the Job says about it, and what can be filled in.
        choices: value and label of each.
        initial: what stands in it at first.
    """

    variable: str
    kind: str
    label: str
    help: str = ""
    required: bool
    choices: tuple[tuple[str, str], ...] = ()
    initial: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the browser sends it under; no name of a field of ours begins so."""
        return f"input.{self.variable}"

    @property
    def id(self) -> str:
        return f"input-{self.variable}"


def fields_of(job: Job) -> list[Field]:
    """Return the fields of a Job's variables, in order."""
    return [_field(job, variable) for variable in job.variables]


def _field(job: Job, variable: Mapping[str, Any]) -> Field:
    kind = KINDS.get(variable["type"]) or _kind_of(job, variable)
    # The administrator's default for a dry run may be another than the code's.
    dry_run = job.supports_dryrun and variable["name"] == "dryrun"
    default = job.dryrun_default if dry_run else variable.get("default")
    choices = tuple((str(value), label) for value, label in variable.get("choices", ()))
    if kind == "one" and default is None:
        choices = (("", "Choose one" if variable["required"] else "None"), *choices)
    return Field(
        variable=variable["name"],
        kind=kind,
        label=variable.get("label") or _readable(variable["name"]),
        help=" ".join(filter(None, (_sentence(variable.get("help_text", "")), _hint(kind, variable)))),
        required=variable["required"],
        choices=choices,
        initial=tuple(_written(kind, default)),
    )


def _kind_of(job: Job, variable: Mapping[str, Any]) -> str:
    """Return how a variable of a Job's own type is asked for."""
    if "choices" in variable:
        return "many" if "array" in _types(job, variable["name"]) else "one"
    return "box" if "boolean" in _types(job, variable["name"]) else "lines"


def _types(job: Job, name: str) -> set[str]:
    schema = (job.parameter_schema or {}).get("properties", {}).get(name, {})
    return {each.get("type", "") for each in (schema, *schema.get("anyOf", ()))}


def _readable(name: str) -> str:
    words = name.replace("_", " ").strip() or name
    return words[0].upper() + words[1:]


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text}." if text and text[-1].isalnum() else text


def _written(kind: str, default: Any) -> Iterator[str]:
    """Yield a default as it stands in its field."""
    match default:
        case None | False:
            return
        case True if kind == "box":
            yield "on"
        case list() if kind == "many":
            yield from map(str, default)
        case str() if kind != "json":
            yield default
        case _:
            yield json.dumps(default, ensure_ascii=False, indent=2 if kind == "json" else None)


def _hint(kind: str, variable: Mapping[str, Any]) -> str:
    least, most = variable.get("min_value"), variable.get("max_value")
    fewest, longest = variable.get("min_length"), variable.get("max_length")
    hints = {
        "A whole number.": kind == "number" and least is None and most is None,
        f"A whole number from {least} to {most}.": least is not None and most is not None,
        f"A whole number, at least {least}.": least is not None and most is None,
        f"A whole number, at most {most}.": least is None and most is not None,
        f"From {fewest} to {longest} characters.": fewest is not None and longest is not None,
        f"At least {fewest} characters.": fewest is not None and longest is None,
        f"At most {longest} characters.": fewest is None and longest is not None,
        "JSON; a text stands in double quotes.": kind == "json",
    }
    return " ".join(hint for hint, told in hints.items() if told)


# What was typed


def typed_at_first(fields: Iterable[Field], zone: str) -> Typed:
    """Return what stands in the form before anybody types.

    Args:
        fields: of the variables.
        zone: IANA name of the server's time zone.
    """
    return {
        **{field.name: list(field.initial) for field in fields},
        "interval": [Interval.IMMEDIATELY],
        "time_zone": [zone],
    }


def as_typed(fields: Iterable[Field], inputs: Mapping[str, Any]) -> Typed:
    """Return inputs as they stand in the form."""
    return {field.name: [*_written(field.kind, inputs.get(field.variable))] for field in fields}


def typed_in(form: FormData) -> Typed:
    """Return what a form sent, as it was typed: with the line ends of a text, not those of the web."""
    typed: dict[str, list[str]] = defaultdict(list)
    for name, value in form.multi_items():
        if isinstance(value, str):
            typed[name].append(value.replace("\r\n", "\n"))
    return typed


def read_request(job: Job, fields: Iterable[Field], typed: Typed) -> RunRequest:
    """Return what is asked for."""
    interval = first(typed, "interval")
    named = ("name",) if job.approval_required else ()
    wanted = ("interval", *NEEDED.get(interval, named))
    return RunRequest(
        data={field.variable: value for field in fields for value in _sent(field, typed)},
        schedule={name: text for name in wanted if (text := first(typed, name).strip())},
        task_queue=first(typed, "queue") or None,
    )


def _sent(field: Field, typed: Typed) -> Iterator[Any]:
    """Yield what was sent for a field: nothing, or one value."""
    values = typed.get(field.name, [])
    if field.kind == "box":
        yield bool(values)
    elif field.kind == "many":
        yield values
    elif values:
        yield values[0]


def first(typed: Typed, name: str) -> str:
    """Return what was typed into a field of which there is one."""
    return next(iter(typed.get(name, ())), "")


# What is wrong


def faults_in(details: Iterable[object], present: Collection[str]) -> Faults:
    """Return the sentences of refusals, by the element that each is about.

    Args:
        details: the refusals, in the contract's shapes.
        present: the ids of the elements that the page has.
    """
    faults: dict[str, list[str]] = defaultdict(list)
    for detail in details:
        for element, told in _told(detail):
            beside = element if element in present else ""
            field = "" if beside or element in {*UNNAMED, "schedule"} else element.removeprefix("input-")
            faults[beside] += sentences(told, field)
    return faults


def _told(detail: object) -> Iterator[tuple[str, object]]:
    if not isinstance(detail, Mapping):
        yield "", detail
        return
    for part, told in detail.items():
        if part == "schedule" and isinstance(told, Mapping):
            yield from told.items()
        elif part == "errors" and isinstance(told, Mapping):
            yield from ((f"input-{variable}", faults) for variable, faults in told.items())
        else:
            yield "queue" if part == "task_queue" else str(part), told
