"""The web server: authentication, the REST API, the pages, and the proxy to Prefect."""
