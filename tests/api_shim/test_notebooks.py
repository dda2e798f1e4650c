"""What the client returns, as a console and a notebook show it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

import api_shim
from api_shim import schemas
from api_shim.notebooks import LONGEST, as_text
from approval_gate import errors
from tests.api_shim import said

EVIL = "<script>alert(1)</script>&\"'"


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        pytest.param(
            schemas.JobResult.model_validate(said.result()),
            f"JobResult('Back up', status='SUCCESS', date_done=None, id=UUID('{said.id_of('run')}'))",
            id="a job result",
        ),
        pytest.param(
            schemas.Job.model_validate(said.job()),
            "Job('Back up', enabled=True, installed=True, approval_required=False)",
            id="a Job",
        ),
        pytest.param(
            schemas.JobLogEntry.model_validate(said.line("hello")),
            "JobLogEntry(created='2026-05-04T12:00:00+00:00', log_level='info', message='hello')",
            id="a line of a log",
        ),
        pytest.param(
            schemas.Choice(value="SUCCESS", label="Success"), "Choice(value='SUCCESS', label='Success')", id="a choice"
        ),
    ],
)
def test_a_repr_is_one_short_line(thing: schemas.Shape, shown: str) -> None:
    assert repr(thing) == shown


def test_a_new_token_shows_its_key_neither_in_a_repr_nor_in_a_notebook() -> None:
    made = schemas.NewToken.model_construct(display="for a script", key="signoff_secret", id=said.id_of("token"))
    assert repr(made) == "NewToken(display='for a script')"
    assert "signoff_secret" not in f"{made}"
    assert "key" in schemas.UNSHOWN


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, "", id="nothing"),
        pytest.param(True, "yes", id="a flag"),
        pytest.param(datetime(2030, 1, 1, 2, tzinfo=UTC), "2030-01-01 02:00:00+00:00", id="a time"),
        pytest.param({"a": ["ü"]}, '{"a": ["ü"]}', id="inputs"),
        pytest.param("x" * (LONGEST + 1), "x" * LONGEST + "…", id="too long a text"),
    ],
)
def test_a_cell_is_what_people_read(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_a_notebook_shows_objects_and_lists_as_tables_with_everything_escaped() -> None:
    row = schemas.JobResult.model_validate(said.result() | {"name": EVIL, "result": {EVIL: EVIL}})
    for html in (row._repr_html_(), schemas.Rows([row, row])._repr_html_()):
        assert html.startswith("<table>")
        assert "<script" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;" in html
    assert schemas.Rows[schemas.JobResult]()._repr_html_() == "<p>none</p>"


def test_every_error_that_the_client_raises_is_exported() -> None:
    server_only = {"TooManyAttempts"}
    kinds = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.GateError)
    }
    assert kinds - server_only | {"Shim", "AsyncShim", "StillRunning"} == {*api_shim.__all__}
    assert all(isinstance(getattr(api_shim, name), type) for name in api_shim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Fly'"):
        api_shim.Fly  # noqa: B018 - it is asked for


@pytest.mark.parametrize("package", ["api_shim", "flows", "approval_gate"])
def test_type_checkers_are_told_that_there_are_types(package: str) -> None:
    assert (resources.files(package) / "py.typed").is_file()
