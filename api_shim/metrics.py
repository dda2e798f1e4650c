"""The metrics, for Prometheus: what this process has done since it started, and what it finds when it is asked.

* Names follow Prometheus' conventions: ``signoff_…``, base units, ``_total`` for what only grows.
* Labels have few values, and all of them stand in the code: none names a user, a Job, an address or an id.
* What a transaction does is counted once it is committed (``Transaction.afterwards``).
* Each process tells its own; what is in the store every server of it tells alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api_shim.domain.audit import EventType
from api_shim.domain.model import Status
from approval_gate.errors import GateError

REGISTRY = CollectorRegistry()
"""Of ours alone: libraries may have metrics of their own in the one that everybody shares."""

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

HOUR, DAY = 3600.0, 86400.0

HTTP_REQUESTS = Histogram(
    "signoff_http_request_seconds",
    "How long HTTP requests took until they were answered, by what was asked and the class of the status.",
    ["part", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
REQUESTS = Counter(
    "signoff_requests",
    "Requests to run a Job: started, scheduled, held until somebody decides, or refused.",
    ["outcome"],
    registry=REGISTRY,
)
DECISIONS = Histogram(
    "signoff_decision_age_seconds",
    "How long requests had waited when they were approved, denied or withdrawn, or expired.",
    ["outcome"],
    buckets=(60, 300, 900, HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY),
    registry=REGISTRY,
)
ADMISSIONS = Counter(
    "signoff_admissions", "Answers to runs that asked whether they may go.", ["verdict"], registry=REGISTRY
)
LATENESS = Histogram(
    "signoff_lateness_seconds",
    "How long after its time a run was let go: after its nominal time, or its request or approval if that is later.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, HOUR),
    registry=REGISTRY,
)
RUNS = Counter(
    "signoff_runs", "Runs that have ended, and firings that were passed over.", ["status"], registry=REGISTRY
)
MISSED = Counter("signoff_missed_firings", "Firings for which no run was there in time.", registry=REGISTRY)
PROJECTION_LAG = Histogram(
    "signoff_projection_lag_seconds",
    "How long it took from a commit until Prefect had followed it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
REPAIRS = Counter(
    "signoff_repairs",
    "What stood differently in Prefect and was mended, by what was done.",
    ["repair"],
    registry=REGISTRY,
)
REFUSALS = Counter("signoff_refusals", "Refused sign-ins, decisions and requests.", ["act"], registry=REGISTRY)


def start_at_zero(counter: Counter, values: Iterable[str]) -> None:
    """Tell of what has not happened yet too: ``increase`` does not see the first event of a series that begins with it.

    Args:
        counter: has one label.
        values: of the label.
    """
    for value in values:
        counter.labels(value)


start_at_zero(RUNS, (status.lower() for status in Status if status.final))
start_at_zero(REFUSALS, (EventType.SIGN_IN_REFUSED, EventType.DECISION_REFUSED, EventType.REQUEST_REFUSED))


@contextmanager
def counting_refused_requests() -> Iterator[None]:
    """Count a request to run a Job that is refused while this is entered."""
    try:
        yield
    except GateError:
        REQUESTS.labels("refused").inc()
        raise


def decided(outcome: str, waited: timedelta) -> None:
    """Count a decision.

    Args:
        outcome: ``approved``, ``denied``, ``withdrawn`` or ``expired``.
        waited: how long the request had waited for it.
    """
    DECISIONS.labels(outcome).observe(waited.total_seconds())


@dataclass(frozen=True, slots=True)
class Gauge:
    """What stands somewhere at a moment.

    Args:
        name: of the metric.
        help: what it tells.
        values: by the value of its label, or by nothing if it has none.
        label: the name of the label.
    """

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""


def exposition(gauges: Iterable[Gauge]) -> bytes:
    """Return all metrics in Prometheus' text format."""
    asked = CollectorRegistry()
    asked.register(_Asked(gauges))
    return generate_latest(REGISTRY) + generate_latest(asked)


class _Asked(Collector):
    """Gauges that were just read."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=[gauge.label] if gauge.label else [])
            for label, value in gauge.values.items():
                family.add_metric([label] if gauge.label else [], value)
            yield family
