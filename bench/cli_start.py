"""How long the command line takes to say something: medians of processes, printed, never asserted.

Usage: cli_start.py [RUNS]     beside each command, the same interpreter doing nothing.
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "crossfade --version": [sys.executable, "-m", "crossfade", "--version"],
    "crossfade --help": [sys.executable, "-m", "crossfade", "--help"],
    "crossfade rollout --help": [sys.executable, "-m", "crossfade", "rollout", "--help"],
    "crossfade ask --help": [sys.executable, "-m", "crossfade", "ask", "--help"],
    "crossfade config show": [sys.executable, "-m", "crossfade", "config", "show"],
    "crossfade inbox ls (no hub)": [sys.executable, "-m", "crossfade", "inbox", "ls", "--url", "http://127.0.0.1:9"],
    "import crossfade.client": [sys.executable, "-c", "import crossfade.client"],
}


def seconds(words: list[str]) -> float:
    """One run."""
    began = time.perf_counter()
    subprocess.run(words, capture_output=True, check=False)
    return time.perf_counter() - began


def main(runs: int) -> None:
    """Run the commands in turn, so that a busy moment is shared by all."""
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, words in COMMANDS.items():
            found[name].append(seconds(words))
    for name, times in found.items():
        middle, worst = statistics.median(times) * 1000, max(times) * 1000
        print(f"{name:30} median {middle:5.0f} ms   worst {worst:5.0f} ms   n {runs}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
