"""What control groups leave is read from files as the kernel writes them, of both versions, up to the root."""

import math
from pathlib import Path

import pytest

from crossfade.fleet.load import feasible
from crossfade.fleet.load.groups import Leave, leave

MIB = 1_048_576


def told(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n", "utf-8")


def of_version_2(tmp_path: Path, path: str, root: str = "/") -> Path:
    """The folder of /proc for a process in the group ``path``, with the groups under ``tmp_path``."""
    told(tmp_path / "proc", {
        "cgroup": f"0::{path}",
        "mountinfo": f"24 1 0:22 / /proc rw - proc proc rw\n31 23 0:28 {root} {tmp_path}/all rw - cgroup2 none rw",
    })  # fmt: skip
    return tmp_path / "proc"


def test_the_smallest_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    proc = of_version_2(tmp_path, "/outer/inner")
    told(tmp_path / "all" / "outer", {
        "memory.max": str(500 * MIB), "memory.current": str(100 * MIB), "memory.stat": "anon 5\ninactive_file 0",
        "pids.max": "60", "pids.current": "20", "cpu.max": "50000 100000",
    })  # fmt: skip
    told(tmp_path / "all" / "outer" / "inner", {
        "memory.max": "max", "memory.current": str(10 * MIB), "memory.stat": "", "pids.max": "max",
        "pids.current": "3", "cpu.max": "max 100000",
    })  # fmt: skip
    assert leave(proc) == Leave(memory_mib=400.0, tasks=40, cores=0.5)
    told(
        tmp_path / "all" / "outer" / "inner", {"memory.max": str(50 * MIB), "pids.max": "13", "cpu.max": "20000 100000"}
    )
    assert leave(proc) == Leave(memory_mib=40.0, tasks=10, cores=0.2)


def test_pages_of_files_can_be_had_back_and_nothing_is_left_of_a_limit_that_is_passed(tmp_path: Path) -> None:
    proc = of_version_2(tmp_path, "/one")
    stat = f"inactive_file {50 * MIB}\nactive_file {20 * MIB}"
    told(tmp_path / "all" / "one", {"memory.max": str(100 * MIB), "memory.current": str(90 * MIB), "memory.stat": stat})
    assert leave(proc).memory_mib == 80.0
    told(tmp_path / "all" / "one", {"memory.current": str(300 * MIB)})
    assert leave(proc).memory_mib == 0.0


def test_a_container_that_sees_its_own_group_as_the_root_is_read_there(tmp_path: Path) -> None:
    proc = of_version_2(tmp_path, "/docker/abc", root="/docker/abc")
    told(tmp_path / "all", {"pids.max": "30", "pids.current": "10"})
    assert leave(proc).tasks == 20


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    lines = [
        f"3{at} 31 0:2 / {tmp_path}/{name} rw - cgroup cgroup rw,{name}" for at, name in enumerate(("memory", "pids"))
    ]
    told(tmp_path / "proc", {
        "cgroup": "9:name=systemd:/x\n8:pids:/p\n4:memory:/m\n1:cpu,cpuacct:/c\n0::/",
        "mountinfo": "\n".join([*lines, f"41 31 0:3 / {tmp_path}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"]),
    })  # fmt: skip
    told(tmp_path / "memory", {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": str(9 * MIB)})
    told(tmp_path / "memory" / "m", {
        "memory.limit_in_bytes": str(100 * MIB), "memory.usage_in_bytes": str(90 * MIB),
        "memory.stat": f"inactive_file 0\ntotal_inactive_file {30 * MIB}\ntotal_active_file 0",
    })  # fmt: skip
    told(tmp_path / "pids" / "p", {"pids.max": "7", "pids.current": "5"})
    told(tmp_path / "cpu,cpuacct" / "c", {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000"})
    assert leave(tmp_path / "proc") == Leave(memory_mib=40.0, tasks=2, cores=1.5)
    told(tmp_path / "cpu,cpuacct" / "c", {"cpu.cfs_quota_us": "-1"})
    told(tmp_path / "pids" / "p", {"pids.max": "max"})
    told(tmp_path / "memory" / "m", {"memory.limit_in_bytes": "9223372036854771712"})
    assert leave(tmp_path / "proc") == Leave()


def test_where_there_are_no_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert leave(tmp_path) == Leave()
    assert leave(of_version_2(tmp_path, "/gone")) == Leave()


def test_this_machine_has_no_more_than_its_groups_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasible, "leave", lambda: Leave(memory_mib=7.5, tasks=4, cores=0.25))
    found = feasible.of_this_machine()
    assert (found.free_mib, found.tasks, found.cores) == (7.5, 4, 0.25)
    monkeypatch.setattr(feasible, "leave", Leave)
    assert feasible.of_this_machine().free_mib > 7.5
    assert math.isinf(feasible.of_this_machine().tasks)
