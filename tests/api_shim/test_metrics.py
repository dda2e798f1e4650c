"""The metrics: what they are called, that they name nobody, and what a commit adds to them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api_shim import background, metrics
from api_shim.domain.model import Status
from api_shim.metrics import (
    HTTP_REQUESTS,
    MISSED,
    REGISTRY,
    REQUESTS,
    Gauge,
    counting_refused_requests,
    decided,
    exposition,
)
from api_shim.store import Store
from approval_gate.errors import Forbidden
from tests.factories import make_job, make_result, make_user
from tests.measured import Measured

LABELS: dict[str, set[str]] = {
    "signoff_http_request_seconds": {"part", "status"},
    "signoff_requests": {"outcome"},
    "signoff_decision_age_seconds": {"outcome"},
    "signoff_admissions": {"verdict"},
    "signoff_lateness_seconds": set(),
    "signoff_runs": {"status"},
    "signoff_missed_firings": set(),
    "signoff_projection_lag_seconds": set(),
    "signoff_repairs": {"repair"},
    "signoff_refusals": {"act"},
}
"""What each metric is told apart by; all of it comes from the code, and nothing from people."""

GAUGES = {
    "signoff_approval_queue_length",
    "signoff_approval_queue_oldest_age_seconds",
    "signoff_runs_in_progress",
    "signoff_projection_waiting",
    "signoff_prefect_up",
}
"""What is read when somebody asks; ``services/test_gauges.py`` says what."""


def test_every_metric_is_listed_with_its_labels() -> None:
    own = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("signoff_")}
    assert own == LABELS.keys()
    names = REGISTRY._names_to_collectors
    found = {name: {*getattr(names.get(name) or names[f"{name}_total"], "_labelnames", ())} for name in own}
    assert found == LABELS


def test_names_are_as_prometheus_has_them() -> None:
    for metric in REGISTRY.collect():
        if metric.name.startswith("signoff_"):
            assert re.fullmatch(r"signoff(_[a-z]+)+", metric.name)
            assert metric.documentation.endswith(".")
            assert metric.type == "counter" or metric.name.endswith("_seconds")


def test_all_is_told_in_prometheus_format() -> None:
    HTTP_REQUESTS.labels("api", "2xx").observe(0.2)
    gauges = [
        Gauge("signoff_prefect_up", "Whether Prefect answers.", {"": 1.0}),
        Gauge("signoff_runs_in_progress", "Runs.", {"pending": 2, "started": 0}, "status"),
    ]
    told = {family.name: family for family in text_string_to_metric_families(exposition(gauges).decode())}
    assert {*LABELS, "signoff_prefect_up", "signoff_runs_in_progress", "process_resident_memory_bytes"} <= told.keys()
    assert [(sample.labels, sample.value) for sample in told["signoff_runs_in_progress"].samples] == [
        ({"status": "pending"}, 2.0),
        ({"status": "started"}, 0.0),
    ]


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "rolled back"])
def test_what_a_transaction_does_counts_once_it_is_committed(sqlite_store: Store, commits: bool) -> None:
    user, job = make_user(), make_job()
    result = make_result(job, user)
    measured = Measured("signoff_runs_total", status="success")
    more = Measured("signoff_missed_firings_total")
    with nullcontext() if commits else pytest.raises(Forbidden), sqlite_store.transaction() as tx:
        tx.add(user)
        tx.add(job)
        tx.add(result)
        ended = tx.change(result, status=Status.SUCCESS)
        tx.change(ended, worker="elsewhere")
        tx.afterwards(MISSED.inc)
        assert (measured.more(), more.more()) == (0, 0)
        if not commits:
            raise Forbidden("No.")
    assert (measured.more(), more.more()) == ((1, 1) if commits else (0, 0))


def test_a_firing_that_is_recorded_as_over_counts_too(sqlite_store: Store) -> None:
    user, job = make_user(), make_job()
    measured = Measured("signoff_runs_total", status="revoked")
    with sqlite_store.transaction() as tx:
        tx.add(user)
        tx.add(job)
        tx.add(make_result(job, user, status=Status.REVOKED))
    assert measured.more() == 1


def test_decisions_count_by_what_was_decided_and_how_old_the_request_was() -> None:
    quick = Measured("signoff_decision_age_seconds_bucket", outcome="denied", le="60.0")
    days = Measured("signoff_decision_age_seconds_bucket", outcome="denied", le="259200.0")
    decided("denied", timedelta(days=2))
    assert (quick.more(), days.more()) == (0, 1)


def test_a_refused_request_counts_and_is_refused() -> None:
    measured = Measured("signoff_requests_total", outcome="refused")
    with counting_refused_requests():
        REQUESTS.labels("held")
    with pytest.raises(Forbidden), counting_refused_requests():
        raise Forbidden("No.")
    assert measured.more() == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("signoff_repairs_total", {"repair": background.DEPLOYMENT}),
        ("signoff_repairs_total", {"repair": "start again"}),
        ("signoff_refusals_total", {"act": "sign-in.refused"}),
        ("signoff_runs_total", {"status": "failure"}),
    ],
)
def test_what_has_not_happened_yet_is_told_so_that_the_first_time_is_seen(name: str, labels: dict[str, str]) -> None:
    assert REGISTRY.get_sample_value(name, labels) is not None


# What is made of them


MONITORING = Path(metrics.__file__).parent / "monitoring"
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]


def told_names() -> set[str]:
    """Return the names of all samples that there can be."""
    counters = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    found = {f"{metric.name}{end}" for metric in REGISTRY.collect() for end in counters.get(metric.type, ())}
    return found | GAUGES


@pytest.mark.parametrize("expression", [each["expr"] for each in (*RULES, *TARGETS)])
def test_alerts_and_the_dashboard_ask_for_what_is_told(expression: str) -> None:
    # Prometheus tells by itself what it cannot read.
    asked = re.findall(r"\b(?:signoff|process)_[a-z_]+|^up\b", expression)
    assert asked
    assert {*asked} <= told_names() | {"up"}
    labels = {name for each in re.findall(r"by \(([a-z, ]+)\)", expression) for name in each.split(", ")}
    assert labels <= {"le", "kind", *(label for each in LABELS.values() for label in each)}


@pytest.mark.parametrize("expression", [each["expr"] for each in (*RULES, *TARGETS)])
def test_alerts_and_the_dashboard_join_by_labels_that_they_name(expression: str) -> None:
    # Without that, both sides need the same labels, and where they have not there is never anything.
    assert not re.search(r"\b(?:and|or|unless)\b(?!\s+on\s*\()", expression)


def test_alerts_say_what_is_wrong_and_how_much_it_matters() -> None:
    for rule in RULES:
        assert rule["annotations"]["summary"].endswith((".", ")."))
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_promtool_accepts_the_alerts() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here")
    done = subprocess.run(
        [promtool, "check", "rules", MONITORING / "alerts.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_has_a_place_for_each_panel() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    taken = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len({*taken}) == len(taken)
    assert all(at["x"] + at["w"] <= 24 for at in places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
