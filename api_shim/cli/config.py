"""``signoff config``: what this machine's signoff is told, and where it was told that.

* Secrets are hidden, and whatever of Prefect's may be one, by its name or as part of an address.
* It starts nothing and opens nothing.
"""

from __future__ import annotations

import os
import re
from typing import Any

import typer
from pydantic_settings import BaseSettings

from api_shim.cli.console import AsJson, Home, show
from api_shim.client.transport import read_environment
from api_shim.prefect_api.prefect_profile import told_to_prefect
from api_shim.settings import SECRETS, read_settings

HIDDEN = "(hidden)"
MAY_BE_SECRET = re.compile("AUTH|DATABASE|HEADER|KEY|PASS|SECRET|TOKEN|CREDENTIAL")
"""In the name of one of Prefect's settings."""
WITH_PASSWORD = re.compile(r"://[^/]*@")
"""In an address."""


def config(context: typer.Context, as_json: AsJson = False, home: Home = None) -> None:
    """Show each setting, its value, and where it came from; secrets are hidden.

    Of Prefect's settings, those that somebody has set. `signoff up` reads no Prefect profile.
    """
    source = context.get_parameter_source("home")
    typed = {"home"} if source is not None and source.name == "COMMANDLINE" else set[str]()
    rows = [*_rows(read_settings(home), typed), *_rows(read_environment(), set())]
    for name, value, place in told_to_prefect(os.environ):
        hidden = MAY_BE_SECRET.search(name) or WITH_PASSWORD.search(value)
        rows.append({"setting": name, "value": HIDDEN if hidden else value, "from": place})
    show(rows, ["setting", "value", "from"], as_json=as_json)


def _rows(told: BaseSettings, typed: set[str]) -> list[dict[str, Any]]:
    """Return what is to be shown of some settings.

    Args:
        told: they.
        typed: the names of those that stood on the command line.
    """
    return [
        {"setting": f"SIGNOFF_{name.upper()}", "value": _shown(name, value), "from": _source(told, name, typed)}
        for name, value in told
    ]


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    return HIDDEN if name in SECRETS else str(value)


def _source(told: BaseSettings, name: str, typed: set[str]) -> str:
    if name in typed:
        return "command line"
    if name not in told.model_fields_set:
        return "default"
    return "file" if getattr(told, f"{name}_file", None) else "environment"
