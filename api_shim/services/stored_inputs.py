"""Stored inputs meet today's Job: what its variables read of inputs that were accepted when it may have had others.

* Variables that have been added since take their defaults. Inputs that do not fit any more are told in a sentence with
  the names of the variables; a firing with them fails until somebody edits them.
* Of inputs that may be sensitive the names alone are told, for the sentences of variables quote what was sent.
* Inputs that are encrypted are not read for a view.
* Where this process has no code of the Job, or other code than that which is asked about, nothing is said: the run,
  which has it, finds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api_shim.domain.model import Encrypted, Job, ScheduledJob
from approval_gate.errors import Invalid
from flows.inputs import unfit
from flows.job import send_again, validate_again
from flows.registry import registered


@dataclass(frozen=True, slots=True)
class Reread:
    """Stored inputs, as the variables of today read them.

    Args:
        inputs: the complete inputs; as they were stored, if they do not fit.
        unfit: the sentence on why they do not fit; empty if they do.
    """

    inputs: Mapping[str, Any]
    unfit: str = ""


def read_again(job: Job, stored: Mapping[str, Any], *, hidden: bool, code: str = "") -> Reread:
    """Return what a run of a Job would get for stored inputs.

    Args:
        job: the Job.
        stored: the inputs.
        hidden: whether nobody may see them.
        code: the digest of the code that the run has; that which is recorded of the Job if it is empty.
    """
    job_class = registered(job.class_path)
    if job_class is None or job.is_job_hook_receiver or isinstance(stored, Encrypted):
        return Reread(stored)
    definition = job_class.definition()
    known = definition.code_digest
    if (code or job.code_digest or known) != known:
        return Reread(stored)
    if definition.supports_dryrun:
        # The administrator's default, which may differ from the code's.
        stored = {"dryrun": job.dryrun_default, **stored}
    try:
        return Reread(validate_again(job_class, stored))
    except Invalid as refusal:
        return Reread(stored, unfit(refusal, quoted=not hidden))


def why_unfit(scheduled: ScheduledJob, job: Job) -> str:
    """Return the sentence on why the inputs of a scheduled job do not fit its Job any more; empty if they do."""
    return read_again(job, scheduled.inputs, hidden=scheduled.hides_inputs(job)).unfit


def as_sent(job: Job, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored inputs of a Job as they are to be sent, to be requested once more."""
    job_class = registered(job.class_path)
    return dict(stored) if job_class is None else send_again(job_class, stored)
