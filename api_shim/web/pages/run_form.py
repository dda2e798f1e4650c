"""The form that runs a Job: a field for each variable, its typed value, and its faults.

* Typed values are passed on unchanged; the variables of the Job parse and validate them.
* Browsers do not send unticked checkboxes: a missing one means false, or an empty list.
* Only the fields that the chosen schedule type needs are passed on; the others keep their text in the form.

Contract 3 and 4.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from api_shim.domain.files import file_variables
from api_shim.domain.model import Job
from api_shim.domain.recurrence import Interval
from api_shim.parsing.run_request import RunRequest
from approval_gate.admission import Misfire
from approval_gate.errors import UNNAMED, sentences
from flows.files import GivenFile
from flows.variables import TRUTH_WORDS

KINDS: Mapping[str, str] = {
    "StringVar": "line",
    "TextVar": "lines",
    "IntegerVar": "number",
    "BooleanVar": "box",
    "DryRunVar": "box",
    "ChoiceVar": "one",
    "MultiChoiceVar": "many",
    "JSONVar": "json",
    "DateVar": "date",
    "DateTimeVar": "line",
    "IPAddressVar": "line",
    "IPAddressWithMaskVar": "line",
    "IPNetworkVar": "line",
    "ObjectVar": "object",
    "MultiObjectVar": "objects",
    "FileVar": "file",
}
"""The kind of form field for each type of variable; for a Job's own types it follows from their JSON schema."""

WIDGETS: Mapping[str, str] = {"Textarea": "lines", "TextInput": "line"}
"""The kind of form field for a widget that a variable has in place of its own."""

OBJECTS = frozenset({"object", "objects"})
"""The kinds of form fields whose choices come from elsewhere."""

EXAMPLES: Mapping[str, str] = {
    "DateTimeVar": "A date and time, such as 2030-01-31 14:30+01:00; without an offset, in the server's time zone.",
    "IPAddressVar": "An address without a mask, such as 192.0.2.1 or 2001:db8::1.",
    "IPAddressWithMaskVar": "An address with its mask, such as 192.0.2.1/24.",
    "IPNetworkVar": "A network, such as 192.0.2.0/24.",
}
"""How a value is written, for each type of variable that does not go without saying."""

INTERVALS: Mapping[Interval, tuple[str, str]] = {
    Interval.IMMEDIATELY: ("Once immediately", ""),
    Interval.FUTURE: ("Once in the future", "At the start time."),
    Interval.HOURLY: ("Recurring hourly", "Every hour, from the start time on."),
    Interval.DAILY: ("Recurring daily", "Every day at the same time, from the start time on."),
    Interval.WEEKLY: ("Recurring weekly", "Every week on the same day and time, from the start time on."),
    Interval.CUSTOM: ("Recurring custom", "At the times given by a crontab."),
}
"""The label and the help text of each schedule type."""

MISFIRES: Mapping[Misfire, str] = {
    Misfire.LAST: "Run the last one",
    Misfire.SKIP: "Run none",
    Misfire.ALL: "Run all, one after the other",
    Misfire.ASK: "Ask for approval to run the last one",
}
"""What can become of missed firings, in words."""

TIMED = ("name", "start_time", "time_zone", "misfire")
NEEDED: Mapping[str, tuple[str, ...]] = {
    Interval.FUTURE: TIMED,
    Interval.HOURLY: TIMED,
    Interval.DAILY: TIMED,
    Interval.WEEKLY: TIMED,
    Interval.CUSTOM: (*TIMED, "crontab"),
}
"""The further fields that each schedule type needs."""

Typed = Mapping[str, list[str]]
"""The values of the form fields, by name."""
Faults = Mapping[str, list[str]]
"""The faults by the id of the form field; ``""`` for those of no field."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """The form field of a variable.

    Args:
        variable: the name of the variable.
        kind: the kind of form field: one of the values of ``KINDS``.
        label: the label of the field.
        help: the description of the variable, and its limits.
        required: the field cannot be empty.
        choices: value and label of each choice.
        initial: the initial values.
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
        """The name of the form field, with a prefix that no other field of the form has."""
        return f"input.{self.variable}"

    @property
    def id(self) -> str:
        return f"input-{self.variable}"


