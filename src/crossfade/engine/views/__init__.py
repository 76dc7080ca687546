"""Views: what people and agents read, folded from the log by engine/projector.py. Nothing here decides."""
