"""The log: what its lines look like, for people and for programs, and what never stands in them."""

from __future__ import annotations

import json
import logging
import logging.config
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from api_shim.domain.request_id import within_request
from api_shim.keys import RUN_PREFIX, new_key
from api_shim.logs import LogFormat, log_config

LOG = """
import logging, logging.config, sys
from api_shim.domain.request_id import within_request
from api_shim.logs import log_config
logging.config.dictConfig(log_config(sys.argv[1]))
{then}
"""


def written(form: LogFormat, then: str) -> list[str]:
    """Return what a process of its own logs: how it is configured, others must not be."""
    done = subprocess.run(
        [sys.executable, "-c", LOG.format(then=then), form], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return done.stderr.splitlines()


OURS = """
ours = logging.getLogger("signoff")
ours.info("Nothing to see.")
with within_request("request-1"):
    ours.warning("%d are late.", 3, extra={"path": "/api/", "password": "hunter2"})
try:
    secret = "hunter2"
    raise ValueError("It does not work.")
except ValueError:
    ours.exception("Failed.")
logging.getLogger("uvicorn.error").error("Refused.")
logging.getLogger("somebody.else").warning("Strange.")
"""


def test_people_read_sentences_and_how_serious_they_are_once() -> None:
    # As Prefect does for people when it is imported: it writes whatever comes to the root logger.
    first, second, trace, *rest = written("console", f"logging.basicConfig(format='%(message)s'){OURS}")
    assert (first, second) == ("WARNING: 3 are late. (request request-1)", "ERROR: Failed.")
    assert trace == "Traceback (most recent call last):"
    assert rest[-3:] == ["ValueError: It does not work.", "ERROR: Refused.", "Strange."]


def test_programs_read_an_object_in_each_line_from_whatever_library() -> None:
    lines = [json.loads(line) for line in written("json", OURS)]
    assert [(line["level"], line["logger"], line["event"]) for line in lines] == [
        ("info", "signoff", "Nothing to see."),
        ("warning", "signoff", "3 are late."),
        ("error", "signoff", "Failed."),
        ("error", "uvicorn.error", "Refused."),
        ("warning", "somebody.else", "Strange."),
    ]
    assert [line.get("request_id") for line in lines] == [None, "request-1", None, None, None]
    assert lines[1]["path"] == "/api/"
    assert lines[2]["exception"].endswith("ValueError: It does not work.")
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "hunter2" not in json.dumps(lines[:2])


def test_prefect_writes_in_the_same_form_and_nothing_twice() -> None:
    then = """
import prefect
from prefect.logging.configuration import setup_logging
import uvicorn
uvicorn.Config(lambda: None, log_config=log_config(sys.argv[1]), log_level="error", access_log=False)
logging.getLogger("prefect.server").error("Prefect fails.")
logging.getLogger("signoff").warning("We fail.")
logging.getLogger("uvicorn.error").error("The door fails.")
"""
    lines = [json.loads(line) for line in written("json", then)]
    assert [line["event"] for line in lines] == ["Prefect fails.", "We fail.", "The door fails."]


def test_people_read_one_line_whatever_somebody_asked_for() -> None:
    ask = r"""logging.getLogger("signoff").warning("GET %s", "/x\nERROR: forged\x1b[2J")"""
    assert written("console", ask) == [r"WARNING: GET /x\nERROR: forged\x1b[2J"]


@pytest.fixture
def handler() -> Iterator[logging.Handler]:
    config = log_config("json")
    made = config["formatters"]["log"]
    found = logging.StreamHandler()
    found.setFormatter(made["()"](made["form"]))
    yield found
    found.close()


@pytest.mark.parametrize("key", [new_key(), new_key(RUN_PREFIX)], ids=["a token's", "a run's"])
def test_a_key_is_cut_out_of_whatever_is_logged(handler: logging.Handler, key: str) -> None:
    failed = ValueError(f"No such token: {key}")
    error: Any = (ValueError, failed, failed.__traceback__)
    with within_request("r"):
        record = logging.LogRecord("signoff", logging.ERROR, "", 1, "Who is %s?", (f"alice:{key}",), error)
        record.path = f"/api/{key}"
        line = json.loads(handler.format(record))
    assert key not in json.dumps(line)
    assert (line["event"], line["path"]) == ("Who is alice:signoff_…?", "/api/signoff_…")
    assert "No such token: signoff_…" in line["exception"]
