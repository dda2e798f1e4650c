"""The use cases of the files that runs are given: a run has its own, and who may approve a request downloads them.

* A run has what its inputs refer to, where its Job has a variable that is a file: such references are made by the
  server alone. It asks by its credential, as it asks for admission, and while it is not over.
* Whoever has the right to approve a request may see what is in its files, however it stands; nobody else may, not even
  who sent them. What may be sensitive nobody sees.
* What nothing needs any more is removed, at the latest when it was found twice: a request that refers to it may just be
  on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.files import InputFile, file_variables
from api_shim.domain.model import Job, JobResult
from api_shim.services.authorization import authorize
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import NotFound
from approval_gate.model import Action, Actor
from flows.files import GivenFile, is_reference

NOT_GIVEN = "This run was not given this file."
NOT_KEPT = "The file {name} is no longer kept."
MISSING = "This request has no such file, or it may be sensitive."
MOST = 10_000
"""How many files are looked for at the same time."""
BATCH = 100
"""How many are removed in one transaction."""


class InputFiles:
    """Gives files to runs, and to those who decide.

    Args:
        store: what is true.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def given(self, run_id: UUID, attempt: UUID, variable: str) -> bytes:
        """Return what a file has that a run is given.

        Args:
            run_id: the flow run.
            attempt: the process that executes it.
            variable: the name of the variable.

        Raises:
            NotFound: no such process was let go and is not over, or it is given no such file.
            Unavailable: the file cannot be read with the key of the store.
        """
        return await self._store.read(partial(_given, run_id, attempt, variable))

    async def review(self, actor: Actor, by: Mapping[str, Any], file_id: UUID | None) -> tuple[str, bytes]:
        """Return the name of a file of a request, and what it has, for who may approve that.

        Args:
            actor: who asks.
            by: the field that tells which request.
            file_id: the id of the file, as the inputs tell it.

        Raises:
            Forbidden: they have no right to approve it.
            NotFound: there is no such request, or none that they may see, or it has no such file.
            Unavailable: the file cannot be read with the key of the store.
        """
        return await self._store.read(partial(_reviewed, actor, by, file_id, self._clock()))


def _given(run_id: UUID, attempt: UUID, variable: str, tx: Transaction) -> bytes:
    result = tx.get(JobResult, flow_run_id=run_id)
    job = tx.get(Job, id=result.job_id) if result is not None and result.job_id else None
    if result is None or job is None or result.attempt != attempt or result.status.final or job.is_job_hook_receiver:
        raise NotFound(NOT_GIVEN)
    reference = (result.inputs or {}).get(variable)
    if variable not in file_variables(job) or not is_reference(reference):
        raise NotFound(NOT_GIVEN)
    return _content(tx, GivenFile.kept(reference))


def _reviewed(
    actor: Actor, by: Mapping[str, Any], file_id: UUID | None, now: datetime, tx: Transaction
) -> tuple[str, bytes]:
    case = authorize(tx, actor, Action.VIEW, by, now, partial(policy.has_right_to_approve, actor))
    inputs = {} if case.row.hides_inputs(case.job) else case.row.inputs
    references = (inputs[name] for name in file_variables(case.job) if is_reference(inputs.get(name)))
    for file in map(GivenFile.kept, references):
        if file.id == file_id:
            return file.name, _content(tx, file)
    raise NotFound(MISSING)


def _content(tx: Transaction, file: GivenFile) -> bytes:
    content = tx.file_content(file.id)
    if content is None:
        raise NotFound(NOT_KEPT.format(name=file.name))
    return content


class UnneededFiles:
    """Removes the files of which nothing can run any more.

    Args:
        store: what is true.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: set[UUID] = set()

    async def remove(self) -> None:
        """Remove what was not needed when this was last called, and still is not."""
        found = {*await self._store.read(lambda tx: tx.unneeded_files(MOST))}
        gone, self._found = sorted(found & self._found), found - self._found
        for first in range(0, len(gone), BATCH):
            await self._store.write(partial(_remove, {*gone[first : first + BATCH]}))


def _remove(ids: set[UUID], tx: Transaction) -> None:
    # Something may use one again.
    tx.remove_all(InputFile, ids.intersection(tx.unneeded_files(MOST)))