def fields_of(job: Job) -> list[Field]:
    """Return the form fields of a Job's variables, in order."""
    return [_field(job, variable) for variable in job.variables]


def _field(job: Job, variable: Mapping[str, Any]) -> Field:
    kind = WIDGETS.get(variable.get("widget", "")) or KINDS.get(variable["type"]) or _kind_of(job, variable)
    # An administrator may have overridden the default for dry runs.
    dry_run = job.supports_dryrun and variable["name"] == "dryrun"
    default = job.dryrun_default if dry_run else variable.get("default")
    choices = tuple((str(value), label) for value, label in variable.get("choices", ()))
    if kind in {"one", "object"} and (default is None or (kind == "object" and not variable["required"])):
        nothing = "Choose one" if variable["required"] else variable.get("null_option", "None")
        choices = (("", nothing), *choices)
    return Field(
        variable=variable["name"],
        kind=kind,
        label=variable.get("label") or _readable(variable["name"]),
        help=" ".join(
            filter(None, (_sentence(variable.get("help_text", "")), _hint(kind, variable), _parts(job, kind, variable)))
        ),
        required=variable["required"],
        choices=choices,
        initial=tuple(_written(kind, default)),
    )


def _kind_of(job: Job, variable: Mapping[str, Any]) -> str:
    """Return the kind of form field for a variable of a Job's own type."""
    if variable["name"] in file_variables(job):
        return "file"
    if "choices" in variable:
        return "many" if "array" in _types(job, variable["name"]) else "one"
    types = _types(job, variable["name"])
    return "box" if "boolean" in types else "json" if types & {"array", "object", "$ref"} else "lines"


def _types(job: Job, name: str) -> set[str]:
    schema = (job.parameter_schema or {}).get("properties", {}).get(name, {})
    return {"$ref" if "$ref" in each else each.get("type", "") for each in (schema, *schema.get("anyOf", ()))}


def _parts(job: Job, kind: str, variable: Mapping[str, Any]) -> str:
    """Return what a value in JSON has to have and may have, if it is a model; empty if it is not."""
    whole = job.parameter_schema or {}
    schema = whole.get("properties", {}).get(variable["name"], {})
    [*refs] = (each["$ref"] for each in (schema, *schema.get("anyOf", ())) if "$ref" in each)
    if kind != "json" or len(refs) != 1:
        return ""
    for step in refs[0].split("/")[1:]:
        whole = whole.get(step, {})
    required = whole.get("required", [])
    optional = [name for name in whole.get("properties", {}) if name not in required]
    has = [f"has {_listed(required)}" if required else "", f"may have {_listed(optional)}" if optional else ""]
    return f"It {', and '.join(filter(None, has))}." if any(has) else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _readable(name: str) -> str:
    words = name.replace("_", " ").strip() or name
    return words[0].upper() + words[1:]


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text}." if text and text[-1].isalnum() else text


def _written(kind: str, default: Any) -> Iterator[str]:
    """Yield a default as the form field shows it."""
    match default:
        case None | False:
            return
        case True if kind == "box":
            yield "on"
        case list() if kind in {"many", "objects"}:
            yield from map(str, default)
        case str() if kind != "json":
            yield default
        case _:
            yield json.dumps(default, ensure_ascii=False, indent=2 if kind == "json" else None)


