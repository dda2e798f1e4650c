"""Lists as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from api_shim.web.rest.csv_answers import as_csv

REFERENCE = {"id": "1", "object_type": "extras.job", "url": "https://signoff.example/1/"}


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_there_is_a_line_for_each_object_below_the_names_of_the_fields() -> None:
    rows = [{"name": "a, b", "count": 1}, {"name": 'c"\nd', "count": 2}]
    assert read(as_csv(rows)) == [["name", "count"], ["a, b", "1"], ['c"\nd', "2"]]
    assert as_csv([]) == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param(None, "", id="null"),
        pytest.param(True, "True", id="a flag"),
        pytest.param(-1.5, "-1.5", id="a negative number"),
        pytest.param(REFERENCE, "1", id="a reference"),
        pytest.param({**REFERENCE, "display": "Greet"}, "Greet", id="a related object in full"),
        pytest.param({"value": "SUCCESS", "label": "Success"}, "SUCCESS", id="a choice"),
        pytest.param({"a": [1]}, '{"a": [1]}', id="an object"),
        pytest.param(["a", 1], '["a", 1]', id="a list"),
    ],
)
def test_a_value_is_a_cell(value: Any, cell: str) -> None:
    assert read(as_csv([{"it": value, "end": "."}])) == [["it", "end"], [cell, "."]]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(formula: str) -> None:
    for value in (formula, {**REFERENCE, "display": formula}):
        assert read(as_csv([{"it": value}]))[1] == [f"'{formula}"]
