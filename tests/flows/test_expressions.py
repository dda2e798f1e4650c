"""The expressions of Jobs mean what Python says, and take linear time where they can."""

from __future__ import annotations

import re
import time

import pytest

from flows.expressions import is_found, is_linear

TEXTS = (
    "", "abc", "ABC", "a1", "Zürich", "ß", "٣", "日本", "a b", "a\tb", "a\u2003b", "a\x1fb", "a\x0bb", "a_b", "[a]",
    "]", "^", "a^b", "a[b", "a]b", "a\nb", "a.b", "a-b", "a\\b", "12", "x=1; y=2", "é", "e\u0301", "İ", "k", "K",
    "{,3}", "aaa", ":",
)  # fmt: skip

LINEAR = [
    r"^a", r"b$", r"^\w+$", r"\W", r"^\d+$", r"\D", r"\s", r"^\S*$", r"^[\w.-]+$", r"^[^\d]+$", r"[\s]", r"[]]",
    r"[^]]", r"[[]", r"[a[]", r"[[a]", r"[[^]", r"[[]]", r"[\]]", r"[\\]", r"\[", r"\\", r"a\Z", r"\Ab", r"(?i)abc",
    r"(?i:K)", r"(?m)^b$", r"(?s)a.b", r"a.b", r"(a|b)+c?", r"(?P<x>a)b", r"a{1,3}", r"a{2}", r"^[A-Z]{3}$", r"",
    r"[^\s]", r"\.", r"[.]", r"a\nb", r"\x61", r"(?:a)",
    re.compile("abc", re.IGNORECASE), re.compile("^b$", re.MULTILINE), re.compile("a.b", re.DOTALL),
]  # fmt: skip


@pytest.mark.parametrize("regex", LINEAR, ids=str)
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_an_expression_of_the_common_language_means_the_same_in_linear_time(regex: str | re.Pattern[str]) -> None:
    assert is_linear(regex)
    for text in TEXTS:
        assert is_found(regex, text) is bool(re.search(regex, text)), text


PYTHONS = [
    r"(?<=a)b", r"(?=a)", r"(a)\1", r"\bb", r"a\B", r"a{,3}", r"[\W]", r"[^\S]", r"a*+", r"(?>a)", r"(?a)\w",
    r"(?x) a b", r"[[:a]",
    re.compile("a b", re.VERBOSE), re.compile(r"\w", re.ASCII),
]  # fmt: skip


@pytest.mark.parametrize("regex", PYTHONS, ids=str)
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_what_only_python_understands_is_matched_by_python(regex: str | re.Pattern[str]) -> None:
    assert not is_linear(regex)
    for text in TEXTS:
        assert is_found(regex, text) is bool(re.search(regex, text)), text


@pytest.mark.parametrize("regex", [r"^(a+)+$", r"^(\w+\s?)*$", r"(a|aa)+$", r"(?i)^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_text_takes_long(regex: str) -> None:
    begun = time.process_time()
    assert not is_found(regex, "a" * 5000 + "!")
    assert time.process_time() - begun < 1