def _hint(kind: str, variable: Mapping[str, Any]) -> str:
    least, most = variable.get("min_value"), variable.get("max_value")
    fewest, longest = variable.get("min_length"), variable.get("max_length")
    widest, narrowest = variable.get("min_prefix_length"), variable.get("max_prefix_length")
    hints = {
        EXAMPLES.get(variable["type"], ""): True,
        "A whole number.": kind == "number" and least is None and most is None,
        f"A whole number from {least} to {most}.": least is not None and most is not None,
        f"A whole number, at least {least}.": least is not None and most is None,
        f"A whole number, at most {most}.": least is None and most is not None,
        f"From {fewest} to {longest} characters.": fewest is not None and longest is not None,
        f"At least {fewest} characters.": fewest is not None and longest is None,
        f"At most {longest} characters.": fewest is None and longest is not None,
        f"Its prefix is at least /{widest} long.": widest is not None,
        f"Its prefix is at most /{narrowest} long.": narrowest is not None,
        "JSON. Strings are in double quotes.": kind == "json",
    }
    return " ".join(hint for hint, told in hints.items() if hint and told)


# What was typed


def typed_at_first(fields: Iterable[Field], zone: str) -> Typed:
    """Return the initial values of the form.

    Args:
        fields: the fields of the variables.
        zone: the IANA name of the time zone of whoever fills it in.
    """
    return {
        **{field.name: list(field.initial) for field in fields},
        "interval": [Interval.IMMEDIATELY],
        "time_zone": [zone],
        "misfire": [Misfire.LAST],
    }


def filled_in(fields: Iterable[Field], asked: Mapping[str, list[str]]) -> Typed:
    """Return the initial values that a link names, by the names of the variables; they are read when they are sent."""
    return {field.name: _ticked(asked[field.variable], field.kind) for field in fields if field.variable in asked}


def _ticked(values: list[str], kind: str) -> list[str]:
    return values if kind != "box" or TRUTH_WORDS.get(values[-1].strip().lower()) else []


def as_typed(fields: Iterable[Field], inputs: Mapping[str, Any]) -> Typed:
    """Return inputs as the form shows them."""
    return {field.name: [*_written(field.kind, inputs.get(field.variable))] for field in fields}


def typed_in(form: FormData) -> Typed:
    """Return the submitted values, with the line ends that browsers send (CRLF) turned back into LF."""
    typed: dict[str, list[str]] = defaultdict(list)
    for name, value in form.multi_items():
        if isinstance(value, str):
            typed[name].append(value.replace("\r\n", "\n"))
    return typed


def files_in(form: FormData) -> Mapping[str, GivenFile]:
    """Return the submitted files, by the name of the form field."""
    values: list[tuple[str, object]] = [*form.multi_items()]
    return {name: value for name, value in values if isinstance(value, GivenFile)}


def read_request(
    job: Job, fields: Iterable[Field], typed: Typed, files: Mapping[str, GivenFile] | None = None
) -> RunRequest:
    """Return the run request that the typed values make, and the files that were sent with them."""
    given = files or {}
    interval = first(typed, "interval")
    named = ("name",) if job.approval_required else ()
    wanted = ("interval", *NEEDED.get(interval, named))
    return RunRequest(
        data={field.variable: value for field in fields for value in _sent(field, typed, given)},
        schedule={name: text for name in wanted if (text := first(typed, name).strip())},
        task_queue=first(typed, "queue") or None,
    )


def _sent(field: Field, typed: Typed, files: Mapping[str, GivenFile]) -> Iterator[Any]:
    """Yield the value of a field, or nothing if it was not sent."""
    values = typed.get(field.name, [])
    if field.name in files:
        yield files[field.name]
    elif field.kind == "box":
        yield bool(values)
    elif field.kind in {"many", "objects"}:
        yield values
    elif values:
        yield values[0]


def first(typed: Typed, name: str) -> str:
    """Return the single value of a field; empty if it was not sent."""
    return next(iter(typed.get(name, ())), "")


# What is wrong


def faults_in(details: Iterable[object], present: Collection[str]) -> Faults:
    """Return the sentences of error details, by form field.

    Args:
        details: the error details, in the contract's shapes.
        present: the ids of the form fields on the page.
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
