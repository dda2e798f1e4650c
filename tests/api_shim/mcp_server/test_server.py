"""Which tools the MCP server has."""

from __future__ import annotations

import asyncio

from fastmcp import Client

from api_shim.client.async_client import AsyncShim
from api_shim.mcp_server.server import create_server
from api_shim.mcp_server.tools import READS, WRITES, Tools

DECIDING = ("approve", "deny", "assume", "transfer", "grant", "permission", "token", "user")


def test_there_is_no_tool_that_decides() -> None:
    async def listed() -> dict[str, bool]:
        # What everybody has is there although nobody answers.
        async with Client(create_server(lambda: AsyncShim("http://127.0.0.1:9", "0" * 40))) as client:
            tools = await client.list_tools()
            return {tool.name: bool(tool.annotations and tool.annotations.read_only_hint) for tool in tools}

    assert asyncio.run(listed()) == {**dict.fromkeys(READS, True), **dict.fromkeys(WRITES, False)}
    own = {name for name in vars(Tools) if not name.startswith("_")}
    assert own == {*READS, *WRITES}
    assert not any(word in name for name in own for word in DECIDING)
