"""``signoff config``: what this machine's signoff is told, and where it was told that.

* Secrets are hidden, and whatever may be one: as part of an address, and of Prefect's by its name, too.
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
WITH_PASSWORD = re.compile(r"://.*[@?]", re.DOTALL)
"""In an address: a password may have a slash, and may stand in the query."""


def config(context: typer.Context, as_json: AsJson = False, home: Home = None) -> None:
    """Show each setting, its value, and where it came from; secrets are hidden.

    Of Prefect's settings, those that somebody has set. `signoff up` reads no Prefect profile.
    """
    source = context.get_parameter_source("home")
    typed = {"home"} if source is not None and source.name == "COMMANDLINE" else set[str]()
    rows = [*_rows(read_settings(home), typed), *_rows(read_environment(), set())]
    for name, value, place in told_to_prefect(os.environ):
        rows.append({"setting": name, "value": _shown(value, secret=bool(MAY_BE_SECRET.search(name))), "from": place})
    show(rows, ["setting", "value", "from"], as_json=as_json)


def _rows(told: BaseSettings, typed: set[str]) -> list[dict[str, Any]]:
    """Return what is to be shown of some settings.

    Args:
        told: they.
        typed: the names of those that stood on the command line.
    """
    return [
        {
            "setting": f"SIGNOFF_{name.upper()}",
            "value": "" if value is None else _shown(str(value), secret=name in SECRETS),
            "from": _source(told, name, typed),
        }
        for name, value in told
    ]


def _shown(value: str, *, secret: bool) -> str:
    return HIDDEN if secret or WITH_PASSWORD.search(value) else value


def _source(told: BaseSettings, name: str, typed: set[str]) -> str:
    if name in typed:
        return "command line"
    if name not in told.model_fields_set:
        return "default"
    return "file" if getattr(told, f"{name}_file", None) else "environment"
