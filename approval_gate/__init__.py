"""The approval rules: who may do what, when a run is admitted, and the gate inside a run."""
