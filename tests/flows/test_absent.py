"""What authors know and does not exist here: it costs no other Job, and is refused in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flows
from flows import Job
from flows.absent import DEFINED, USED
from flows.variables import BadJob


def test_what_is_used_of_self_and_does_not_exist_is_refused_unless_the_job_has_it() -> None:
    class Old(Job):
        def run(self) -> None:
            self.log_success("done")  # type: ignore[attr-defined]

    class Own(Job):
        def log_success(self, text: str) -> None: ...

        def run(self) -> None:
            self.log_success("done")

    with pytest.raises(BadJob, match=r"there is no self\.log_success here: call self\.logger\.success\(\)\."):
        Old.definition()
    assert Own.definition().name == "Own"


def test_what_exists_here_is_in_no_table() -> None:
    assert not [name for name in USED if hasattr(Job, name)]


def test_what_nobody_knows_cannot_be_imported() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'SteingVar'"):
        _ = flows.SteingVar


def test_the_table_for_authors_has_the_sentences_of_the_code() -> None:
    table = (Path(flows.__file__).parent / "README.md").read_text(encoding="utf-8")
    for name, hint in USED.items():
        assert f"`{name}" in table or f"self.{name}" in table, name
        shown = re.findall(rf"there is no self\.{re.escape(name)} here: (.*?)[.…]”", table)
        assert all(hint.startswith(each.rstrip("; ")) for each in shown), name
    for name, hint in DEFINED.items():
        assert f"“{name} has no effect: {hint}.”" in table
    assert all(f"`{name}`" in table for name in flows.__all__ if name.endswith("Var"))
