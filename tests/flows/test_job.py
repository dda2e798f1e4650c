"""A Job: its variables and its Meta, what its author may count on, and what is refused."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from approval_gate.errors import Invalid
from flows.job import (
    FAILURE,
    SUCCESS,
    Job,
    JobButtonReceiver,
    JobHookReceiver,
    JobLogger,
    RunContext,
    RunUser,
    arguments_of,
    validate,
    validate_again,
)
from flows.objects import Object
from flows.testing import run_job
from flows.variables import BadJob, BooleanVar, DateVar, DryRunVar, IntegerVar, JSONVar, StringVar

name = "Tests of Jobs"


def made(attributes: dict[str, Any] | None = None, base: type[Job] = Job, **meta: Any) -> type[Job]:
    """Return a Job of this module with a run() that takes anything."""
    body: dict[str, Any] = {"run": lambda self, **_: None, "__module__": __name__}
    return type("Made", (base,), body | (attributes or {}) | {"Meta": type("Meta", (), meta)})


class Site(Job):
    """A Job that is only there to be subclassed."""

    class Meta:
        name = "Site"
        description = "A site."
        has_sensitive_variables = False
        task_queues = ("bulk",)
        time_limit = 60

    site = StringVar(description="Where.")
    level = IntegerVar(default=1)


class Mixin:
    """Variables for any Job."""

    extra = BooleanVar()


class Audit(Mixin, Site):
    class Meta:
        description = """
            Audits a site.

            At length.
        """
        approval_required = True
        field_order = ("depth", "site")

    level = IntegerVar(default=2)
    depth = IntegerVar(min_value=1)
    dryrun = DryRunVar()

    def run(self, *, site: str, level: int, extra: bool, depth: int, dryrun: bool) -> dict[str, Any]:
        self.logger.info("Auditing %s.", site)
        if depth > 9:
            self.fail("%s is too deep by %d.", site, depth - 9)
            self.fail("100% too deep.")
        return {"site": site, "level": level, "extra": extra, "dryrun": dryrun}


class Hook(JobHookReceiver):
    class Meta:
        approval_required = True

    def receive_job_hook(self, event: dict[str, Any]) -> str:
        return f"received {event['id']}"


def test_a_definition_tells_all_that_code_and_meta_say() -> None:
    definition = Audit.definition()
    assert definition.class_path == f"{__name__}.Audit"
    assert (definition.module_name, definition.job_class_name) == (__name__, "Audit")
    assert definition.grouping == "Tests of Jobs"
    assert definition.name == "Audit", "a name is not inherited"
    assert definition.description == "Audits a site.\n\nAt length."
    assert definition.approval_required
    assert not definition.has_sensitive_variables, "inherited"
    assert definition.job_queues == ("bulk",)
    assert definition.time_limit == 60
    assert definition.supports_dryrun
    assert not definition.is_job_hook_receiver
    assert definition.code_digest.startswith("2::")
    assert definition.module_digest == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert [each["name"] for each in definition.variables] == ["depth", "site", "level", "extra", "dryrun"]
    assert definition.parameter_schema == Audit.parameter_schema()
    assert definition.warnings == ()
    assert json.loads(json.dumps(definition.parameter_schema)) == definition.parameter_schema


def test_variables_come_in_the_order_of_forms_and_the_nearest_wins() -> None:
    variables = Audit.variables()
    assert list(variables) == ["depth", "site", "level", "extra", "dryrun"]
    assert variables["level"].default == 2
    assert list(Audit.parameter_schema()["properties"]) == list(variables)
    assert Site.variables()["level"].default == 1


def test_a_variable_of_a_base_can_be_taken_away() -> None:
    assert list(made({"level": None}, base=Site).variables()) == ["site"]


def test_model_and_definition_are_made_once_for_each_class() -> None:
    assert Audit.model() is Audit.model()
    assert Audit.definition() is Audit.definition()
    assert Audit.model() is not made(base=Audit).model()


def run_in_pieces(self: Job) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        pytest.param({"run": Job.run}, r"must define run\(\)", id="no run"),
        pytest.param({"run": run_in_pieces}, "run must be a function without yield", id="a run that yields"),
        pytest.param({"on_success": run_in_pieces}, "on_success must be a function", id="a hook that yields"),
        pytest.param({"run": lambda self: None, "after_return": 5}, "must be a function", id="a hook that is none"),
        pytest.param(
            {"run": lambda self: None, "on_failure": lambda self, exc: None},
            r"on_failure\(\) cannot be called with \(exc, task_id, args, kwargs, einfo\): too many",
            id="a hook without its arguments",
        ),
        pytest.param(
            {"run": lambda self: None, "on_retry": lambda self: None},
            "on_retry has no effect: a run executes once",
            id="a hook that is never called",
        ),
        pytest.param(
            {"run": lambda self: None, "max_retries": 3}, "max_retries has no effect", id="a setting of retries"
        ),
        pytest.param(
            {"run": lambda self: None, "a": StringVar()},
            "unexpected keyword argument 'a'",
            id="a run without its variable",
        ),
        pytest.param(
            {"run": lambda self, b: None},
            "missing a required argument: 'b'",
            id="a run that wants what is no variable",
        ),
        pytest.param({"a": IntegerVar(max=5)}, r"Made\.a: IntegerVar has no option max", id="an unknown option"),
        pytest.param({"a": DateVar(default="x")}, "default of a is invalid: Enter a valid date", id="a bad date"),
        pytest.param({"a": StringVar}, r"a is no variable yet: write StringVar\(…\)", id="a class for a variable"),
        pytest.param(
            {"run": lambda self: None, "post_run": lambda self: None},
            "post_run has no effect: after_return",
            id="a method of earlier days",
        ),
        pytest.param({"a": IntegerVar(default="x")}, "default of a is invalid: Enter a whole", id="a bad default"),
        pytest.param(
            {"b": StringVar(), "a": IntegerVar(default=5, max_value=4)},
            "default of a is invalid: Ensure this value is less",
            id="a default out of bounds, beside a required variable",
        ),
        pytest.param(
            {"a": JSONVar(default="x" * 300_000)},
            "default of a is invalid: Enter a valid JSON",
            id="a text as JSON",
        ),
        pytest.param(
            {"a": JSONVar(default=["x" * 300_000])},
            "default of all variables is invalid: Job data is too large",
            id="a huge default",
        ),
    ],
)
def test_refuses_code_that_cannot_work(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadJob, match=message):
        made(attributes).definition()


def test_a_setting_of_pages_that_do_not_exist_is_told() -> None:
    (warning,) = made(template_name="x.html").definition().warnings
    assert warning == f"{__name__}.Made: Meta.template_name has no effect here."


def test_a_variable_that_cannot_be_is_refused_with_its_job_and_its_name() -> None:
    class Wrong(Job):
        size = IntegerVar(widget="slider")  # type: ignore[call-arg]

        def run(self, size: int) -> int:
            return size

    with pytest.raises(BadJob, match=r"Wrong\.size: .*widget") as refused:
        Wrong.definition()
    assert refused.value.attribute == "size"


@pytest.mark.parametrize(
    "taken",
    ["run", "fail", "failures", "logger", "user", "job_result", "model", "variables", "self", "_private"],
)
def test_refuses_a_variable_called_like_something_that_jobs_have(taken: str) -> None:
    with pytest.raises(BadJob, match=f"a variable cannot be called {taken};"):
        made({taken: StringVar()}).definition()
    with pytest.raises(BadJob, match=f"a variable cannot be called {taken};"):
        type("Made", (type("Mixin", (), {taken: StringVar()}), Job), {}).definition()


@pytest.mark.parametrize("taken", ["wait_for", "return_state"])
def test_refuses_a_variable_called_like_what_prefect_keeps_for_itself(taken: str) -> None:
    with pytest.raises(BadJob, match=f"a variable cannot be called {taken}; Prefect reserves that"):
        made({taken: StringVar()}).definition()


@pytest.mark.parametrize(
    ("meta", "data", "expected"),
    [
        pytest.param({}, {}, False, id="a dry run is not the default"),
        pytest.param({"dryrun_default": True}, {}, True, id="unless Meta says so"),
        pytest.param({"dryrun_default": True}, {"dryrun": "off"}, False, id="and then it can be taken back"),
    ],
)
def test_a_dry_run_that_is_left_out_is_what_meta_says(meta: dict[str, Any], data: object, expected: bool) -> None:
    job = made({"dryrun": DryRunVar()}, **meta)
    assert validate(job, data) == {"dryrun": expected}
    default = meta.get("dryrun_default", False)
    assert job.definition().variables[0]["default"] is default
    assert job.parameter_schema()["properties"]["dryrun"]["default"] is default


def test_a_hook_receiver_hands_on_the_event_and_needs_no_approval() -> None:
    definition = Hook.definition()
    assert definition.is_job_hook_receiver
    assert not definition.approval_required
    (warning,) = definition.warnings
    assert "approval_required is ignored" in warning
    assert Hook().run(**validate(Hook, {"event": {"id": 7}})) == "received 7"


EVENT = {"id": 7, "action": "update", "changed_object": {"name": "nightly", "owner": {"name": "alice"}}}


def _documented(_self: Any, change: Object, action: str, changed_object: Object | None) -> list[Any]:
    return [change.id, action, changed_object and changed_object.owner.name]


@pytest.mark.parametrize(
    ("receive", "event", "result"),
    [
        pytest.param(_documented, EVENT, [7, "update", "alice"], id="the documented arguments"),
        pytest.param(_documented, {**EVENT, "changed_object": None}, [7, "update", None], id="an object that is gone"),
        pytest.param(_documented, {"id": 7}, [7, "", None], id="an event that no job hook has sent"),
        pytest.param(lambda _self, **named: sorted(named), EVENT, ["action", "change", "changed_object"], id="by name"),
        pytest.param(lambda _self, _hook: _hook == EVENT, EVENT, True, id="the event, whatever it is called"),
        pytest.param(lambda _self, event, more=1: [event["id"], more], EVENT, [7, 1], id="the event and a default"),
    ],
)
def test_a_hook_receiver_is_called_as_its_signature_says(receive: Any, event: dict[str, Any], result: Any) -> None:
    hears = type("Hears", (JobHookReceiver,), {"__module__": __name__, "receive_job_hook": receive})
    assert hears.definition().is_job_hook_receiver
    assert hears().run(event=event) == result


def test_a_button_receiver_gets_the_object_and_may_need_approval() -> None:
    class Pressed(JobButtonReceiver):
        class Meta:
            approval_required = True
            has_sensitive_variables = False

        def receive_job_button(self, obj: Object) -> list[Any]:
            return [obj.name, obj.status.value]

    definition = Pressed.definition()
    assert (definition.is_job_button_receiver, definition.is_job_hook_receiver) == (True, False)
    assert definition.approval_required
    assert [each["name"] for each in definition.variables] == ["object_pk", "object_model_name"]
    run = run_job(
        Pressed,
        object_pk="7",
        object_model_name="extras.jobresult",
        objects={"7": {"name": "Backup", "status": {"value": "SUCCESS"}}},
    )
    assert (run.error, run.result) == (None, ["Backup", "SUCCESS"])
    gone = run_job(Pressed, object_pk="8", object_model_name="extras.jobresult")
    assert isinstance(gone.error, LookupError)


@pytest.mark.parametrize(
    ("parent", "defined", "sentence"),
    [
        (JobHookReceiver, {}, "Deaf must define receive_job_hook()."),
        (JobButtonReceiver, {}, "Deaf must define receive_job_button()."),
        (
            JobHookReceiver,
            {"receive_job_hook": lambda _self: None},
            "Deaf.receive_job_hook() cannot be called with (change, action, changed_object): ",
        ),
        (
            JobHookReceiver,
            {"receive_job_hook": lambda _self, _one, _two: None},
            "Deaf.receive_job_hook() cannot be called with (change, action, changed_object): ",
        ),
        (
            JobButtonReceiver,
            {"receive_job_button": lambda _self, _thing: None},
            "Deaf.receive_job_button() cannot be called with (obj): ",
        ),
        (JobHookReceiver, {"receive_job_hook": 7}, "Deaf.receive_job_hook must be a function without yield."),
    ],
)
def test_a_receiver_must_receive(parent: type[Job], defined: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadJob, match=re.escape(sentence)):
        type("Deaf", (parent,), {"__module__": __name__, **defined}).definition()


def test_validation_is_that_of_the_variables() -> None:
    inputs = {"depth": 3, "site": "a", "level": 2, "extra": False, "dryrun": False}
    assert validate(Audit, {"site": "a", "depth": "3"}) == inputs
    with pytest.raises(Invalid) as refused:
        validate(Audit, {"site": "a", "depth": 0})
    assert refused.value.detail == {"errors": {"depth": ["Ensure this value is greater than or equal to 1."]}}


class Planned(Job):
    day = DateVar()
    note = JSONVar(required=False)
    since = DateVar(default="2030-01-01")


def test_stored_inputs_are_read_by_the_variables_of_today() -> None:
    stored = {"day": "2030-01-31", "note": "a text"}
    inputs = validate_again(Planned, stored)
    assert inputs == {**stored, "since": "2030-01-01"}
    assert arguments_of(Planned, inputs) == {"day": date(2030, 1, 31), "note": "a text", "since": date(2030, 1, 1)}
    with pytest.raises(Invalid) as refused:
        validate_again(Planned, {"when": "2030-01-31"})
    assert refused.value.detail == {"errors": {"when": ["Job data contained an unknown property"]}}


def test_a_job_works_without_a_runner(caplog: pytest.LogCaptureFixture) -> None:
    job = Audit()
    with caplog.at_level(logging.INFO):
        result = job.run(**validate(Audit, {"site": "a", "depth": 12}))
    assert result == {"site": "a", "level": 2, "extra": False, "dryrun": False}
    assert job.failures == ["a is too deep by 3.", "100% too deep."]
    assert (job.user, job.job_result) == (None, None)
    logged = [(each.levelname, each.getMessage(), each.funcName, each.name) for each in caplog.records]
    assert logged == [
        ("INFO", "Auditing a.", "run", __name__),
        ("FAILURE", "a is too deep by 3.", "run", __name__),
        ("FAILURE", "100% too deep.", "run", __name__),
    ]


def test_the_failures_of_one_run_are_not_those_of_another() -> None:
    first, second = Audit(), Audit()
    first.fail("Broken.")
    first.fail("%(what)s is broken.", {"what": "It"}, extra={"grouping": "run"})
    assert (first.failures, second.failures) == (["Broken.", "It is broken."], [])


def test_a_runner_gives_the_context() -> None:
    user = RunUser(id="1", username="ann")
    logger = JobLogger(logging.getLogger("runner"))
    job = Audit()
    job.bind(RunContext(logger=logger, user=user, job_result={"id": "2"}))
    assert (job.logger, job.user, job.job_result) == (logger, user, {"id": "2"})


class Tagging(logging.LoggerAdapter[logging.Logger]):
    """Adds to each record, and keeps what the caller adds."""

    def process(self, msg: Any, kwargs: Any) -> Any:
        return msg, kwargs | {"extra": {"run": 7, **kwargs.get("extra", {})}}


PLAIN = logging.getLogger("tests.plain")


@pytest.mark.parametrize(
    "logger",
    [
        pytest.param(JobLogger(PLAIN), id="over a logger"),
        pytest.param(JobLogger(Tagging(PLAIN)), id="over an adapter"),
        pytest.param(JobLogger(JobLogger(PLAIN)), id="over another"),
    ],
)
@pytest.mark.parametrize(
    ("write", "level"),
    [
        pytest.param(JobLogger.success, SUCCESS, id="success"),
        pytest.param(JobLogger.failure, FAILURE, id="failure"),
        pytest.param(JobLogger.warning, logging.WARNING, id="warning"),
    ],
)
def test_logs_at_the_levels_of_jobs_with_extras_and_the_place(
    caplog: pytest.LogCaptureFixture, logger: JobLogger, write: Callable[..., None], level: int
) -> None:
    with caplog.at_level(logging.INFO):
        write(logger, "Did %s.", "it", extra={"grouping": "post_run", "object": "thing"})
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, "Did it.")
    assert (record.grouping, record.object) == ("post_run", "thing")  # type: ignore[attr-defined]  # extras
    assert record.funcName == "test_logs_at_the_levels_of_jobs_with_extras_and_the_place"


def test_an_adapter_below_keeps_what_it_adds(caplog: pytest.LogCaptureFixture) -> None:
    JobLogger(Tagging(PLAIN)).failure("Broken.")
    (record,) = caplog.records
    assert (record.run, record.levelname) == (7, "FAILURE")  # type: ignore[attr-defined]  # an extra


# The files that it makes


def kept(largest: int) -> tuple[Job, list[tuple[str, bytes]]]:
    """Return a Job within a run, and what its server keeps."""
    files: list[tuple[str, bytes]] = []
    job = made()()
    job.bind(
        RunContext(
            logger=JobLogger(logging.getLogger("run")),
            user=None,
            job_result=None,
            keep_file=lambda name, content: files.append((name, content)),
            largest_file=largest,
        )
    )
    return job, files


def test_a_file_is_kept_as_text_or_as_bytes(caplog: pytest.LogCaptureFixture) -> None:
    job, files = kept(largest=4)
    with caplog.at_level(logging.INFO):
        job.create_file("a.txt", "für")
        job.create_file("b.bin", b"\0\xff")
    assert files == [("a.txt", "für".encode()), ("b.bin", b"\0\xff")]
    assert "Created the file a.txt (4 bytes)." in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "error", "told"),
    [
        pytest.param("a/b", "", ValueError, "no / and no", id="a path"),
        pytest.param("a", "12345", ValueError, "a: The file has 5 bytes, of at most 4", id="too large"),
        pytest.param("a", "\ud800", ValueError, "surrogates not allowed", id="no text"),
        pytest.param("a", {"b": 1}, TypeError, "text or bytes, not dict", id="an object"),
    ],
)
def test_a_file_that_cannot_be_kept_is_refused(name: str, content: Any, error: type[Exception], told: str) -> None:
    job, files = kept(largest=4)
    with pytest.raises(error, match=told):
        job.create_file(name, content)
    assert files == []


def test_a_file_that_is_made_outside_a_run_is_checked_and_not_kept() -> None:
    job = made()()
    job.create_file("a.txt", "x")
    with pytest.raises(ValueError, match="no / and"):
        job.create_file("../a.txt", "x")


def test_there_is_no_secret_outside_a_run() -> None:
    with pytest.raises(LookupError, match="no secret called 'door' outside a run"):
        made()().secret("door")


@pytest.mark.parametrize("name", ["create_file", "secret"])
def test_a_variable_may_be_called_like_what_a_run_calls(name: str) -> None:
    assert list(made({name: BooleanVar()}).variables()) == [name]
