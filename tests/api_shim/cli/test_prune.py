"""``signoff prune``, as it is typed."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from api_shim.domain.model import JobResult, Status
from api_shim.settings import utc_now
from tests.api_shim.cli.conftest import Run
from tests.databases import store_of
from tests.factories import make_job, make_result


@pytest.mark.usefixtures("tables")
def test_what_would_go_is_counted_and_goes_with_a_yes(signoff: Run, home: Path) -> None:
    long_ago, job = utc_now() - timedelta(days=91), make_job()
    with closing(store_of(home)) as store, store.transaction() as tx:
        tx.add(job)
        tx.add(make_result(job, None, status=Status.SUCCESS, date_created=long_ago, date_done=long_ago))
    said = signoff("prune", "--older-than", "90d").out
    assert said.startswith("1 job result(s), 0 scheduled job(s) and 0 decided request(s) ended before ")
    assert said.endswith("; --yes removes them.\n")
    assert signoff("prune", "--older-than", "90d", "--yes").out.startswith("Removed 1 job result(s), 0 scheduled")
    with closing(store_of(home)) as store, store.transaction(write=False) as tx:
        assert tx.all(JobResult) == []


@pytest.mark.parametrize("age", ["0d", "23h", "90", "ninety days", "-1d", ""])
def test_what_is_no_age_removes_nothing(signoff: Run, home: Path, age: str) -> None:
    assert "is not a duration of at least a day" in signoff("prune", f"--older-than={age}", "--yes").refusal
    assert not home.exists()
