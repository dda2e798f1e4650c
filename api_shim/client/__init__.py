"""The Python API: every call is described once, and carried out over HTTP or within the server."""
