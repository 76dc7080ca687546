"""Implementations of the log: in memory, and in one SQLite file.

Both promise what ``engine.ports.Log`` says and store the same rows with the same chain; one contract
test holds them to it. Nothing here knows what an event means: payloads are bytes.
"""
