"""``prefect.yaml``: Prefect's own way to deploy the example Jobs ends where signoff keeps them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.registry import discover
from tests.live import Live, environment, eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = [path for path in discover(["flows.examples"]).jobs if path.startswith("flows.examples.")]


def deployments(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return the base deployments of the examples, by entry point."""
    asked = {"deployments": {"name": {"any_": ["default"]}}}
    found = client.post("/api/deployments/filter", json=asked).json()
    return {row["entrypoint"]: row for row in found if ".flows-examples-" in row["entrypoint"]}


def test_prefect_deploys_the_examples_and_they_stay_what_signoff_made(
    live: Live, admin: httpx.Client, tmp_path: Path
) -> None:
    before = deployments(admin)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT,
        env=environment(
            PREFECT_API_URL=f"{live.origin}/api",
            PREFECT_API_AUTH_STRING=f"admin:{live.key('admin')}",
            PREFECT_HOME=str(tmp_path),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("successfully created") == len(EXAMPLES) == len(before)

    def mended() -> bool:
        after = deployments(admin)
        return {entry: essence(row) for entry, row in after.items()} == {e: essence(row) for e, row in before.items()}

    eventually(mended)


def essence(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["id"], row["parameter_openapi_schema"], row["pull_steps"] or [], row["description"], row["tags"]
