"""Sensitive inputs in the database: encrypted, for one row and with one key, and opened for who needs them only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api_shim.domain.model import Job, JobResult, Status
from api_shim.store import InputsKey, SealedInputs, Store
from api_shim.store.sealed_inputs import DAMAGED, NO_KEY, OTHER_KEY
from approval_gate.errors import Unavailable
from tests.databases import INPUTS_KEY
from tests.factories import make_job, make_result

pytestmark = pytest.mark.each_database

ROW, OTHER_ROW = UUID(int=1), UUID(int=2)
WORD = "rosebud"
INPUTS = {"password": WORD, "tries": 3, "nested": {"ünïcode": [None, True, 1.5]}}
SEALED = INPUTS_KEY.seal(ROW, INPUTS)


def test_what_is_sealed_is_opened_for_its_row() -> None:
    assert INPUTS_KEY.open(ROW, SEALED) == INPUTS
    assert WORD not in SEALED
    assert INPUTS_KEY.seal(ROW, INPUTS) != SEALED, "equal inputs do not look equal"


def last_changed(sealed: str) -> str:
    start, data = sealed.rsplit(".", 1)
    return f"{start}.{data[:-8]}{'AAAA' if data[-8:-4] != 'AAAA' else 'BBBB'}{data[-4:]}"


@pytest.mark.parametrize(
    ("row_id", "sealed", "why"),
    [
        pytest.param(OTHER_ROW, SEALED, DAMAGED, id="moved to another row"),
        pytest.param(ROW, last_changed(SEALED), DAMAGED, id="changed"),
        pytest.param(ROW, SEALED[:-20], DAMAGED, id="cut off"),
        pytest.param(ROW, SEALED.rsplit(".", 1)[0] + ".", DAMAGED, id="without content"),
        pytest.param(ROW, SEALED.rsplit(".", 1)[0] + ".é!", DAMAGED, id="no base64"),
        pytest.param(ROW, InputsKey(b"j" * 32).seal(ROW, INPUTS), OTHER_KEY, id="of another key"),
        pytest.param(ROW, f"2{SEALED[1:]}", OTHER_KEY, id="of another scheme"),
        pytest.param(ROW, json.dumps(INPUTS), OTHER_KEY, id="in clear, as text"),
        pytest.param(ROW, "", OTHER_KEY, id="empty"),
    ],
)
def test_what_is_not_what_was_sealed_for_the_row_is_not_opened(row_id: UUID, sealed: str, why: str) -> None:
    with pytest.raises(Unavailable) as refused:
        len(SealedInputs(row_id, sealed, INPUTS_KEY))
    assert str(refused.value) == why


def test_a_key_and_sealed_inputs_show_nothing() -> None:
    inputs = SealedInputs(ROW, SEALED, INPUTS_KEY)
    for _ in range(2):
        shown = f"{inputs!r} {make_result(make_job(), None, inputs=inputs)!r} {INPUTS_KEY!r}"
        assert WORD not in shown
        assert b"i" * 32 not in shown.encode()
        assert dict(inputs) == INPUTS


def test_a_secret_of_a_session_is_opened_for_that_session_alone() -> None:
    sealed = INPUTS_KEY.seal_text(ROW, WORD)
    assert INPUTS_KEY.open_text(ROW, sealed) == WORD
    assert WORD not in sealed
    others = [INPUTS_KEY.seal(ROW, INPUTS), last_changed(sealed), sealed[:-20], "", f"{sealed}é"]
    for row, text_ in [(OTHER_ROW, sealed), *((ROW, each) for each in others)]:
        with pytest.raises(Unavailable, match="sign in anew") as refused:
            INPUTS_KEY.open_text(row, text_)
        assert WORD not in str(refused.value)


# In the store


def kept(store: Store, job: Job, **to: Any) -> JobResult:
    result = make_result(job, None, **{"sensitive": True, "inputs": INPUTS, **to})
    with store.transaction() as tx:
        tx.add(result)
    return result


@pytest.fixture
def job(store: Store) -> Job:
    job = make_job()
    with store.transaction() as tx:
        tx.add(job)
    return job


def raw(store: Store) -> Mapping[UUID, Any]:
    """Return the inputs of all job results as the database has them."""
    query = text("SELECT id, CAST(inputs AS VARCHAR) AS inputs FROM job_results")
    with store._engine.connect() as connection:
        return {UUID(str(row.id)): json.loads(row.inputs or "null") for row in connection.execute(query)}


def read(store: Store, result_id: UUID) -> JobResult:
    with store.transaction(write=False) as tx:
        found = tx.get(JobResult, id=result_id)
    assert found is not None
    return found


def test_only_sensitive_inputs_are_kept_sealed(store: Store, job: Job) -> None:
    sensitive, plain = kept(store, job), kept(store, job, sensitive=False)
    none, receiver = kept(store, job, inputs=None), kept(store, job, sensitive=False, inputs={"x": "1.2.3"})
    found = raw(store)
    assert isinstance(found[sensitive.id], str)
    assert WORD not in found[sensitive.id]
    assert (found[plain.id], found[none.id], found[receiver.id]) == (INPUTS, None, {"x": "1.2.3"})
    for result in (sensitive, plain, none, receiver):
        assert read(store, result.id) == result


def test_inputs_are_sealed_for_the_row_that_they_are_written_to(store: Store, job: Job) -> None:
    first = read(store, kept(store, job).id)
    second = kept(store, job, inputs=first.inputs)
    assert read(store, second.id).inputs == INPUTS
    with store.transaction() as tx:
        changed = tx.change(read(store, second.id), inputs={"password": "other"})
    assert changed.inputs == read(store, second.id).inputs == {"password": "other"}
    assert isinstance(raw(store)[second.id], str)
    with store.transaction() as tx:
        tx.change(changed, status=Status.REVOKED, inputs=None)
    assert raw(store)[second.id] is None


def test_who_can_write_the_database_cannot_exchange_the_inputs_of_two_runs(store: Store, job: Job) -> None:
    ours, theirs = kept(store, job), kept(store, job, inputs={"password": "theirs"})
    with store._engine.begin() as connection:
        exchange = "UPDATE job_results SET inputs = (SELECT inputs FROM job_results WHERE flow_run_id = :theirs)"
        ids = {"theirs": str(theirs.flow_run_id), "ours": str(ours.flow_run_id)}
        if connection.dialect.name == "sqlite":
            ids = {name: value.replace("-", "") for name, value in ids.items()}
        connection.execute(text(f"{exchange} WHERE flow_run_id = :ours"), ids)
    with pytest.raises(Unavailable, match=DAMAGED):
        dict(read(store, ours.id).inputs or {})


@pytest.mark.parametrize(
    ("key", "why"), [(None, NO_KEY), (InputsKey(b"j" * 32), OTHER_KEY)], ids=["no key", "another key"]
)
def test_without_the_key_everything_but_the_inputs_can_be_read(
    store: Store, job: Job, key: InputsKey | None, why: str
) -> None:
    result = kept(store, job)
    store.inputs_key = key
    found = read(store, result.id)
    assert (found.name, found.status, found.sensitive) == (result.name, result.status, True)
    with store.transaction(write=False) as tx:
        assert len(tx.unfinished(10)) == 1
    with pytest.raises(Unavailable, match=why):
        dict(found.inputs or {})
    with store.transaction() as tx:
        tx.change(found, status=Status.REVOKED)


def test_without_a_key_nothing_sensitive_is_kept(store: Store, job: Job) -> None:
    store.inputs_key = None
    kept(store, job, sensitive=False)
    with pytest.raises(Unavailable, match=NO_KEY):
        kept(store, job)
    assert list(raw(store).values()) == [INPUTS]


def test_nothing_sensitive_is_in_the_files_of_a_database(sqlite_store: Store, tmp_path: Any) -> None:
    job = make_job()
    with sqlite_store.transaction() as tx:
        tx.add(job)
    kept(sqlite_store, job)
    kept(sqlite_store, job, sensitive=False, inputs={"other": "visible"})
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"visible" in files
    assert WORD.encode() not in files


CONTENT = b"\0rosebud\xff"
SEALED_FILE = INPUTS_KEY.seal_file(ROW, CONTENT)


def test_a_file_is_sealed_for_its_id() -> None:
    assert INPUTS_KEY.open_file(ROW, SEALED_FILE) == CONTENT
    assert INPUTS_KEY.open_file(ROW, INPUTS_KEY.seal_file(ROW, b"")) == b""
    assert b"rosebud" not in SEALED_FILE


@pytest.mark.parametrize(
    ("file_id", "sealed", "why"),
    [
        pytest.param(OTHER_ROW, SEALED_FILE, DAMAGED, id="of another file"),
        pytest.param(ROW, SEALED_FILE[:-1] + b"x", DAMAGED, id="changed"),
        pytest.param(ROW, SEALED_FILE[:25], DAMAGED, id="cut off"),
        pytest.param(ROW, InputsKey(b"j" * 32).seal_file(ROW, CONTENT), OTHER_KEY, id="of another key"),
        pytest.param(ROW, CONTENT, OTHER_KEY, id="in clear"),
    ],
)
def test_a_file_that_is_not_what_was_sealed_is_not_opened(file_id: UUID, sealed: bytes, why: str) -> None:
    with pytest.raises(Unavailable) as refused:
        INPUTS_KEY.open_file(file_id, sealed)
    assert str(refused.value) == why
