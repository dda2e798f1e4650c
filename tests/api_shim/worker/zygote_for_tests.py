"""The fork server with another engine, and without Prefect, which takes its time to import."""

from __future__ import annotations

from api_shim.worker import prefect_run, prefect_zygote

prefect_run.ENGINE = "tests.api_shim.worker.engine_for_tests"
prefect_zygote.preload = lambda _certificates: None

if __name__ == "__main__":
    prefect_zygote.main()
