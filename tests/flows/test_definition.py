"""What is known of a Job without its code: its settings, what is refused of them, and what is warned of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from approval_gate.admission import Overlap
from flows.definition import LONGEST_WAIT
from flows.job import Job
from flows.variables import BadJob, BooleanVar, DryRunVar, StringVar

name = "Tests of definitions"


def made(attributes: dict[str, Any] | None = None, base: type[Job] = Job, **meta: Any) -> type[Job]:
    """Return a Job of this module with a run() that takes anything."""
    body: dict[str, Any] = {"run": lambda self, **_: None, "__module__": __name__}
    return type("Made", (base,), body | (attributes or {}) | {"Meta": type("Meta", (), meta)})


class Site(Job):
    """A Job that is only there to be subclassed."""

    class Meta:
        name = "Site"
        has_sensitive_variables = False


def test_a_job_without_a_meta_is_safe_by_default() -> None:
    definition = type("Bare", (Job,), {"run": lambda self: None, "__module__": __name__}).definition()
    assert (definition.name, definition.description) == ("Bare", "")
    assert definition.has_sensitive_variables
    flags = ("approval_required", "dryrun_default", "hidden", "read_only", "is_singleton", "supports_dryrun")
    assert not any(getattr(definition, flag) for flag in flags)
    assert (definition.soft_time_limit, definition.time_limit, definition.job_queues) == (0, 0, ())
    assert definition.approval_expires == 0


def test_meta_may_be_inherited_by_name() -> None:
    class Meta(Site.Meta):
        hidden = True

    job = made({"Meta": Meta})
    job.Meta = Meta  # type: ignore[attr-defined]  # as an author declares it
    assert (job.definition().hidden, job.definition().has_sensitive_variables) == (True, False)
    assert job.definition().name == "Made", "a name is not inherited"


@pytest.mark.parametrize(
    ("meta", "setting", "expected"),
    [
        pytest.param({"name": "Ä 1"}, "name", "Ä 1", id="a name"),
        pytest.param({"time_limit": 1.5}, "time_limit", 1.5, id="a limit of part of a second"),
        pytest.param({"job_queues": ["a", "b", "a"]}, "job_queues", ("a", "b"), id="queues, each once"),
        pytest.param({"task_queues": ("a",)}, "job_queues", ("a",), id="queues under their older name"),
        pytest.param({"is_singleton": True}, "is_singleton", True, id="a flag"),
        pytest.param({"tags": ["b", "a & b", "b"]}, "tags", ("b", "a & b"), id="tags, each once, in their order"),
        pytest.param({"overlap": "queue"}, "overlap", Overlap.QUEUE, id="what becomes of runs that overlap"),
        pytest.param(
            {"job_variables": {"image": "jobs:1", "env": {"A": "1"}}},
            "job_variables",
            {"image": "jobs:1", "env": {"A": "1"}},
            id="job variables",
        ),
        pytest.param({"approval_expires": timedelta(days=2)}, "approval_expires", 172_800.0, id="a time to decide"),
        pytest.param({"approval_expires": timedelta(seconds=1.5)}, "approval_expires", 1.5, id="part of a second more"),
        pytest.param({"approval_expires": timedelta(seconds=1)}, "approval_expires", 1.0, id="the shortest time"),
        pytest.param({"approval_expires": LONGEST_WAIT}, "approval_expires", 315_619_200.0, id="the longest time"),
        pytest.param({"approval_expires": None}, "approval_expires", 0.0, id="all the time in the world"),
        pytest.param({"template_name": "x.html"}, "name", "Made", id="a setting of other pages means nothing"),
        pytest.param({"_private": 1}, "name", "Made", id="what is private is no setting"),
    ],
)
def test_takes_settings(meta: dict[str, Any], setting: str, expected: object) -> None:
    assert getattr(made(**meta).definition(), setting) == expected


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        *[
            pytest.param({"time_limit": value}, "Meta.time_limit must be a number of seconds", id=f"limit {value!r}")
            for value in (-1, "60", True, None, float("nan"), float("inf"))
        ],
        *[
            pytest.param(
                {"overlap": value}, "Meta.overlap must be 'allow', 'skip', 'queue' or 'cancel'", id=f"overlap {value!r}"
            )
            for value in ("never", "Queue", True, None)
        ],
        pytest.param({"soft_time_limit": -0.1}, "Meta.soft_time_limit must be", id="a negative soft limit"),
        *[
            pytest.param({"approval_expires": value}, "Meta.approval_expires must be a timedelta", id=f"end {value!r}")
            for value in (0, 3600, 1.5, True, False, "1 day")
        ],
        *[
            pytest.param({"approval_expires": value}, "from one second to ten years", id=f"end {value}")
            for value in (
                timedelta(0),
                timedelta(seconds=-1),
                timedelta(seconds=0.999),
                LONGEST_WAIT + timedelta(microseconds=1),
                timedelta.max,
            )
        ],
        *[
            pytest.param({flag: 1}, f"Meta.{flag} must be True or False, not 1", id=f"{flag} is no flag")
            for flag in (
                "approval_required",
                "has_sensitive_variables",
                "dryrun_default",
                "hidden",
                "read_only",
            )
        ],
        *[
            pytest.param({"name": value}, "Meta.name must be", id=f"the name {value!r:.20}")
            for value in ("", " a", "a\n", 5, "x" * 256)
        ],
        pytest.param({"description": None}, "Meta.description must be a string", id="no description"),
        pytest.param({"job_queues": "bulk"}, "Meta.job_queues must be a list", id="a text for queues"),
        pytest.param({"task_queues": [5]}, "Meta.task_queues must be a list", id="a number as queue"),
        *(
            pytest.param({"job_variables": value}, "Meta.job_variables must be a dictionary", id=f"variables {value!r}")
            for value in ("x", {1: "x"}, {"cpu": float("nan")}, {"ports": (1,)}, {"command": "true"})
        ),
        *(
            pytest.param({"job_variables": value}, r"without command, \{\{ and \$ref", id=f"filled in later: {value!r}")
            for value in (
                {"image": "{{ prefect.variables.image }}"},
                {"env": {"A": ["b", "x{{prefect.blocks.secret.a}}"]}},
                {"{{ $HOME }}": 1},
                {"env": {"$ref": {"block_document_id": "1"}}},
            )
        ),
        *(
            pytest.param({"tags": value}, "Meta.tags must be a list of at most 50 names", id=f"tags {value!r:.20}")
            for value in ("nightly", [""], [" a"], ["a\n"], ["x" * 101], [5], [*map(str, range(51))])
        ),
        *(
            pytest.param({"tags": ["a", tag]}, "what became of a run: approved, auto-", id=f"the tag {tag}")
            for tag in ("signoff", "awaiting-approval", "auto-scheduled", "refused", "Approved")
        ),
        pytest.param({"field_order": ["bogus"]}, "names bogus, which is not one of", id="the order of nothing"),
        pytest.param(
            {"aproval_required": True},
            "no setting aproval_required. Did you mean approval_required?",
            id="a typo",
        ),
        pytest.param({"zzz": 1}, r"Meta has no setting zzz\.$", id="an unknown setting"),
    ],
)
def test_refuses_settings_that_cannot_be_meant(meta: dict[str, Any], message: str) -> None:
    with pytest.raises(BadJob, match=message) as refused:
        made(**meta).definition()
    assert str(refused.value).startswith(f"{__name__}.Made: ")


@pytest.mark.parametrize("value", ["", 5, None])
def test_refuses_a_grouping_that_is_no_name(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.setitem(globals(), "name", value)
    with pytest.raises(BadJob, match="the module's name must be"):
        made().definition()


def test_groups_by_module_when_the_module_has_no_name_and_has_no_digest_without_source() -> None:
    definition = made({"__module__": "no.such.module"}).definition()
    assert definition.grouping == "no.such.module"
    assert definition.code_digest == ""


@pytest.mark.parametrize(
    ("attributes", "meta", "words"),
    [
        pytest.param({}, {"approval_required": True}, "exclude each other", id="approval, and sensitive by default"),
        pytest.param(
            {},
            {"approval_required": True, "has_sensitive_variables": True},
            "exclude each other",
            id="both, stated",
        ),
        pytest.param({}, {"soft_time_limit": 5, "time_limit": 5}, "never takes effect", id="the limits are equal"),
        pytest.param({"dry": DryRunVar()}, {}, "dry does not make dry runs possible", id="a dry run by another name"),
        pytest.param(
            {"code": StringVar(regex="(?<=a)b")}, {}, "the regex of code cannot be matched", id="a slow expression"
        ),
        pytest.param(
            {"dryrun": BooleanVar()}, {"dryrun_default": True}, "has no effect", id="no dry run to default to"
        ),
    ],
)
def test_warns_of_what_is_likely_not_meant(attributes: dict[str, Any], meta: dict[str, Any], words: str) -> None:
    (warning,) = made(attributes, **meta).definition().warnings
    assert words in warning
    assert warning.startswith(f"{__name__}.Made: ")


def test_keeps_both_flags_as_declared() -> None:
    definition = made(approval_required=True, has_sensitive_variables=True).definition()
    assert (definition.approval_required, definition.has_sensitive_variables) == (True, True)


def test_without_a_description_the_first_paragraph_of_its_own_docstring_is_one() -> None:
    class Documented(Job):
        """Audits a site,
        at night.

        At length.
        """

        def run(self) -> None:
            """Do it."""

    class Bare(Documented):
        def run(self) -> None:
            """Do it."""

    class Said(Documented):
        """Is not what Meta says."""

        class Meta:
            description = "Said."

    described = [kind.definition().description for kind in (Documented, Bare, Said)]
    assert described == ["Audits a site, at night.", "", "Said."]
