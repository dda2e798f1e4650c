"""``signoff mcp``: the tools of agents over standard input and output, for programs that start it themselves."""

from __future__ import annotations

from importlib.util import find_spec

from api_shim.cli.remote import Insecure, Url, read_token
from api_shim.client.async_client import AsyncShim
from api_shim.client.transport import HERE
from api_shim.mcp_server.door import NOT_INSTALLED
from approval_gate.errors import Unavailable


def mcp(url: Url = HERE, insecure: Insecure = False) -> None:
    """Serve the tools of an agent by the Model Context Protocol, over standard input and output.

    It calls the server at --url with your token, and may do what that may; no tool approves anything.

    The same tools are at /signoff/mcp of the server, by streamable HTTP.

    Example: signoff mcp --url https://signoff.example.com
    """
    if find_spec("fastmcp") is None:
        raise Unavailable(NOT_INSTALLED)
    # Imported here, because it takes seconds, and need not be installed.
    from api_shim.mcp_server.server import create_server

    token = read_token(url)
    # What cannot be reached with it is said before anything is served.
    AsyncShim(url, token, insecure=insecure)
    create_server(lambda: AsyncShim(url, token, insecure=insecure)).run(transport="stdio", show_banner=False)
