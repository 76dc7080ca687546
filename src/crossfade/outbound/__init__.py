"""What the engine asks of the machine: clock, ids, randomness, telemetry. host.py alone reads clocks and randomness."""
