"""Load: thousands of simulated agents on real sockets, in processes of their own, and the account of what came of it.

The parent process (run.py) refuses what cannot be met, starts the hub and the load processes, watches and
reconciles; a load process (worker.py) holds the agents. Callbacks instead of tasks: an agent is a few hundred
bytes and a request costs the client a fraction of what it costs the hub, so that the hub is what is measured.
"""
