"""Peers side by side: the same job (ask, deliver, answer, durable) on the hub and on peers from PyPI, in one run.

    python -m bench.peers.run [--rounds 5] [--seconds 2] [--pairs 16] [--environments build/peers] [--json]

Each peer is installed, pinned, into a virtual environment of its own (made on first use, kept in --environments);
none is a dependency of this project. Rounds are interleaved and rotate; servers on processor 0, load on processor 1.
Ratios are taken within each round. A peer that cannot be installed or run is said so.
"""

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from bench.found import Found, Ratio
from bench.targets import CALLS, Target, end, load, names_of, reachable, start_ours
from crossfade.fleet.supervisor import HubProcess, free_port

HERE = Path(__file__).resolve().parent
SERVING = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
PINS = {
    "fastmcp": ("fastmcp==4.1.2", "apsw==3.54.1.0", "msgspec", *SERVING),
    "a2a": ("a2a-sdk[http-server,sqlite]==1.3.0", *SERVING),
}
OWN_CALLS = {"a2a": HERE / "a2a_calls.py"}
"""Load programs of peers that do not speak MCP."""


def environment(name, folder):
    """The interpreter of a peer's environment; made if it is not there."""
    place = folder / name
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        print(f"installing {', '.join(PINS[name])}", file=sys.stderr, flush=True)
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PINS[name]], check=True, timeout=600)
        (place / "complete").touch()
    return python


async def start_peer(name, python, folder, names, children):
    port = free_port()
    tokens = [secrets.token_urlsafe(32) for _ in names]
    (folder / "tokens.json").write_text(json.dumps(dict(zip(tokens, names, strict=True))))
    more = () if name == "a2a" else ("--tokens", str(folder / "tokens.json"))
    options = ("--port", str(port), "--data", str(folder / name), *more)
    child = await asyncio.create_subprocess_exec(str(python), str(HERE / f"{name}_hub.py"), *options)
    children.append(child)
    await reachable(port)
    return Target(name, port, child.pid, tokens)


async def rounds(targets, chosen, names):
    """Server → one measurement a round."""
    found = {target.name: [] for target in targets}
    work = {"kind": "trips", "seconds": chosen.seconds, "connections": chosen.pairs, "revision": "2026-07-28"}
    for number in range(chosen.rounds):
        shift = number % len(targets)
        for target in targets[shift:] + targets[:shift]:
            one = await load(target, work | {"names": names}, OWN_CALLS.get(target.name, CALLS))
            found[target.name].append(one)
    return found


def summary(found, missing):
    """Ratios only: a peer's own figures belong to nobody's machine."""
    ratios = []
    for name in (name for name in found if name != "ours"):
        pairs = list(zip(found["ours"], found[name], strict=True))
        rate, cpu = (a["per_s"] / b["per_s"] for a, b in pairs), (b["cpu_us"] / a["cpu_us"] for a, b in pairs)
        ratios.append(Ratio(name=f"ours / {PINS[name][0]}, by rate", each=tuple(rate)))
        ratios.append(Ratio(name=f"ours / {PINS[name][0]}, by CPU", each=tuple(cpu)))
    said = tuple(f"{PINS[name][0]} could not be run: {why}" for name, why in missing.items())
    return Found(ratios=tuple(ratios), said=said)


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--environments", type=Path, default=HERE.parents[1] / "build" / "peers")
    chosen = parser.parse_args()
    names = names_of(chosen.pairs)
    chosen.environments.mkdir(parents=True, exist_ok=True)
    children, missing = [], {}
    with tempfile.TemporaryDirectory(prefix="crossfade-peers-", dir=chosen.environments) as place:
        hub = HubProcess(Path(place) / "ours")
        try:
            targets = [await start_ours(hub, names)]
            for name in PINS:
                try:
                    python = environment(name, chosen.environments)
                    targets.append(await start_peer(name, python, Path(place), names, children))
                except (subprocess.SubprocessError, SystemExit) as fault:
                    missing[name] = str(fault)
            for target in targets:
                target.pin(0)
            found = await rounds(targets, chosen, names)
        finally:
            await hub.stop()
            await end(children)
    summary(found, missing).show(as_json=chosen.json)


if __name__ == "__main__":
    asyncio.run(main())
