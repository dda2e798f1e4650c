"""The log: lines for people, or one JSON object in a line for programs, on standard error.

* Our lines and uvicorn's are written alike; as JSON, those of every other library too, Prefect's included.
* A line that a request has led to has the id of that request.
* Keys of tokens and of runs are cut out of whatever is logged. Inputs, passwords and bodies are no part of it: whoever
  logs does not name them. Tracebacks have no values of variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from logging import INFO, WARNING
from typing import Any, Literal

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict

from api_shim.domain.request_id import current_request
from api_shim.keys import PREFIX

LogFormat = Literal["console", "json"]

OURS, UVICORN = "signoff", "uvicorn"
FIELDS = ("method", "path", "status", "seconds")
"""What a line can have besides its text."""
KEY = re.compile(rf"{PREFIX}(run_)?[0-9A-Za-z]{{36}}")
HIDDEN = f"{PREFIX}…"


def log_config(form: LogFormat, level: int | None = None) -> dict[str, Any]:
    """Return how this process logs, for ``logging.config.dictConfig``.

    Args:
        form: for whom.
        level: of what is ours; None for what suits the form: warnings for people, all that happens for programs.
    """
    everything = form == "json"
    ours = level if level is not None else INFO if everything else WARNING
    # Prefect leaves the root logger as it is where that has a handler before it is imported.
    root = {"root": {"handlers": ["log"], "level": WARNING}} if everything else {}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"log": {"()": _formatter, "form": form}},
        "handlers": {"log": {"class": "logging.StreamHandler", "formatter": "log"}},
        "loggers": {
            OURS: {"handlers": ["log"], "level": ours, "propagate": False},
            UVICORN: {"handlers": ["log"], "level": "ERROR", "propagate": False},
        },
        **root,
    }


def _formatter(form: LogFormat) -> ProcessorFormatter:
    last: tuple[Callable[..., Any], ...] = (_as_line,)
    if form == "json":
        last = (structlog.processors.JSONRenderer(),)
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            ExtraAdder(allow=FIELDS),
            _add_request,
            structlog.processors.format_exc_info,
        ],
        processors=[ProcessorFormatter.remove_processors_meta, _hide_keys, *last],
    )


def _add_request(_logger: Any, _method: str, line: EventDict) -> EventDict:
    if request_id := current_request():
        line["request_id"] = request_id
    return line


def _hide_keys(_logger: Any, _method: str, line: EventDict) -> EventDict:
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = KEY.sub(HIDDEN, value)
    return line


def _as_line(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
    """Return a line as people read it: how serious it is, what it says, and the request that it belongs to."""
    return f"{line['level'].upper()}: {_on_one_line(str(line['event']))}{_belongs_to(line)}{_failed(line)}"


def _on_one_line(text: str) -> str:
    """Return a text, with escapes for what would begin another line or command a terminal: others may have sent it."""
    # What uvicorn logs with a traceback ends with a line break.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.rstrip())


def _belongs_to(line: Mapping[str, Any]) -> str:
    return f" (request {line['request_id']})" if "request_id" in line else ""


def _failed(line: Mapping[str, Any]) -> str:
    return f"\n{line['exception']}" if "exception" in line else ""
