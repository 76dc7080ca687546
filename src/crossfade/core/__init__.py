"""Pure: commands to events, events to state. Imports msgspec and a few pure standard modules, nothing else."""
