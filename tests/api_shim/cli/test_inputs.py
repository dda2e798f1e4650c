"""How the variables of a Job are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from api_shim.cli.inputs import read_inputs
from approval_gate.errors import Invalid


@pytest.mark.parametrize(
    ("pairs", "data", "inputs"),
    [
        pytest.param(None, None, {}, id="nothing"),
        pytest.param(["count=3", "who=Ada"], None, {"count": "3", "who": "Ada"}, id="pairs, as text"),
        pytest.param(["who=a=b"], None, {"who": "a=b"}, id="an equals sign in a value"),
        pytest.param(["who="], None, {"who": ""}, id="an empty value"),
        pytest.param(["a=1", "a=2"], None, {"a": ["1", "2"]}, id="a list"),
        pytest.param(None, '{"a": {"b": [1]}}', {"a": {"b": [1]}}, id="an object"),
        pytest.param(["a=1"], '{"a": 2, "b": 3}', {"a": "1", "b": 3}, id="a pair goes before"),
        pytest.param(['a={"b": 1}'], None, {"a": '{"b": 1}'}, id="JSON that the server reads"),
    ],
)
def test_variables_are_read(pairs: list[str] | None, data: str | None, inputs: dict[str, Any]) -> None:
    assert read_inputs(pairs, data) == inputs


def test_a_file_gives_its_content(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("a:1\nb:2\n")
    (tmp_path / "data").write_text('{"n": 1}')
    assert read_inputs([f"hosts=@{tmp_path}/hosts"], f"@{tmp_path}/data") == {"hosts": "a:1\nb:2\n", "n": 1}


@pytest.mark.parametrize(
    ("pairs", "data"), [(["who"], None), (["=x"], None), (None, "[1]"), (None, "{"), (None, ""), (None, "[" * 100_000)]
)
def test_what_is_written_otherwise_is_a_wrong_call(pairs: list[str] | None, data: str | None) -> None:
    with pytest.raises(typer.BadParameter):
        read_inputs(pairs, data)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(Invalid, match="is not UTF-8 text"):
        read_inputs([f"a=@{tmp_path}/bytes"], None)
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_inputs(["a=@/nowhere"], None)
