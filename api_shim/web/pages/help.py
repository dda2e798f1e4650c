"""``/signoff/help``: what people look up while they work, for everybody who is signed in; it needs no other server.

* What it lists is what there is: variables, settings of ``Meta``, attributes of a Job, permissions, tools of agents and
  words for states are compared with the code by a test, and those for states are the pages' own.
* It names no Job, request or user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.crontab_text import in_words
from api_shim.domain.model import Status
from api_shim.domain.status_words import ScheduleStatus, tone_of, word_of
from api_shim.web.pages.visit import Here
from approval_gate.errors import NotFound
from approval_gate.model import Action

router = APIRouter(prefix="/signoff/help")

TOPICS: Mapping[str, tuple[str, str]] = {
    "jobs": ("Writing Jobs", "variables, Meta, and what run() can use"),
    "crontab": ("Crontab", "the five fields, with examples"),
    "permissions": ("Permissions", "what approvers, requesters and others need"),
    "api": ("API", "requests with curl, pynautobot, Python and the command line"),
    "agents": ("Agents", "programs that make requests for people: set-up, from request to result, and limits"),
    "words": ("Words for states", "what waiting, running, stopped and other states mean"),
    "keyboard": ("Keyboard", "the pages without a mouse"),
}
"""The pages, by their address: the title, and what is on it."""


class VariableHelp(NamedTuple):
    """A class of variables: its own options, and what ``run()`` gets."""

    options: str
    value: str


VARIABLES: Mapping[str, VariableHelp] = {
    "StringVar": VariableHelp("min_length, max_length, regex", "a str"),
    "TextVar": VariableHelp("min_length, max_length, regex", "a str, of several lines"),
    "IntegerVar": VariableHelp("min_value, max_value", "an int"),
    "BooleanVar": VariableHelp("", "True or False"),
    "DryRunVar": VariableHelp("", "True in a dry run; call it dryrun"),
    "ChoiceVar": VariableHelp("choices", "the value that was chosen"),
    "MultiChoiceVar": VariableHelp("choices", "a list of values"),
    "JSONVar": VariableHelp("", "the decoded JSON"),
    "DateVar": VariableHelp("", "a datetime.date"),
    "DateTimeVar": VariableHelp("", "a datetime.datetime in UTC"),
    "IPAddressVar": VariableHelp("", "an IPv4Address or IPv6Address"),
    "IPAddressWithMaskVar": VariableHelp("", "an IPv4Interface or IPv6Interface"),
    "IPNetworkVar": VariableHelp("min_prefix_length, max_prefix_length", "an IPv4Network or IPv6Network"),
    "ObjectVar": VariableHelp(
        "source, key, display_field, query_params, null_option", "an object: a mapping with attributes"
    ),
    "MultiObjectVar": VariableHelp("source, key, display_field, query_params", "a list of objects"),
    "FileVar": VariableHelp("", "a file in memory, with a name"),
    "ScriptVariable": VariableHelp("", "the base class of your own variables"),
}
META: Mapping[str, str] = {
    "name": "The name that people see; the class name by default.",
    "description": "What the Job does; by default the first paragraph of its docstring.",
    "approval_required": "Another person must approve every request. It cannot be combined with sensitive variables.",
    "approval_expires": "How long a request waits for a decision before it expires, as a timedelta.",
    "has_sensitive_variables": "Inputs are hidden and encrypted, and the Job cannot be scheduled. True by default.",
    "read_only": "The Job says that it changes nothing; the form shows it.",
    "dryrun_is_safe": "Dry runs change nothing, so agents may start them without approval.",
    "dryrun_default": "The form suggests a dry run.",
    "hidden": "The Job is listed only for those who search for it or ask for hidden Jobs.",
    "soft_time_limit": "Seconds after which run() gets an exception that it may catch; 0 for no limit.",
    "time_limit": "Seconds after which the run is killed; 0 for no limit.",
    "is_singleton": "A run that would start while another is under way fails.",
    "overlap": "What happens to a run that would start while another is under way: allow, skip, queue or cancel.",
    "job_queues": "The queues that it can run on; the first one is the default.",
    "task_queues": "Another name for job_queues.",
    "tags": "Words by which people find the Job, and its runs in Prefect. Only the code sets them.",
    "job_variables": "The job variables of its runs in Prefect's work pool. They are approved with the request.",
    "isolated": "Each run gets a new Python interpreter.",
    "field_order": "The names of variables in the order of the form.",
}
IN_RUN: Mapping[str, str] = {
    "logger": "Writes the log of the run: debug, info, warning, error, success and failure.",
    "user": "The user that the run acts as.",
    "job_result": "The job result of the run, with its id.",
    "request": "self.request.id is the id of the job result.",
    "name": "The name of the Job; likewise description, grouping and class_path.",
    "load_yaml": "Reads a YAML file beside the module; load_json() a JSON file.",
    "create_file": "Adds a file to the job result; whoever can view the result can download it.",
    "secret": "Returns the value of the Secret block of that name in Prefect.",
    "fail": "Logs a line, and makes the run a failure.",
    "before_start": "Called before run(). If it raises something, the run fails, and run() is not called.",
    "on_success": "Called after run() has returned; on_failure() after it has raised.",
    "after_return": "Called at the end, whatever has happened.",
}
"""What a Job finds on ``self``, and what a run calls besides ``run()``."""

ACTIONS: Mapping[Action, str] = {
    Action.VIEW: "See objects in lists and on their pages.",
    Action.ADD: "Add new ones.",
    Action.CHANGE: "Change them; for a scheduled job also approve, with approve on its Job.",
    Action.DELETE: "Remove them; for a scheduled job also deny, with approve on its Job.",
    Action.RUN: "Request runs of a Job, and take over its schedules.",
    Action.APPROVE: "Decide about requests for a Job, but never about what you have requested, owned or changed.",
    Action.WRITE: "On prefect only: change anything in Prefect, which is the power to run any code on the workers.",
}
RECIPES: Mapping[str, tuple[str, ...]] = {
    "Run one Job and see its results": (
        'view, run on extras.job, with the constraint {"name": "Compact"}',
        'view on extras.jobresult and extras.scheduledjob, with the constraint {"user": "$user"}',
    ),
    "Approve requests": (
        "view, approve on extras.job",
        "view, change on extras.scheduledjob to approve; delete to deny",
    ),
    "See the results of others": ("view on extras.jobresult, without a constraint",),
    "Administer Jobs": (
        "view, change on extras.job",
        "approve on extras.job as well, to switch approval or sensitive variables on or off",
    ),
    "Look after the schedules of others": (
        "view, change, delete on extras.scheduledjob",
        "run on extras.job, to take them over",
    ),
}
"""What people need, by what they are to do."""

RESULTS: Mapping[Status, str] = {
    Status.PENDING: "It has been requested, and has not started yet.",
    Status.STARTED: "It is being executed, or suspended by its own code.",
    Status.SUCCESS: "It ended without an error.",
    Status.FAILURE: "Its code failed, or it was refused; its page says why.",
    Status.REVOKED: "It was cancelled before it ended.",
}
"""What the states of runs mean."""

SCHEDULED: Mapping[ScheduleStatus, str] = {
    ScheduleStatus.FIRES: "It is enabled, and runs at the time that is shown.",
    ScheduleStatus.WAITS: "Somebody has to approve it before it can run.",
    ScheduleStatus.OVER: "It was to run once, and has done so.",
    ScheduleStatus.FAILED: "A run of it was refused, so it was switched off; its page says why.",
    ScheduleStatus.DISABLED: "Somebody switched it off. It does not run until it is enabled.",
    ScheduleStatus.EXPIRED: "Nobody decided about the request in time.",
    ScheduleStatus.STOPPED: "It is enabled, but its runs would be refused; its page says why.",
}
"""What the states of scheduled jobs mean."""

CRONTABS = ("0 2 * * *", "*/15 * * * *", "0 8-18 * * monday-friday", "30 6 1 * *", "0 0 1 jan,jul *")
"""Examples; the page says what each means in the words of the form."""

TOOLS: Mapping[str, str] = {
    "find_jobs": "Finds Jobs by a part of their name, grouping or description.",
    "describe_job": "Describes a Job, with a JSON schema of its inputs.",
    "check_request": "Says what is wrong with a request, whether it would wait, and who could approve it.",
    "request_run": "Asks for a run, or a dry run, as soon as possible.",
    "schedule_run": "Asks for a run later, or for repeated ones.",
    "list_requests": "Lists requests, with what was decided, by whom and why.",
    "show_request": "Shows how a request or a scheduled job stands.",
    "list_results": "Lists results of runs.",
    "show_result": "Shows what came of a run, with the end of its log.",
    "wait": "Waits until a request is decided or a run is over.",
    "cancel_run": "Cancels a run that the agent has requested.",
    "withdraw_request": "Takes back a request, or ends a scheduled job, that the agent has made.",
}
"""The tools of agents."""

KEYS: Mapping[str, str] = {
    "/": "go to the search field",
    "g, then q": "open the approval queue",
    "a": "on the page of a request: approve it, after a question",
    "Tab, Shift + Tab": "go to the next or previous link, button or field",
    "Enter": "follow the link, or send the form",
    "Space": "tick a box, or press a button",
}


@router.get("")
async def topics(here: Here) -> Response:
    return await here.show("help.html", topics=TOPICS)


@router.get("/{topic}")
async def page(topic: str, here: Here) -> Response:
    if topic not in TOPICS:
        raise NotFound("There is no such help page.")
    origin = f"{here.request.url.scheme}://{here.request.url.netloc}"
    return await here.show(
        f"help_{topic}.html",
        title=TOPICS[topic][0],
        origin=origin,
        variables=VARIABLES,
        meta=META,
        in_run=IN_RUN,
        actions=ACTIONS,
        recipes=RECIPES,
        crontabs=[(text, in_words(text)) for text in CRONTABS],
        results=[(status, word_of(status), means) for status, means in RESULTS.items()],
        scheduled=[(word_of(status), tone_of(status), means) for status, means in SCHEDULED.items()],
        keys=KEYS,
        tools=TOOLS,
    )
