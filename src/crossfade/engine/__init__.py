"""The asyncio shell around the core: append, project, wait, perform effects.

No I/O of its own; ports.py is its view of the world.
"""
