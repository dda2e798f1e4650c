"""A flow as it may exist already: a CSV feed is downloaded, checked and saved as JSON lines.

It knows nothing of Jobs; ``flows.examples`` makes it one, with one line.

* What is saved replaces what was there as a whole, or not at all.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.request import urlopen

from prefect import flow, task
from pydantic import BaseModel, Field, HttpUrl


class Feed(BaseModel):
    """Where a feed is, and what it must have."""

    address: HttpUrl
    delimiter: Literal[",", ";", "\t"] = ","
    columns: Annotated[list[str], Field(description="What no row may lack.")] = []
    least_rows: Annotated[int, Field(ge=0)] = 1


@task(retries=2, retry_delay_seconds=2)
def download(url: str) -> str:
    with urlopen(url, timeout=30) as answer:  # noqa: S310 - HttpUrl has seen to it that it is http or https
        return str(answer.read().decode("utf-8-sig"))


@task
def save(rows: list[dict[str, str]], target: str) -> int:
    unfinished = Path(f"{target}.unfinished")
    unfinished.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    unfinished.replace(target)
    return len(rows)


@flow(name="Read feed", log_prints=True)
def read_feed(feed: Feed) -> list[dict[str, str]]:
    """Download a feed, and return its rows."""
    rows = [*csv.DictReader(download(str(feed.address)).splitlines(), delimiter=feed.delimiter)]
    whole = [row for row in rows if all(row.get(column) for column in feed.columns)]
    print(f"{len(whole)} of {len(rows)} rows have all that they must")  # noqa: T201 - Prefect logs it
    return whole


@flow(name="Import feed", log_prints=True)
def import_feed(feed: Feed, target: str) -> dict[str, Any]:
    """Save the rows of a CSV feed as JSON lines.

    Args:
        feed: Where it is, and what it must have.
        target: The file to write, as the worker sees it.
    """
    rows = read_feed(feed)
    if len(rows) < feed.least_rows:
        raise ValueError(f"The feed has {len(rows)} rows, of at least {feed.least_rows}; {target} stays as it is.")
    return {"saved": save(rows, target), "target": target}
