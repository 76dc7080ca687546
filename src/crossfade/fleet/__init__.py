"""Simulated agents and the demo: they reach the hub over the wire, through the client or the official MCP client."""
