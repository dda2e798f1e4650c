"""The Jobs of the load. Each notes first of all that it executes, in a line of a file beside this one."""

from __future__ import annotations

import time

from chaos_notes import note

from flows import DryRunVar, IntegerVar, Job, StringVar, register_jobs

name = "Chaos"


class Free(Job):
    """Runs without an approval; for so many seconds, so that it can be cancelled and killed."""

    token = StringVar()
    seconds = IntegerVar(default=0, min_value=0, max_value=600)

    class Meta:
        name = "Free"
        has_sensitive_variables = False

    def run(self, *, token: str, seconds: int) -> str:
        note(self, token)
        time.sleep(seconds)
        return token


class Guarded(Job):
    """Runs when somebody else has approved it."""

    token = StringVar()
    dryrun = DryRunVar()

    class Meta:
        name = "Guarded"
        has_sensitive_variables = False
        approval_required = True

    def run(self, *, token: str, dryrun: bool) -> str:
        note(self, token, dryrun=dryrun)
        return token


register_jobs(Free, Guarded)
