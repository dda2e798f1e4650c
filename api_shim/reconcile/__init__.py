"""Makes Prefect be as the store says; every step may be repeated."""
