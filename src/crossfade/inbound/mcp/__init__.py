"""The MCP endpoint: our own transport for three protocol revisions, and the eight tools it carries.

``endpoint.McpEndpoint`` is the ASGI app. It reads a request (``wire``), finds out who asks
(``identity``) and hands it to the era that its revision belongs to: ``handshake`` (2025) or
``envelope`` (2026). Both run tools through ``seam.ToolSet``; neither knows what a question is.
"""
