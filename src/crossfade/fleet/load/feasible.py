"""Whether this machine can carry a profile: descriptors, ports, memory, processes. Refused before anything starts.

Not whether the hub keeps up: that is what the load finds out. So a limit of processor time is only told.
"""

import ipaddress
import math
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from crossfade.fleet.load.groups import leave
from crossfade.fleet.load.profile import LINES_MAX, Profile, ProfileError

LOOPBACK: Final = "127.0.0.1"
SPARE_DESCRIPTORS: Final = 128
"""Of each process, for logs, journals, pipes and libraries."""
HUB_CONNECTIONS_MAX: Final = 18_000
"""``connections_max`` of a hub started with its defaults."""
HUB_SHARE: Final = 0.9
"""A hub lets connections take this share of its descriptors."""
PORTS_SHARE: Final = 0.9
"""Ports of one source address that may be taken; some linger in TIME_WAIT."""
HUB_KIB_PER_AGENT: Final = 40
CLIENT_KIB_PER_AGENT: Final = 12
FIXED_MIB: Final = 240
"""The hub, two load processes and the one that watches, without agents, and what a hub keeps of its past."""
FIXED_TASKS: Final = 6
"""Threads that we start, whatever is loaded."""
HUB_TASKS: Final = 10
"""The hub, its threads, and the child that folds a snapshot."""
TASKS_PER_PROCESS: Final = 2
"""A load process, and the thread that waits for its end."""
CORES_MIN: Final = 2.0
"""With less the hub and its load take processor time from each other, even on a machine that has more."""
ADDRESS_MIB: Final = 256
"""Address space of a hub without agents, its threads and libraries."""
PROCESSES: Final = 2
AGENTS_MIN: Final = 2


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What there is. ``of_this_machine`` looks; tests make their own."""

    descriptors: int
    """Most that one process may have open."""
    ports: int
    """Ports of one source address."""
    free_mib: float
    """Memory that could be taken; infinite where nobody can say."""
    address_mib: float = math.inf
    """Address space that one process may take."""
    tasks: float = math.inf
    """Processes and threads that may still begin."""
    cores: float = math.inf
    """CPU seconds per second that the hub and its load may use together, where a control group says so."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How the profile is spread."""

    processes: int
    lines: int
    """Shared connections of each process."""
    sources: tuple[str, ...]
    """Addresses to call from; none: whichever the system takes."""
    warnings: tuple[str, ...] = ()
    """What of this machine a reader of the result has to bear in mind."""


