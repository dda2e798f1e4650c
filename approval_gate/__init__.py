"""Knows when a run may go: the policy, the admission of runs, and the gate inside a run."""
