"""The one origin: who calls, the REST API, the pages, and Prefect behind them."""
