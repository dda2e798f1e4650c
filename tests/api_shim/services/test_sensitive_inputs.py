"""The sensitive inputs of runs from before they were encrypted, and of a key that is not the one they were."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api_shim.domain.model import JobResult, Status
from api_shim.services import sensitive_inputs
from api_shim.services.sensitive_inputs import prepare
from api_shim.store import InputsKey, SealedInputs, Store
from tests.factories import make_job, make_result

WORD = "rosebud"
INPUTS = {"password": WORD}


@pytest.fixture(autouse=True)
def _several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitive_inputs, "BATCH", 2)


def kept(store: Store, number: int, **to: Any) -> None:
    job = make_job()
    results = [make_result(job, None, **{"sensitive": True, "inputs": INPUTS, **to}) for _ in range(number)]
    with store.transaction() as tx:
        tx.add(job)
        tx.add(*results)


def kept_in_clear(store: Store, number: int) -> None:
    """Keep sensitive inputs as versions before did."""
    kept(store, number)
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE job_results SET inputs = :inputs"), {"inputs": json.dumps(INPUTS)})


def found(store: Store) -> list[JobResult]:
    with store.transaction(write=False) as tx:
        return tx.all(JobResult)


def test_what_stood_in_clear_is_encrypted_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    kept_in_clear(store, 5)
    kept(store, 1, sensitive=False)
    kept(store, 1, inputs=None, status=Status.SUCCESS)
    prepare(store)
    sealed = [result for result in found(store) if isinstance(result.inputs, SealedInputs)]
    assert [dict(result.inputs or {}) for result in sealed] == [INPUTS] * 5
    texts = {result.inputs._text for result in sealed if isinstance(result.inputs, SealedInputs)}
    caplog.clear()
    prepare(store)
    assert {result.inputs._text for result in found(store) if isinstance(result.inputs, SealedInputs)} == texts
    assert caplog.records == []


def test_what_stood_in_clear_is_in_no_file_afterwards(sqlite_store: Store, tmp_path: Path) -> None:
    def in_files() -> bool:
        return any(WORD.encode() in path.read_bytes() for path in tmp_path.iterdir())

    kept_in_clear(sqlite_store, 5)
    assert in_files()
    prepare(sqlite_store)
    assert not in_files()


def test_what_cannot_be_removed_from_unused_parts_is_told(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_in_clear(sqlite_store, 1)
    monkeypatch.setattr("api_shim.store.database.SQLITE_REWRITES", ("SELECT * FROM no_such_table",))
    prepare(sqlite_store)
    assert "may still be in unused parts of the database" in caplog.text
    assert WORD not in caplog.text


def test_what_another_key_encrypted_is_told_and_is_no_reason_not_to_start(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    kept(store, 3)
    store.inputs_key = InputsKey(b"j" * 32)
    kept(store, 2)
    caplog.set_level(logging.WARNING)
    prepare(store)
    [record] = caplog.records
    assert record.getMessage().startswith("The sensitive inputs of 3 runs cannot be read, so these runs will fail: ")
    assert sum(isinstance(result.inputs, SealedInputs) for result in found(store)) == 5
