"""A Job that needs an approval, and whose code changes meanwhile: the number is another one in each version."""

from __future__ import annotations

from chaos_notes import note

from flows import Job, StringVar, register_jobs

name = "Chaos"
CODE = 1


class Rewritten(Job):
    token = StringVar()

    class Meta:
        name = "Rewritten"
        has_sensitive_variables = False
        approval_required = True

    def run(self, *, token: str) -> str:
        note(self, token, code=CODE)
        return token


register_jobs(Rewritten)
