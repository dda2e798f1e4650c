"""What people are asked: they see all that would run, and whatever anybody wrote stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # comes with Prefect
from markdown_it import MarkdownIt  # comes with rich
from markdown_it.token import Token

from api_shim.domain.approval import binding_of, version_of
from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.reconcile.approval_form import (
    SHOWN_INPUTS,
    build_approval_form,
    decided_name,
    fingerprint,
    plain,
    waiting_name,
)
from approval_gate.admission import Misfire
from tests.factories import NOW, make_job, make_scheduled

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
INPUTS = {"count": 2, "who": "zoë", "deep": {"list": [1, None, True], "empty": {}}}
JOB = make_job(name="Back up", module_name="pack", job_class_name="BackUp", code_digest=f"2::{'0' * 64}")
ROW = make_scheduled(JOB, None, name="nightly", inputs=INPUTS, queue="bulk")
ONCE = replace(ROW, interval=Interval.FUTURE, start_time=NOW + HOUR)


def described(row: ScheduledJob = ROW, job: Job = JOB, requester: str = "alice") -> str:
    return build_approval_form(row, job, requester, "alice", NOW).description


def fields(row: ScheduledJob, job: Job = JOB) -> dict[str, Any]:
    """Return the fields of a form in the order in which they are shown."""
    properties: dict[str, Any] = build_approval_form(row, job, "alice", "alice", NOW).form["properties"]
    return dict(sorted(properties.items(), key=lambda item: item[1]["position"]))


# Markdown, as it is read


MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parsed(text: str) -> list[Token]:
    return MARKDOWN.parse(text)


def structure(tokens: list[Token]) -> list[tuple[str, str]]:
    """Return what a text is made of, without what it says."""
    inner = [(token, structure(token.children or [])) for token in tokens if token.type != "text"]
    return [part for token, children in inner for part in ((token.type, token.tag), *children)]


def said(text: str) -> list[str]:
    """Return what a text says, paragraph by paragraph."""
    return [
        "".join(child.content for child in token.children or []) if token.type == "inline" else token.content
        for token in parsed(text)
        if token.type in {"inline", "fence"}
    ]


# What is shown


def test_a_request_shows_all_that_would_run() -> None:
    heading, asks, when, label, inputs, how = said(described())
    assert heading == "nightly"
    assert asks == "alice asks to run Back up (pack.BackUp) on the queue bulk, as alice."
    assert when.startswith("When: hourly; next at 2026-05-04 13:00:00 UTC, ")
    assert label == "Inputs:"
    assert json.loads(inputs) == INPUTS
    assert how == "Decide below, as the user who is signed in to this page; whoever requested it cannot approve it."


def test_whom_it_runs_as_is_told_and_that_they_are_gone() -> None:
    assert ", as **carol**." in build_approval_form(ROW, JOB, "alice", "carol", NOW).description
    gone = build_approval_form(ROW, JOB, "alice", "", NOW).description
    assert ", as nobody: its owner has been removed." in gone


def test_which_automation_asks_is_told() -> None:
    asking = {"id": str(uuid4()), "name": "nightly", "bound_by_id": str(uuid4()), "bound_by": "zoe"}
    sentence = "Requested by the automation: nightly, which zoe has bound to that account"
    assert sentence in said(described(replace(ROW, automation=asking)))
    assert sentence not in said(described())


def test_that_an_agent_asks_and_for_whom_is_told_and_its_words_are_no_markup() -> None:
    agent = {"for_id": str(uuid4()), "for": "zoe", "needs_approval": True, "expires_after": 0}
    words = "# SYSTEM\n**Approve this** at [once](https://evil.example) <script>alert(1)</script>"
    row = replace(ROW, agent=agent, reason=words)
    text = described(row, requester="helper")
    assert "Requested by an agent, a program that asks for zoe" in said(text)
    assert "Reason, in the words of the agent; nothing in it is checked:" in said(text)
    quoted = structure(parsed(text))
    assert ("blockquote_open", "blockquote") in quoted
    assert not {"h1", "a", "script"} & {tag for _, tag in quoted}
    assert not any("agent" in paragraph for paragraph in said(described(replace(ROW, reason=words))))


def test_what_is_asked_stands_in_the_run_too() -> None:
    asked = build_approval_form(ROW, JOB, "alice", "alice", NOW)
    assert asked.name == waiting_name(ROW) == "nightly (waiting for approval)"
    assert asked.message == "Waits for approval; requested by alice."
    assert asked.parameters == INPUTS
    tagged = build_approval_form(
        replace(ROW, run_tags=("mine", "a")), replace(JOB, tags=("a", "b")), "alice", "alice", NOW
    )
    assert tagged.tags == ("mine", "a", "b")


def test_the_log_of_a_run_tells_where_it_is_decided_about_and_nobodys_name() -> None:
    asked = build_approval_form(ROW, JOB, "alice", "carol", NOW)
    assert asked.page == f"/signoff/approval-queue/{ROW.id}"
    assert not any(name in asked.notice for name in ("alice", "carol", ROW.name))


@pytest.mark.parametrize(
    ("name", "verdict", "called"),
    [
        (waiting_name(ROW), "Denied", "nightly (denied)"),
        (waiting_name(ROW), "Cancelled", "nightly (cancelled)"),
        ("nightly", "Denied", "nightly"),
        ("by hand (waiting for approval) x", "Denied", "by hand (waiting for approval) x"),
    ],
)
def test_the_run_of_a_request_that_was_decided_about_is_called_by_that(name: str, verdict: str, called: str) -> None:
    assert decided_name(name, verdict) == called


@pytest.mark.parametrize(
    ("to", "when"),
    [
        pytest.param(
            {"interval": Interval.FUTURE, "immediate": True},
            "as soon as it is approved.",
            id="immediately",
        ),
        pytest.param(
            {"interval": Interval.FUTURE, "immediate": True, "start_time": NOW - HOUR},
            "as soon as it is approved.",
            id="immediately, a while ago",
        ),
        pytest.param(
            {"interval": Interval.FUTURE, "start_time": NOW + HOUR},
            "once, at 2026-05-04 13:00:00 UTC.",
            id="once",
        ),
        pytest.param(
            {"interval": Interval.FUTURE, "start_time": NOW + HOUR, "time_zone": "Europe/Berlin"},
            "once, at 2026-05-04 15:00:00 CEST.",
            id="once, as its clock shows",
        ),
        pytest.param(
            {"interval": Interval.FUTURE, "start_time": NOW - SECOND},
            "once, at 2026-05-04 11:59:59 UTC, which has passed: it would run at once.",
            id="once, and its start has passed",
        ),
        pytest.param(
            {"interval": Interval.FUTURE, "start_time": NOW},
            "once, at 2026-05-04 12:00:00 UTC.",
            id="once, now",
        ),
        pytest.param(
            {},
            "hourly; next at 2026-05-04 13:00:00 UTC, 2026-05-04 14:00:00 UTC, 2026-05-04 15:00:00 UTC, "
            "2026-05-04 16:00:00 UTC, 2026-05-04 17:00:00 UTC.",
            id="hourly: the next five",
        ),
        pytest.param(
            {"interval": Interval.DAILY, "start_time": NOW + 48 * HOUR},
            "daily; next at 2026-05-06 12:00:00 UTC, 2026-05-07 12:00:00 UTC, 2026-05-08 12:00:00 UTC, "
            "2026-05-09 12:00:00 UTC, 2026-05-10 12:00:00 UTC.",
            id="daily: none before its start",
        ),
        pytest.param(
            {"interval": Interval.CUSTOM, "crontab": "5 4 * * mon", "time_zone": "Europe/Berlin"},
            "by the crontab 5 4 * * mon; next at 2026-05-11 04:05:00 CEST, 2026-05-18 04:05:00 CEST, "
            "2026-05-25 04:05:00 CEST, 2026-06-01 04:05:00 CEST, 2026-06-08 04:05:00 CEST.",
            id="by a crontab, as its clock shows",
        ),
        pytest.param(
            {"interval": Interval.CUSTOM, "crontab": "0 0 29 2 *"},
            "by the crontab 0 0 29 2 *; next at 2028-02-29 00:00:00 UTC, 2032-02-29 00:00:00 UTC, "
            "2036-02-29 00:00:00 UTC, 2040-02-29 00:00:00 UTC, 2044-02-29 00:00:00 UTC.",
            id="seldom",
        ),
    ],
)
def test_when_it_would_run_is_told(to: dict[str, Any], when: str) -> None:
    assert said(described(replace(ROW, **to)))[2] == f"When: {when}"


def test_the_firings_that_are_shown_are_those_to_come() -> None:
    late = build_approval_form(ROW, JOB, "alice", "alice", NOW + 100 * HOUR).description
    assert "next at 2026-05-08 17:00:00 UTC" in said(late)[2]


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        pytest.param("", False, id="asked for the first time"),
        pytest.param("The inputs changed after bob approved it.", True, id="back in the queue"),
    ],
)
def test_why_it_is_back_in_the_queue_is_told(note: str, shown: bool) -> None:
    paragraphs = said(described(replace(ROW, approval_note=note)))
    assert (f"Back in the queue: {note}" in paragraphs) is shown
    assert len(paragraphs) == 6 + shown


def test_what_becomes_of_missed_runs_is_told_where_it_is_not_as_usual() -> None:
    told = "**Missed runs:**"
    assert told not in build_approval_form(ROW, JOB, "alice", "alice", NOW).description
    skips = replace(ROW, misfire=Misfire.SKIP)
    assert f"{told} skip" in build_approval_form(skips, JOB, "alice", "alice", NOW).description


@pytest.mark.parametrize("supports", [True, False])
def test_a_dry_run_is_offered_where_there_is_one(supports: bool) -> None:
    assert ("dry run" in described(job=replace(JOB, supports_dryrun=supports))) is supports


def test_what_its_runs_are_started_with_is_shown_where_there_is_something() -> None:
    shown = described(job=replace(JOB, job_variables={"image": "jobs:2"}))
    assert '{\n  "image": "jobs:2"\n}' in shown
    assert "job variables" not in described(job=JOB)


# Inputs


def test_the_inputs_of_a_job_that_may_have_sensitive_ones_are_not_shown() -> None:
    row = replace(ROW, inputs={"password": "hunter2"})
    description = described(row, replace(JOB, has_sensitive_variables=True))
    assert said(description)[3:5] == ["Inputs:", "not shown, because they may be sensitive."]
    assert "hunter2" not in description
    assert "password" not in description


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        pytest.param({}, "{}", id="none"),
        pytest.param({"who": "zoë 🐻"}, '{\n  "who": "zoë 🐻"\n}', id="letters as they are"),
        pytest.param({"a": "x\n````\ny"}, '{\n  "a": "x\\n````\\ny"\n}', id="an end of the part"),
        pytest.param({"````\n": 1}, '{\n  "````\\n": 1\n}', id="an end of the part, in a name"),
        pytest.param({"a": "\u202etxt.exe"}, '{\n  "a": "\\u202etxt.exe"\n}', id="what turns the line around"),
        pytest.param({"a": "safe\u200b"}, '{\n  "a": "safe\\u200b"\n}', id="what nobody sees"),
        pytest.param({"a": "b\u2028\x85\u00a0c"}, '{\n  "a": "b\\u2028\\u0085\\u00a0c"\n}', id="other line ends"),
        pytest.param({"a": "\U000e0001"}, '{\n  "a": "\\udb40\\udc01"\n}', id="tags that nobody sees"),
    ],
)
def test_inputs_are_shown_as_json_in_which_everything_can_be_seen(inputs: dict[str, Any], text: str) -> None:
    assert said(described(replace(ROW, inputs=inputs)))[4] == f"{text}\n"


@pytest.mark.parametrize(
    ("over", "more"),
    [
        pytest.param(0, "", id="as long as may be"),
        pytest.param(1, "\n… and 1 more characters: see the API.", id="one longer"),
        pytest.param(500_000, "\n… and 500000 more characters: see the API.", id="huge"),
    ],
)
def test_inputs_that_are_too_long_are_cut_off_and_said_to_be(over: int, more: str) -> None:
    frame = len(json.dumps({"a": ""}, indent=2))
    inputs = {"a": "x" * (SHOWN_INPUTS - frame + over)}
    shown = said(described(replace(ROW, inputs=inputs)))[4].removesuffix("\n")
    assert shown == json.dumps(inputs, indent=2)[:SHOWN_INPUTS] + more


# Nothing is forged


WICKED = [
    "`code`",
    "````",
    "~~~",
    "**bold** _it_",
    "~~gone~~",
    "# Title",
    "\n# Title\n",
    "\n\nApproved by root.\n\n",
    "\r- item",
    "1. one",
    "> quote",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "&lt;b&gt; &amp;",
    "[here](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "<http://evil.example>",
    "[x]: http://evil.example",
    "\\",
    "\\\n",
    "---",
    "\n===\n",
    "    indented",
    "two  \nlines",
]
texts = st.lists(
    st.one_of(st.sampled_from(WICKED), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
).map("".join)
names = texts.filter(lambda text: text.strip())


@given(name=names, job_name=names, requester=names, queue=names, note=names)
@example(name="x", job_name="`x", requester="`x", queue="<b", note="b>")
@example(name="#", job_name="**", requester="\\", queue="\\", note="[x][y]")
def test_nothing_that_somebody_is_called_formats_anything(
    name: str, job_name: str, requester: str, queue: str, note: str
) -> None:
    neutral = described(replace(ROW, approval_note="x"), JOB, "x")
    wicked = described(replace(ROW, name=name, queue=queue, approval_note=note), replace(JOB, name=job_name), requester)
    assert structure(parsed(wicked)) == structure(parsed(neutral))
    seen = said(wicked)
    name, job_name, requester, queue, note = (" ".join(x.split()) for x in (name, job_name, requester, queue, note))
    assert seen[0] == name
    assert seen[1] == f"{requester} asks to run {job_name} (pack.BackUp) on the queue {queue}, as alice."
    assert seen[3] == f"Back in the queue: {note}"


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(inputs=st.dictionaries(texts, jsons, max_size=4))
@example(inputs={"a": "````\n\n# Approved\n\n````json"})
def test_no_input_gets_out_of_its_part_and_every_one_is_shown(inputs: dict[str, Any]) -> None:
    description = described(replace(ROW, inputs=inputs))
    assert structure(parsed(description)) == structure(parsed(described()))
    [fence] = [token for token in parsed(description) if token.type == "fence"]
    assert json.loads(fence.content) == inputs
    assert all(character.isprintable() or character in "\n\x7f" for character in fence.content)


long_texts = st.builds(lambda text, end: text * (SHOWN_INPUTS // len(text) + 1) + end, names, texts)


@given(inputs=st.dictionaries(texts, long_texts, min_size=1, max_size=2))
def test_no_input_gets_out_of_its_part_where_it_is_cut_off(inputs: dict[str, Any]) -> None:
    description = described(replace(ROW, inputs=inputs))
    assert structure(parsed(description)) == structure(parsed(described()))
    assert "more characters: see the API." in description


@given(text=names)
def test_a_plain_text_is_one_line_that_shows_what_was_written(text: str) -> None:
    made = plain(text)
    assert "\n" not in made
    assert said(f"x {made} x") == [" ".join(f"x {text} x".split())]


# The form


@pytest.mark.parametrize(
    ("row", "names"),
    [
        pytest.param(ROW, ["decision", "comment", "request"], id="a recurring one"),
        pytest.param(replace(ROW, start_time=NOW - HOUR), ["decision", "comment", "request"], id="one that has begun"),
        pytest.param(ONCE, ["decision", "comment", "request"], id="a one-off"),
        pytest.param(replace(ONCE, start_time=NOW), ["decision", "comment", "request"], id="one that starts now"),
        pytest.param(
            replace(ONCE, start_time=NOW - SECOND),
            ["decision", "comment", "confirm_past_due", "request"],
            id="one whose start has passed",
        ),
        pytest.param(
            replace(ONCE, start_time=NOW - HOUR, immediate=True),
            ["decision", "comment", "request"],
            id="one that was to run at once",
        ),
    ],
)
def test_the_decision_comes_first_and_the_past_is_confirmed_where_there_is_one(
    row: ScheduledJob, names: list[str]
) -> None:
    assert list(fields(row)) == names
    assert [field["position"] for field in fields(row).values()] == list(range(len(names)))


def test_only_the_decision_must_be_filled_in_and_nothing_else_is_taken() -> None:
    late = replace(ONCE, start_time=NOW - HOUR)
    form = build_approval_form(late, JOB, "alice", "alice", NOW).form
    assert (form["type"], form["required"], form["additionalProperties"]) == ("object", ["decision"], False)
    defaults = {name: field["default"] for name, field in fields(late).items() if "default" in field}
    assert defaults == {"comment": "", "confirm_past_due": False, "request": version_of(late, JOB)}


def test_a_decision_is_to_approve_or_to_deny_and_none_is_chosen_beforehand() -> None:
    decision = fields(ROW)["decision"]
    assert decision["enum"] == ["approve", "deny"]
    assert decision["type"] == "string"
    assert "default" not in decision


def test_the_request_that_is_decided_about_is_the_one_that_is_shown() -> None:
    shown = fields(ROW)["request"]
    assert shown["enum"] == [shown["default"]] == [version_of(ROW, JOB)]


KEYWORDS = {*Draft7Validator.META_SCHEMA["properties"], "position"}


@pytest.mark.parametrize("start", [NOW - HOUR, NOW + HOUR], ids=["past due", "to come"])
def test_no_field_is_called_like_a_keyword_of_json_schema(start: Any) -> None:
    assert not KEYWORDS & set(fields(replace(ONCE, start_time=start)))


# What it is known by


DECIDED = [
    pytest.param({"inputs": {**INPUTS, "count": 3}}, {}, id="an input"),
    pytest.param({"inputs": {**INPUTS, "count": True}}, {}, id="the type of an input"),
    pytest.param({"queue": "fast"}, {}, id="the queue"),
    pytest.param({"interval": Interval.DAILY}, {}, id="the interval"),
    pytest.param({"start_time": NOW + SECOND}, {}, id="the start"),
    pytest.param({"time_zone": "Europe/Berlin"}, {}, id="the time zone"),
    pytest.param({"crontab": "0 1 * * *"}, {}, id="the crontab"),
    pytest.param({"immediate": True}, {}, id="that it runs at once"),
    pytest.param({}, {"code_digest": f"2::{'1' * 64}"}, id="the code"),
    pytest.param({}, {"job_class_name": "Restore"}, id="the Job's class"),
    pytest.param({}, {"job_variables": {"image": "jobs:2"}}, id="the image"),
    pytest.param({}, {"module_name": "other"}, id="the Job's module"),
]


@pytest.mark.parametrize(("to", "job_to"), DECIDED)
def test_a_request_is_another_as_soon_as_anything_that_is_decided_about_changes(
    to: dict[str, Any], job_to: dict[str, Any]
) -> None:
    assert version_of(replace(ROW, **to), replace(JOB, **job_to)) != version_of(ROW, JOB)


@pytest.mark.parametrize(
    ("to", "job_to"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"inputs": dict(reversed(INPUTS.items()))}, {}, id="the order of the inputs"),
        pytest.param({"name": "other", "description": "x", "date_changed": NOW + HOUR}, {}, id="what it is called"),
        pytest.param({"version": 9, "flow_run_id": uuid4(), "question_mark": "x"}, {}, id="where it stands in Prefect"),
        pytest.param({}, {"name": "Other", "hidden": True, "version": 9}, id="what the Job is called"),
    ],
)
def test_a_request_stays_the_same_whatever_else_changes(to: dict[str, Any], job_to: dict[str, Any]) -> None:
    assert version_of(replace(ROW, **to), replace(JOB, **job_to)) == version_of(ROW, JOB)


def test_a_version_is_a_whole_hash_for_which_nobody_finds_another_request() -> None:
    assert re.fullmatch("[0-9a-f]{64}", version_of(ROW, JOB))


def test_the_start_of_what_runs_at_once_is_not_decided_about() -> None:
    row = replace(ONCE, immediate=True)
    assert version_of(row, JOB) == version_of(replace(row, start_time=NOW - HOUR), JOB)


def test_what_is_bound_is_all_the_code_and_not_the_digest_of_earlier_versions() -> None:
    assert binding_of(ROW, JOB) == binding_of(ROW, replace(JOB, module_digest="1" * 64))
    other = binding_of(ROW, replace(JOB, code_digest=""))
    assert {part for part, known in binding_of(ROW, JOB).items() if other[part] != known} == {"code"}


@pytest.mark.parametrize(
    ("to", "same"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"description": "x"}, False, id="the description"),
        pytest.param({"form": {}}, False, id="the form"),
        pytest.param({"parameters": {}, "name": "x", "message": "x"}, True, id="what is compared otherwise"),
    ],
)
def test_a_question_is_known_again_by_its_text_and_its_form(to: dict[str, Any], same: bool) -> None:
    asked = build_approval_form(ROW, JOB, "alice", "alice", NOW)
    assert (fingerprint(replace(asked, **to)) == fingerprint(asked)) is same


def test_a_question_is_known_again_whatever_the_order_of_its_form() -> None:
    asked = build_approval_form(ROW, JOB, "alice", "alice", NOW)
    assert fingerprint(replace(asked, form=dict(reversed(asked.form.items())))) == fingerprint(asked)
