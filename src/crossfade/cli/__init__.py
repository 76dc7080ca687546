"""The command line: arguments to verbs and back. Imported lazily, so that ``--version`` stays instant."""
