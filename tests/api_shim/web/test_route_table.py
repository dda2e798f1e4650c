"""Which row of a table of Prefect's routes stands for a request."""

from __future__ import annotations

import pytest

from api_shim.web.route_table import RouteTable

TABLE = RouteTable(
    {
        ("GET", "flow_runs/{}"): "one",
        ("GET", "flow_runs/count"): "count",
        ("POST", "flow_runs/{}/input/{}"): "input",
        ("POST", "a.b"): "dotted",
    }
)


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        pytest.param("GET", "/api/flow_runs/7", ("one", "7"), id="the parameter is told"),
        pytest.param("GET", "/api/flow_runs/7/", ("one", "7"), id="a slash at the end"),
        pytest.param("GET", "/api/flow_runs/count", ("count", ""), id="what has none comes first"),
        pytest.param("POST", "/api/flow_runs/7/input/k", ("input", "7"), id="the first of two"),
        pytest.param("GET", "/api/flow_runs/7/8", (None, ""), id="a parameter is one segment"),
        pytest.param("GET", "/api/flow_runs//", (None, ""), id="and not empty"),
        pytest.param("PUT", "/api/flow_runs/7", (None, ""), id="another method"),
        pytest.param("POST", "/api/axb", (None, ""), id="a dot is a dot"),
        pytest.param("GET", "/flow_runs/7", (None, ""), id="another place"),
    ],
)
def test_a_request_finds_its_row(method: str, path: str, found: tuple[str | None, str]) -> None:
    assert TABLE.find(method, path) == found
