"""The HTTP API under /v1, one module a noun; table.py lists every route, and dispatch and OpenAPI both read it."""
