"""The MCP server: tools by which assistants find Jobs, ask for runs of them, and read what came of that."""
