"""The table of Prefect's routes that read."""

from __future__ import annotations

import pytest

from api_shim.web.prefect_reads import (
    ARTIFACT,
    DEPLOYMENT,
    FLOW,
    NO_SETTINGS,
    QUEUE,
    READS,
    RUN,
    RUNS,
    SOCKET,
    Rule,
    Simple,
    needs_write,
    rule_for,
)

ID = "6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab"


@pytest.mark.parametrize(
    ("method", "path", "rule", "parameter"),
    [
        ("GET", f"/api/flow_runs/{ID}", RUN, ID),
        ("HEAD", f"/api/flow_runs/{ID}/", RUN, ID),
        ("GET", f"/api/flow_runs/{ID}/input/schema", RUN, ID),
        ("GET", "/api/flow_runs/filter", RUN, "filter"),
        ("POST", "/api/flow_runs/filter/", RUNS, ""),
        ("GET", f"/api/deployments/{ID}/schedules", DEPLOYMENT, ID),
        ("GET", "/api/flows/name/x y", FLOW, "x y"),
        ("GET", "/api/artifacts/report/latest", ARTIFACT, "report"),
        ("POST", "/api/events/count-by/day", Simple.EVENTS, "day"),
        ("GET", "/api/version", Simple.OPEN, ""),
        ("GET", "/api/variables/name/x", Simple.VIEW, "x"),
        (SOCKET, "/api/logs/out", Simple.STREAMED, ""),
        ("OPTIONS", "/api/admin/settings", Simple.OPEN, ""),
        ("GET", "/api/something/new", Simple.ALL, ""),
        ("GET", "/api", Simple.ALL, ""),
        ("GET", "/API/flow_runs/filter", Simple.ALL, ""),
        ("GET", "/api/block_documents/something/new", Simple.WRITE, ""),
        ("POST", "/api/block_documents/something/new", Simple.WRITE, ""),
        ("HEAD", "/api/admin/settings/", NO_SETTINGS, ""),
        ("GET", "/api/admin/settings/new", Simple.WRITE, ""),
        ("PATCH", "/api/admin/settings", Simple.WRITE, ""),
        ("GET", "/api/work_pools/default/queues/urgent", QUEUE, "default"),
        ("POST", "/api/something/new", None, ""),
        ("POST", "/api/flow_runs/", None, ""),
        (SOCKET, "/api/events/in", None, ""),
        (SOCKET, "/api/events/out/x", None, ""),
    ],
)
def test_the_rule_of_a_request(method: str, path: str, rule: Rule | None, parameter: str) -> None:
    assert rule_for(method, path) == (rule, parameter)
    assert needs_write(method, path) is (rule in (None, Simple.WRITE))


def test_a_queue_is_told_by_its_names_alone_to_who_may_not_view_it() -> None:
    told = QUEUE.answer("/api/work_pools/default/queues/urgent")
    assert (told["work_pool_name"], told["name"]) == ("default", "urgent")
    assert told.keys() - {"work_pool_name", "name"} == QUEUE.rest.keys()


def test_every_row_is_found_by_its_own_path() -> None:
    for (method, path), rule in READS.items():
        assert rule_for(method, f"/api/{path.replace('{}', ID)}")[0] == rule, path