def of_this_machine() -> Machine:
    """Look at the limits of this process, of its control groups, and of the kernel."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = 1_000_000 if hard == resource.RLIM_INFINITY else hard
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    address_mib = math.inf if space == resource.RLIM_INFINITY else space / 1_048_576
    left = leave()
    free_mib = min(_free_mib(), left.memory_mib)
    return Machine(
        descriptors=descriptors, ports=_ports(), free_mib=free_mib, address_mib=address_mib,
        tasks=left.tasks, cores=left.cores,
    )  # fmt: skip


def _ports() -> int:
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    except (OSError, ValueError):
        return 16_384  # what IANA set aside, and what other systems use
    return int(high) - int(low) + 1


def _free_mib() -> float:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return math.inf
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable")), math.inf)


def plan(profile: Profile, machine: Machine, host: str, *, own_hub: bool) -> Plan:
    """How to spread the profile over processes and addresses. Raises ProfileError with what to change."""
    if not profile.lines:
        profile = msgspec.structs.replace(profile, lines=_lines(profile, machine, own_hub=own_hub))
    connections = profile.agents + profile.lines
    if profile.sources and host != LOOPBACK:
        raise ProfileError(f"--sources are loopback addresses, and {host} is called from elsewhere", "leave it out")
    room = machine.descriptors - SPARE_DESCRIPTORS
    if room <= 0:
        raise ProfileError(f"{machine.descriptors} descriptors are too few for a load process", "raise `ulimit -n`")
    _hub(profile, machine, connections, own_hub=own_hub)
    processes = profile.processes or min(64, max(PROCESSES, math.ceil(connections / room)))
    if profile.lines < processes:
        raise ProfileError(
            f"{profile.lines} shared connections are fewer than the {processes} load processes that share them",
            f"--connections {processes} or more, or --processes {profile.lines}",
        )
    each = math.ceil(profile.agents / processes) + math.ceil(profile.lines / processes)
    if each > room:
        need = math.ceil(connections / room)
        raise ProfileError(
            f"{profile.agents:,} agents in {processes} processes need {each + SPARE_DESCRIPTORS:,} descriptors each,"
            f" and a process may have {machine.descriptors:,} here",
            f"--processes {need}, fewer --agents, or raise `ulimit -n`",
        )
    sources = _sources(profile, machine, host, connections)
    _memory(profile, machine, own_hub=own_hub)
    _tasks(processes, machine, own_hub=own_hub)
    return Plan(
        processes=processes, lines=profile.lines // processes, sources=sources, warnings=tuple(_scarce(machine))
    )


def _most(machine: Machine) -> int:
    """Connections that a hub of our own holds here."""
    return min(HUB_CONNECTIONS_MAX, int(machine.descriptors * HUB_SHARE))


def _lines(profile: Profile, machine: Machine, *, own_hub: bool) -> int:
    """As many shared connections as fit beside the agents; as many as usual if none do, which is refused then."""
    room = (machine.descriptors - SPARE_DESCRIPTORS) * (profile.processes or 64)
    fit = min(room, _most(machine) if own_hub else room) - profile.agents
    return min(LINES_MAX, fit) if fit >= max(PROCESSES, profile.processes) else LINES_MAX


def _hub(profile: Profile, machine: Machine, connections: int, *, own_hub: bool) -> None:
    most = _most(machine)
    if own_hub and connections > most:
        raise ProfileError(
            f"{profile.agents:,} agents and {profile.lines:,} shared connections are more than"
            f" the {most:,} connections that one hub holds here",
            _fewer(most, profile.lines),
        )


def _fewer(most: int, lines: int) -> str:
    """What to change so that agents and shared connections are at most ``most``."""
    if most - lines >= AGENTS_MIN:
        return f"at most --agents {most - lines}, or several hubs and --url"
    return f"raise `ulimit -n`, or --connections {most // 4} and at most --agents {most - most // 4}"


def _sources(profile: Profile, machine: Machine, host: str, connections: int) -> tuple[str, ...]:
    usable = max(1, int(machine.ports * PORTS_SHARE))
    need = math.ceil(connections / usable)
    if host != LOOPBACK:
        if need > 1:
            raise ProfileError(
                f"{connections:,} connections to {host} need more than the {machine.ports:,} ports of one address",
                "fewer --agents, or widen net.ipv4.ip_local_port_range, or load from several machines",
            )
        return ()
    sources = profile.sources or need
    if sources < need:
        raise ProfileError(
            f"{connections:,} connections need {need} source addresses of {machine.ports:,} ports each,"
            f" not {profile.sources}",
            f"--sources {need}, or fewer --agents",
        )
    first = int(ipaddress.IPv4Address(LOOPBACK))
    return tuple(str(ipaddress.IPv4Address(first + number)) for number in range(sources))


def _memory(profile: Profile, machine: Machine, *, own_hub: bool) -> None:
    space = ADDRESS_MIB + profile.agents * HUB_KIB_PER_AGENT * own_hub / 1024
    if space > machine.address_mib:
        raise ProfileError(
            f"{profile.agents:,} agents need about {space:,.0f} MiB of address space in one process,"
            f" and {machine.address_mib:,.0f} are allowed",
            "raise `ulimit -v`, or fewer --agents",
        )
    each = CLIENT_KIB_PER_AGENT + HUB_KIB_PER_AGENT * own_hub
    fixed = FIXED_MIB + profile.lines * HUB_KIB_PER_AGENT / 1024
    need = fixed + profile.agents * each / 1024
    if need > machine.free_mib:
        fit = int((machine.free_mib - fixed) * 1024 / each)
        raise ProfileError(
            f"{profile.agents:,} agents need about {need:,.0f} MiB of memory, and {machine.free_mib:,.0f} are free",
            (f"at most --agents {fit}, or " if fit >= AGENTS_MIN else "")
            + "free some memory, or raise memory.max of the control group",
        )


def _tasks(processes: int, machine: Machine, *, own_hub: bool) -> None:
    need = FIXED_TASKS + HUB_TASKS * own_hub + TASKS_PER_PROCESS * processes
    if need > machine.tasks:
        raise ProfileError(
            f"{processes} load processes{' and a hub' if own_hub else ''} need about {need} processes and threads,"
            f" and {machine.tasks:.0f} may still begin here",
            "raise pids.max of the control group" + (", or fewer --processes" if processes > PROCESSES else ""),
        )


def _scarce(machine: Machine) -> Iterator[str]:
    if machine.cores < CORES_MIN:
        yield (
            f"the load and what it starts may use {machine.cores:.2f} cores together (cpu.max of the control group):"
            " that may be what was measured"
        )
