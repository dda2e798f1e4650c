"""A variable of Prefect's as a source: how a server reads it, and how a run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.variables import Variable

from flows.objects import SourceUnread, reading_variables_with
from flows.prefect_source import PrefectVariable

SITES = [{"id": 1, "name": "Berlin"}]


def test_a_server_reads_it_as_it_reads_prefect(tmp_path: Path) -> None:
    there: dict[str, Any] = {"sites": SITES, "more": {"list": SITES}}
    with reading_variables_with(there.get):
        assert PrefectVariable("sites").rows(tmp_path) == SITES
        assert PrefectVariable("more", at="list").rows(tmp_path) == SITES
        with pytest.raises(SourceUnread, match="Prefect has no variable gone"):
            PrefectVariable("gone").rows(tmp_path)


def test_a_run_asks_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variable, "get", lambda name: SITES if name == "sites" else None)
    assert PrefectVariable("sites").rows(tmp_path) == SITES
