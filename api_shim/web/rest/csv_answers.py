"""A list as CSV: one line for each object, under the names of their fields.

* A related object is its name where ``depth`` shows it, and else its id. What else has several parts is JSON.
* No cell is a formula: whoever opens the file in a spreadsheet sees what an object says, and runs nothing of it.

Contract 2.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from api_shim.web.csv_cells import not_a_formula


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return objects of one type as CSV.

    Args:
        rows: the objects, as JSON answers them.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows(rows[:1])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping) and "object_type" in value:
        value = value.get("display", value.get("id"))
    elif isinstance(value, Mapping) and value.keys() == {"value", "label"}:
        value = value["value"]
    elif isinstance(value, Mapping | list):
        value = json.dumps(value)
    return not_a_formula(value) if isinstance(value, str) else value
