"""``signoff deploy``: prints the files with which signoff runs elsewhere; it writes and starts nothing.

* No secret is in them: they name the files, or the secrets of the cluster, that have them.
* What they start are commands of this version, told by its settings.
* What would mean something else in one of these files than its text is refused.
"""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api_shim.prefect_api.prefect_external import read_external_url
from api_shim.settings import read_settings
from api_shim.web.origins import read_origin
from approval_gate.errors import Invalid

app = typer.Typer(no_args_is_help=True, help="Print the files with which signoff runs on other machines.")

PLAIN = re.compile(r"[\w.:/@+-](?:[\w .:/@,+-]*[\w.:/@+-])?", re.ASCII)
"""What is the same text in YAML, for systemd and for Docker Compose."""

REDIS = {
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}
"""What several servers tell Prefect where it is ours, so that Redis is between them."""

_TEMPLATES = Environment(  # noqa: S701 - it is no HTML, and what is written into it is plain
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

Image = Annotated[
    str, typer.Option(metavar="NAME", help="The image that has prefect-signoff[postgresql,redis] and the Jobs.")
]
Origin = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The origin that people, workers and runs use.", show_default="SIGNOFF_ORIGIN"),
]
Pool = Annotated[
    str | None, typer.Option(metavar="NAME", help="The work pool that runs the Jobs.", show_default="SIGNOFF_POOL")
]

Prefect = Annotated[
    str | None,
    typer.Option(
        "--prefect-url", metavar="URL", help="The API of a Prefect server that others run; without it, Prefect is ours."
    ),
]


class Role(StrEnum):
    """What a unit starts."""

    UP = "up"
    SERVER = "server"
    SERVICES = "services"
    WORKER = "worker"


@app.callback()
def _elsewhere() -> None:
    """Print the files with which signoff runs on other machines."""


@app.command("systemd")
def systemd(
    part: Annotated[Role, typer.Argument(help="What it starts; up is all of it, on one machine.")] = Role.UP,
    origin: Origin = None,
    pool: Pool = None,
    prefect: Prefect = None,
) -> None:
    """Print a unit for systemd.

    Example: signoff deploy systemd worker --origin https://signoff.example.com
    """
    name = "signoff" if part is Role.UP else f"signoff-{part}"
    command = str(Path(sys.executable).with_name("signoff"))
    _print("systemd.service", origin, pool, prefect, part=str(part), name=name, unit=f"{name}.service", command=command)


@app.command("compose")
def compose(image: Image, origin: Origin = None, pool: Pool = None, prefect: Prefect = None) -> None:
    """Print a file for Docker Compose: PostgreSQL, Redis (where Prefect is ours), a server, services and a worker.

    Example: signoff deploy compose --image jobs:1 --origin https://signoff.example.com
    """
    _print("compose.yaml", origin, pool, prefect, image=image)


@app.command("kubernetes")
def kubernetes(image: Image, origin: Origin = None, pool: Pool = None, prefect: Prefect = None) -> None:
    """Print manifests for Kubernetes: PostgreSQL, Redis (where Prefect is ours), servers, services and a worker.

    Example: signoff deploy kubernetes --image registry.example.com/jobs:1 --origin https://signoff.example.com
    """
    _print("kubernetes.yaml", origin, pool, prefect, image=image)


def _print(template: str, origin: str | None, pool: str | None, prefect: str | None, **told: str) -> None:
    settings = read_settings()
    told |= {
        "origin": read_origin(origin or settings.origin),
        "pool": pool or settings.pool,
        "jobs": ",".join(settings.job_modules),
        "prefect": read_external_url(prefect, insecure=settings.prefect_insecure) if prefect else "",
    }
    if not told["origin"]:
        raise Invalid(
            "Use --origin to say which origin people, workers and runs use, like https://signoff.example.com."
        )
    for name, text in told.items():
        if text and not PLAIN.fullmatch(text):
            raise Invalid(f"This {name} cannot be written into such a file: {text!r}.")
    insecure = {"SIGNOFF_PREFECT_INSECURE": "true"} if settings.prefect_insecure else {}
    more = insecure if prefect else REDIS
    typer.echo(_TEMPLATES.get_template(template).render(told, more=more), nl=False)
