"""Translates a wire request into one call of the hub and back. Decides nothing; imports the engine and the core."""
