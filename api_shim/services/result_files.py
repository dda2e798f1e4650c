"""The use cases of the files of job results: a run has one kept, and whoever may view its result downloads it.

* Only the process that was let go, and whose run is not over, has files kept: by its credential, as it tells its
  outcome (``services.run_credentials``). What it sends twice with one id is kept once.
* The file of a result that somebody may not view does not exist for them.
* A file goes with its result, however that goes.

Contract 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.files import ResultContent, ResultFile
from api_shim.domain.model import JobResult
from api_shim.settings import LIMITS, Limits
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, Invalid, NotFound, TooLarge
from approval_gate.model import Action, Actor, Hidden, ObjectType
from flows.files import UNNAMEABLE, is_file_name, too_large

KIND = ObjectType.JOB_RESULT
MISSING = "No FileProxy matches the given query."
NOT_LET_GO = "No such run has been admitted."
IS_OVER = "This run has already ended, so it cannot make more files."
OTHER_FILE = "Another file has this id."
MOST_FILES = 1000
"""How many files one run may make."""
TOO_MANY = f"A run can make at most {MOST_FILES} files."


class ResultFiles:
    """Keeps files, and gives them to whoever may have them.

    Args:
        store: what is true.
        clock: tells the time, aware.
        limits: how large a file may be.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], limits: Limits = LIMITS) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def keep(self, run_id: UUID, attempt: UUID, file_id: UUID, name: str, content: bytes) -> ResultFile:
        """Keep a file that a run has made.

        Args:
            run_id: the flow run.
            attempt: the process that executes it.
            file_id: a new id.
            name: what the file is called.
            content: what it has.

        Raises:
            Invalid: it cannot be called so.
            TooLarge: it is too large, or the run has too many.
            NotFound: no such process of such a run was ever let go.
            Conflict: its run is over, or another file has this id.
        """
        if not is_file_name(name):
            raise Invalid({"name": [UNNAMEABLE]})
        if fault := too_large(len(content), self._limits.file_bytes):
            raise TooLarge(fault)

        digest = hashlib.sha256(content).hexdigest()

        def made_by(result: JobResult) -> ResultFile:
            return ResultFile(
                id=file_id,
                job_result_id=result.id,
                name=name,
                size=len(content),
                sha256=digest,
                created=self._clock(),
            )

        return await self._store.write(partial(_keep, run_id, attempt, made_by, content))

    async def one(self, actor: Actor, file_id: UUID | None) -> ResultFile:
        """Return what is known of a file.

        Raises:
            Forbidden: they may view no job results.
            NotFound: there is no such file, or none that they may see.
        """
        return await self._store.read(partial(_seen, actor, file_id))

    async def download(self, actor: Actor, file_id: UUID | None) -> tuple[ResultFile, bytes]:
        """Return a file with what it has; see ``one``."""
        return await self._store.read(partial(_content, actor, file_id))

    async def of(self, result_ids: Collection[UUID]) -> Mapping[UUID, list[ResultFile]]:
        """Return the files of each of these job results that has some, by its id, the oldest first."""
        return await self._store.read(partial(_files_of, result_ids)) if result_ids else {}


def _files_of(result_ids: Collection[UUID], tx: Transaction) -> Mapping[UUID, list[ResultFile]]:
    found: dict[UUID, list[ResultFile]] = {}
    for each in tx.all(ResultFile, order="created", job_result_id=[*result_ids]):
        found.setdefault(each.job_result_id, []).append(each)
    return found


def _keep(
    run_id: UUID, attempt: UUID, made_by: Callable[[JobResult], ResultFile], content: bytes, tx: Transaction
) -> ResultFile:
    result = tx.get(JobResult, flow_run_id=run_id, lock=True)
    if result is None or result.attempt != attempt:
        raise NotFound(NOT_LET_GO)
    made = made_by(result)
    before = tx.get(ResultFile, id=made.id)
    if before is not None:
        if (before.job_result_id, before.name, before.sha256) != (made.job_result_id, made.name, made.sha256):
            raise Conflict(OTHER_FILE)
        return before
    if result.status.final:
        raise Conflict(IS_OVER)
    if tx.count(ResultFile, job_result_id=result.id) >= MOST_FILES:
        raise TooLarge(TOO_MANY)
    tx.add(made)
    tx.add(ResultContent(file_id=made.id, content=content))
    return made


def _seen(actor: Actor, file_id: UUID | None, tx: Transaction) -> ResultFile:
    file = tx.get(ResultFile, id=file_id) if file_id is not None else None
    result = tx.attributes(KIND, file.job_result_id) if file is not None else None
    verdict = policy.check_object(actor, Action.VIEW, KIND, result)
    if verdict != Hidden():
        policy.enforce(verdict, KIND)
    if file is None or verdict == Hidden():
        raise NotFound(MISSING)
    return file


def _content(actor: Actor, file_id: UUID | None, tx: Transaction) -> tuple[ResultFile, bytes]:
    file = _seen(actor, file_id, tx)
    found = tx.get(ResultContent, file_id=file.id)
    if found is None:
        raise NotFound(MISSING)
    return file, found.content
