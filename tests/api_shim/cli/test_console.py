"""What all commands share: where the home is, what is printed how, and what cannot be used."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from api_shim.cli.console import agreed, progress, show
from api_shim.settings import read_settings
from approval_gate.errors import Invalid
from tests.api_shim.cli.conftest import Run


@pytest.mark.usefixtures("tables")
def test_the_home_is_what_the_option_says_then_the_environment(signoff: Run, home: Path, tmp_path: Path) -> None:
    assert signoff("user", "add", "alice").status == 0
    shutil.copytree(home, tmp_path / "other")
    assert signoff("user", "remove", "alice", "--home", str(tmp_path / "other")).status == 0
    assert signoff("user", "add", "bob", "--home", str(tmp_path / "other")).status == 0
    assert [user["username"] for user in signoff("user", "list", "--json").json] == ["alice"]
    there = signoff("user", "list", "--json", "--home", str(tmp_path / "other"))
    assert [user["username"] for user in there.json] == ["bob"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "signoff.db").stat().st_mode) == 0o600


def test_the_home_can_be_written_as_people_write_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert read_settings(Path("~/here")).home == tmp_path / "here"
    assert read_settings(Path("here")).home == tmp_path / "here"


def test_a_home_that_cannot_be_used_is_one_sentence(signoff: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refusal = signoff("db", "upgrade", "--home", str(tmp_path / "file")).refusal
    assert refusal.startswith(f"The home folder {tmp_path / 'file'} cannot be used: ")
    refusal = signoff("user", "list", "--home", str(tmp_path / "file")).refusal
    assert refusal.startswith(f"The folder {tmp_path / 'file'} is not the home folder of a signoff server. ")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://u:hunter2@127.0.0.1:1/x", id="nobody listens"),
        pytest.param("mysql://u:hunter2@127.0.0.1/x", id="another database"),
        pytest.param("hunter2", id="no address"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence_without_the_password(
    signoff: Run, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE_URL", url)
    assert "hunter2" not in signoff("user", "list").refusal


def test_a_file_that_is_no_store_is_one_sentence(signoff: Run, home: Path) -> None:
    home.mkdir()
    (home / "signoff.db").write_text("Dear Ann, " * 1000)
    assert "not a database" in signoff("user", "list").refusal


ROW = {"a": None, "b": "", "c": True, "d": ["x", "y"], "e": [], "f": [{"g": "ü"}], "h": "[bold]x[/bold]", "i": 5}
CELLS = {"a": "-", "b": "-", "c": "yes", "d": "x, y", "e": "-", "f": '[{"g": "ü"}]', "h": "[bold]x[/bold]", "i": "5"}


@pytest.mark.parametrize("column", ROW)
def test_a_cell_is_what_people_read_and_nothing_in_it_is_markup(
    capsys: pytest.CaptureFixture[str], column: str
) -> None:
    show([ROW], [column], as_json=False)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [column, CELLS[column]]


def test_json_has_every_field_and_no_rows_are_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    show([], ["a"], as_json=True)
    assert capsys.readouterr().out == "[]\n"
    rows: list[dict[str, Any]] = [ROW]
    show(iter(rows), ["a"], as_json=True)
    assert '"h": "[bold]x[/bold]"' in capsys.readouterr().out


def test_a_table_in_a_pipe_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"a": "x " * 300}], ["a"], as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        pytest.param(30, ["id        name", "aaaaaaaa  nightly backup", "bbbbbbbb  weekly"], id="as wide as the table"),
        pytest.param(
            20,
            ["id    aaaaaaaa", "name  nightly backup", "", "id    bbbbbbbb", "name  weekly"],
            id="narrower, so a block for each row",
        ),
        pytest.param(
            16,
            ["id    aaaaaaaa", "name  nightly", "      backup", "", "id    bbbbbbbb", "name  weekly"],
            id="narrower still, so that values fold",
        ),
    ],
)
def test_a_list_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, lines: list[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    show([{"id": "a" * 8, "name": "nightly backup"}, {"id": "b" * 8, "name": "weekly"}], ["id", "name"], as_json=False)
    plain = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert [line.rstrip() for line in plain.splitlines()] == lines


def test_progress_is_for_people_at_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress("Removed", 1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress("Removed", 1, 2)
    progress("Removed", 3, 2)
    assert capsys.readouterr().err == "\rRemoved 1 of 2\rRemoved 3 of 3\n"


def test_who_agreed_is_not_asked_and_where_nobody_is_nobody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed("Really?", yes=True)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(Invalid, match="use --yes to agree"):
        agreed("Really?", yes=False)
