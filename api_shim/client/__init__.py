"""The Python client: each operation is defined once, and runs over HTTP or in the server's own process."""
