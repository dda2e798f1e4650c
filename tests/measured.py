"""How much a metric has grown: other tests of the process count too."""

from __future__ import annotations

from api_shim.metrics import REGISTRY


class Measured:
    """One sample of a metric, from now on.

    Args:
        name: of the sample.
        labels: its labels.
    """

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels
        self._before = self._value()

    def _value(self) -> float:
        return REGISTRY.get_sample_value(self._name, self._labels) or 0.0

    def more(self) -> float:
        """Return by how much it has grown."""
        return round(self._value() - self._before, 6)
