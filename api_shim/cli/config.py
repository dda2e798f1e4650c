"""``signoff config``: what this machine's signoff is told, and where it was told that.

* Secrets are hidden, and whatever may be one: as part of an address, and of Prefect's by its name, too.
* It starts nothing and opens nothing.
"""

from __future__ import annotations

import os
import re

import typer

from api_shim.cli.console import AsJson, Home, show
from api_shim.client.transport import read_environment
from api_shim.prefect_api.prefect_profile import told_to_prefect
from api_shim.settings import read_settings, shown_settings, shown_value

MAY_BE_SECRET = re.compile("AUTH|DATABASE|HEADER|KEY|PASS|SECRET|TOKEN|CREDENTIAL")
"""In the name of one of Prefect's settings."""


def config(context: typer.Context, as_json: AsJson = False, home: Home = None) -> None:
    """Show each setting, its value, and where it came from; secrets are hidden.

    Of Prefect's settings, those that somebody has set. `signoff up` reads no Prefect profile.
    """
    source = context.get_parameter_source("home")
    typed = {"home"} if source is not None and source.name == "COMMANDLINE" else set[str]()
    ours = [*shown_settings(read_settings(home), typed), *shown_settings(read_environment())]
    rows = [{"setting": each.name, "value": each.value, "from": each.source} for each in ours]
    for name, value, place in told_to_prefect(os.environ):
        shown = shown_value(value, secret=bool(MAY_BE_SECRET.search(name)))
        rows.append({"setting": name, "value": shown, "from": place})
    show(rows, ["setting", "value", "from"], as_json=as_json)
