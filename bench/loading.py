"""Runs of ``crossfade load`` as a program of its own: what it prints with --json, and where it is not sound."""

import asyncio
import json
import sys


async def loaded(*words):
    """The object of one run. Exits, with what the run said, if something was lost, doubled or cut short."""
    said = f"crossfade load {' '.join(words)}"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crossfade", "load", *words, "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    if child.returncode != 0:
        raise SystemExit(f"{said}: exit code {child.returncode}\n{(out + err).decode()[-2_000:]}")
    found = json.loads(out)
    p99, waited = found["answer_ms"]["p99"], found["hub_waited"] or 0.0
    print(f"  {said}: p99 {p99:g} ms, the hub waited {waited:.0%}", file=sys.stderr, flush=True)
    return found
