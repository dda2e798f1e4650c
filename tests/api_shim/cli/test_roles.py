"""What ``signoff server`` and ``signoff services`` are each made of, and where they cannot be."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from api_shim.app import ALL, Part
from api_shim.cli.roles import told_to_stop
from api_shim.cli.up import locked, tell_backing
from api_shim.prefect_api.prefect_backing import Backing
from api_shim.settings import Settings
from approval_gate.errors import Unavailable
from tests.api_shim.cli.conftest import Run

SHARED_STORE = "postgresql://us:secret@db.example/signoff"
PREFECTS = "PostgreSQL at db.example/prefect"


def resting(*alone: str, shared: bool = True) -> Backing:
    place = PREFECTS if shared else "SQLite"
    return Backing(database=place, shared=shared, broker="Redis at r/0", docket="Redis at r/1", alone=alone)


@pytest.mark.parametrize("command", ["server", "services"])
def test_what_is_one_of_several_needs_a_store_that_they_share(signoff: Run, home: Path, command: str) -> None:
    assert signoff(command).refusal == (
        "This needs databases that several processes share: set SIGNOFF_DATABASE_URL to the address of a PostgreSQL "
        "database, or use signoff up."
    )
    assert not home.exists()


@pytest.mark.parametrize("parts", [Part.WEB, Part.SERVICES])
def test_what_is_one_of_several_needs_a_prefect_that_they_share(parts: Part, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SHARED_STORE)
    with pytest.raises(Unavailable, match=r"set PREFECT_SERVER_DATABASE_CONNECTION_URL to the address of a PostgreSQL"):
        tell_backing(settings, resting(shared=False), parts)


@pytest.mark.parametrize(
    ("settings", "prefects", "said"),
    [
        pytest.param(
            {},
            resting("PREFECT_MESSAGING_BROKER", shared=False),
            ["Data: SQLite. Prefect's: SQLite; its messages by Redis at r/0, its background work by Redis at r/1."],
            id="one process on SQLite has nobody to share with",
        ),
        pytest.param(
            {"database_url": SHARED_STORE},
            resting(),
            [
                f"Data: PostgreSQL at db.example/signoff. Prefect's: {PREFECTS}; "
                "its messages by Redis at r/0, its background work by Redis at r/1."
            ],
            id="all is shared",
        ),
        pytest.param(
            {"database_url": SHARED_STORE},
            resting("PREFECT_MESSAGING_BROKER", "PREFECT_SERVER_DOCKET_URL"),
            [
                f"Data: PostgreSQL at db.example/signoff. Prefect's: {PREFECTS}; "
                "its messages by Redis at r/0, its background work by Redis at r/1.",
                "Without Redis each server of a database knows of no events, live logs and leases of limits but those "
                "that reach it, and a signoff server loses the events and task runs that do. Not set to Redis: "
                "PREFECT_MESSAGING_BROKER, PREFECT_SERVER_DOCKET_URL",
            ],
            id="some of it is not",
        ),
    ],
)
def test_a_start_says_what_it_rests_on_without_a_credential(
    settings: dict[str, Any], prefects: Backing, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_backing(Settings(home=tmp_path, **settings), prefects, ALL)
    assert capsys.readouterr().out.splitlines() == said


def test_several_share_a_home_but_not_with_the_whole(tmp_path: Path) -> None:
    refused = pytest.raises(Unavailable, match="already running")
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True), refused, locked(tmp_path):
        pass
    with locked(tmp_path), refused, locked(tmp_path, shared=True):
        pass


def test_a_signal_stops_the_services() -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(told_to_stop())
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(waiting, 60)

    asyncio.run(scenario())
