"""What people are asked in Prefect's UI about a request: a description in Markdown, and a form for the answer.

* It shows all that would run: the Job, every input, the requester, when and as whom it would run; and how to decide.
* Whatever somebody has written is shown as text: it can neither format nor end the part that it stands in.
* The inputs of a Job that may have sensitive ones are not shown.
* The form names the version of the request that it shows, so that nobody approves what they have not seen.
* The decision stands first, and no field is called like a keyword of JSON Schema: Prefect's forms need both.

Contract 1.5 to 1.7 and 9.7.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from api_shim.domain.approval import version_of
from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.ports import ApprovalForm
from api_shim.domain.recurrence import next_times
from approval_gate.admission import Misfire

NOTICE = (
    "This run waits for approval. Somebody with the permission to approve it decides, other than whoever has requested "
    "or owned it:"
)
"""The first line of the log of a run that is held. Whoever may view that may not view everybody's name."""

WAITING = " (waiting for approval)"
"""How the names of the runs of requests end."""

SHOWN_FIRINGS = 5
SHOWN_INPUTS = 20_000
"""Characters. What is longer is cut off, and said to be."""

MARKUP = re.compile(r"[\\`*_{}\[\]()<>#+.!|~&-]")


def build_approval_form(scheduled: ScheduledJob, job: Job, requester: str, runs_as: str, now: datetime) -> ApprovalForm:
    """Return what people are asked about a request.

    Args:
        scheduled: the request.
        job: its Job.
        requester: the name of who asked for it.
        runs_as: the name of its owner; empty if they have been removed.
        now: the time.
    """
    return ApprovalForm(
        name=waiting_name(scheduled),
        message=f"Waits for approval; requested by {requester}.",
        parameters=scheduled.parameters,
        tags=tuple(dict.fromkeys((*scheduled.run_tags, *job.tags))),
        description=_description(scheduled, job, requester, runs_as, now),
        form=decision_form(version_of(scheduled, job), past_due=scheduled.is_past_due(now)),
        notice=NOTICE,
        page=f"/signoff/approval-queue/{scheduled.id}",
    )


def waiting_name(scheduled: ScheduledJob) -> str:
    """Return the name of the run of a request."""
    return f"{scheduled.name}{WAITING}"


def decided_name(name: str, verdict: str) -> str:
    """Return the name of the run of a request that does not wait any more; that of any other run stays as it is.

    Args:
        name: of the run.
        verdict: what has become of the request.
    """
    return f"{name.removesuffix(WAITING)} ({verdict.lower()})" if name.endswith(WAITING) else name


def decision_form(version: str, *, past_due: bool) -> dict[str, Any]:
    """Return the JSON schema of a decision.

    Args:
        version: the version of the request that is shown.
        past_due: whether its start has passed, which an approval has to confirm.
    """
    fields: dict[str, Any] = {
        "decision": {"title": "Decision", "enum": ["approve", "deny"], "type": "string"},
        "comment": {"title": "Comment", "type": "string", "default": ""},
    }
    if past_due:
        fields["confirm_past_due"] = {
            "title": "Run it even though its start has passed",
            "type": "boolean",
            "default": False,
        }
    fields["request"] = {"title": "Request", "enum": [version], "type": "string", "default": version}
    return {
        "title": "Decision",
        "type": "object",
        "properties": {name: {**each, "position": place} for place, (name, each) in enumerate(fields.items())},
        "required": ["decision"],
        "additionalProperties": False,
    }


def _description(scheduled: ScheduledJob, job: Job, requester: str, runs_as: str, now: datetime) -> str:
    parts = [
        f"## {plain(scheduled.name)}",
        f"**{plain(requester)}** asks to run **{plain(job.name)}** ({plain(job.class_path)}) on the queue "
        f"{plain(scheduled.queue)}, as {f'**{plain(runs_as)}**' if runs_as else 'nobody: its owner has been removed'}.",
        f"**Requested from the run:** {scheduled.requested_from}" if scheduled.requested_from else "",
        _by_automation(scheduled),
        _by_agent(scheduled),
        _because(scheduled),
        f"**When:** {_when(scheduled, now)}",
        "" if scheduled.misfire is Misfire.LAST else f"**Missed runs:** {scheduled.misfire}",
        f"**{_why_label(scheduled)}:** {plain(scheduled.approval_note)}" if scheduled.approval_note else "",
        f"**Inputs:**\n\n{_inputs(scheduled, job)}",
        f"**Started with the job variables:**\n\n{_as_json(job.job_variables)}" if job.job_variables else "",
        "Decide below, as the user who is signed in to this page; whoever requested it cannot approve it."
        + (" A dry run tries it without effect first." if job.supports_dryrun else ""),
    ]
    return "\n\n".join(filter(None, parts))


def _by_automation(scheduled: ScheduledJob) -> str:
    """Return which automation has requested it; empty if none has."""
    if scheduled.automation is None:
        return ""
    name, bound_by = plain(scheduled.automation["name"]), plain(scheduled.automation["bound_by"])
    return f"**Requested by the automation:** {name}, which {bound_by} has bound to that account"


def _by_agent(scheduled: ScheduledJob) -> str:
    """Return that an agent has requested it, and for whom; empty if none has."""
    if scheduled.agent is None:
        return ""
    return f"**Requested by an agent**, a program that asks for {plain(scheduled.agent['for'])}"


def _because(scheduled: ScheduledJob) -> str:
    """Return why it was requested, as a quotation; empty if nobody has said."""
    if not scheduled.reason:
        return ""
    said = "\n".join(f"> {plain(line)}" for line in scheduled.reason.splitlines())
    whose = "whoever requested it" if scheduled.agent is None else "the agent; nothing in it is checked"
    return f"**Reason**, in the words of {whose}:\n\n{said}"


def _why_label(scheduled: ScheduledJob) -> str:
    return "Back in the queue" if scheduled.missed is None else "Why this is asked"


def _when(scheduled: ScheduledJob, now: datetime) -> str:
    zone = ZoneInfo(scheduled.time_zone)

    def shown(time: datetime) -> str:
        return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"

    if scheduled.immediate:
        return "as soon as it is approved."
    if scheduled.one_off:
        passed = ", which has passed: it would run at once" if scheduled.is_past_due(now) else ""
        return f"once, at {shown(scheduled.start_time)}{passed}."
    firings = next_times(scheduled.recurrence, max(now, scheduled.created), SHOWN_FIRINGS)
    rule = f"by the crontab {plain(scheduled.crontab)}" if scheduled.crontab else str(scheduled.interval)
    return f"{rule}; next at {', '.join(map(shown, firings))}."


def _inputs(scheduled: ScheduledJob, job: Job) -> str:
    if scheduled.hides_inputs(job):
        return "not shown, because they may be sensitive."
    return _as_json(scheduled.inputs)


def _as_json(shown: Mapping[str, Any]) -> str:
    text = json.dumps(shown, indent=2, ensure_ascii=False)
    # What cannot be seen is shown escaped: it could turn the line around that it stands in.
    text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    if len(text) > SHOWN_INPUTS:
        text = f"{text[:SHOWN_INPUTS]}\n… and {len(text) - SHOWN_INPUTS} more characters: see the API."
    # In JSON no line can consist of the fence alone: texts are quoted, and their line ends escaped.
    return f"````json\n{text}\n````"


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return MARKUP.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split()))


def fingerprint(asked: ApprovalForm) -> str:
    """Return what tells whether a question is still as it was written."""
    text = json.dumps([asked.description, asked.form], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
