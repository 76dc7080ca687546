"""No power cut, disk error, full disk or flipped bit makes the log break its word; and the harness can tell."""

import json
import os
import random
import subprocess
import sys

import pytest

from tests.kit.tree import ROOT
from tests.powerloss.disk import Contents, Disk
from tests.powerloss.folder import Folder, under

pytestmark = pytest.mark.requirement("P26")


def powerloss(*words):
    done = subprocess.run(
        [sys.executable, "-m", "tests.powerloss", *words], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["violations"] else 0)
    return found


@pytest.mark.slow
def test_what_was_acknowledged_survives_every_fault_of_the_disk():
    found = powerloss("--cases", "1500", "--flips", "500", "--seed", "100000")
    assert found["first"] == []
    assert sum(found["seen"].values()) == 2_000
    assert all(found["seen"][kind] > 50 for kind in ("cut", "twice", "error", "full", "unsynced"))
    assert found["seen"]["noticed by the checkpoint"] > 50, "the end of a log is lost without a trace in the log itself"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "seed", "cases", "flips", "says"),
    [
        ("normal", 0, 200, 0, "had reached"),
        ("late", 0, 200, 0, "had reached"),
        ("names", 0, 200, 0, "had reached"),
        ("index", 500, 0, 2_000, "nobody noticed"),
        ("forgets", 0, 0, 300, "was acknowledged and is gone"),
        ("phantom", 0, 2_000, 0, "does not open"),
        ("phantom-named", 0, 600, 0, "does not open"),
        ("phantom-torn", 0, 2_000, 0, "had reached"),
    ],
)
def test_the_harness_finds_what_is_planted(fault, seed, cases, flips, says):
    found = powerloss("--cases", str(cases), "--flips", str(flips), "--seed", str(seed), "--plant", fault)
    assert found["violations"] > 0
    assert says in " ".join(found["first"])


@pytest.mark.slow
def test_the_folder_of_snapshots_survives_every_fault_of_the_disk():
    found = powerloss("--cases", "0", "--shelves", "800", "--seed", "100000")
    assert found["first"] == []
    assert sum(found["seen"].values()) == 800
    assert all(found["seen"][f"shelf {kind}"] > 50 for kind in ("cut", "twice", "error", "full", "flip"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("shelf-unsynced", "was put away"),
        ("shelf-unhashed", "is believed that was never put away"),
        ("shelf-short", "was put away"),
        ("shelf-nameless", "was put away"),
    ],
)
def test_the_harness_finds_what_is_planted_in_the_folder_of_snapshots(fault, says):
    found = powerloss("--cases", "0", "--shelves", "400", "--plant", fault)
    assert found["violations"] > 0
    assert says in " ".join(found["first"])


@pytest.mark.slow
def test_a_case_of_the_folder_of_snapshots_is_its_seed():
    words = ("--cases", "0", "--plant", "shelf-unsynced", "--processes", "1")
    line = powerloss(*words, "--shelves", "20")["first"][-1]
    seed = line.split()[1].rstrip(":")
    assert powerloss(*words, "--shelves", "1", "--seed", seed)["first"] == [line]


@pytest.mark.slow
def test_a_case_is_its_seed():
    one = powerloss("--plant", "normal", "--cases", "60", "--processes", "1")
    line = one["first"][0]
    seed = line.split()[1].rstrip(":")
    again = powerloss("--plant", "normal", "--cases", "1", "--seed", seed)
    assert again["first"] == [line]


def test_the_disk_forgets_what_was_not_synced_and_only_that():
    images = set()
    for seed in range(200):
        disk = Disk()
        contents = disk.files["a"] = Contents(b"x" * 1024)
        contents.pending.append((512, b"y" * 512))
        images.add(bytes(disk.after_cut(random.Random(seed)).files["a"].seen))
    assert {b"x" * 1024, b"x" * 512 + b"y" * 512} <= images
    assert all(image[:512] == b"x" * 512 for image in images)
    assert len(images) > 2, "now and then a sector is garbage"


def written(path, *, synced, content=b"y" * 512):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, content)
    if synced:
        os.fsync(descriptor)
    os.close(descriptor)


def test_the_disk_forgets_names_that_were_not_synced_and_only_those(tmp_path):
    root, seen = tmp_path / "before", set()
    root.mkdir()
    (root / "there").write_bytes(b"x")
    disk = Folder(root)
    with under(disk):
        written(root / "a", synced=True)
        (root / "a").rename(root / "b")
        (root / "there").unlink()
    for seed in range(100):
        left = disk.after_cut(random.Random(seed), tmp_path / "after")
        seen.add(tuple(sorted(path.name for path in left.files)))
    assert {("b",), ("a", "there"), ("a", "b"), ()} <= seen
    with under(disk):
        written(root / "c", synced=True)
        folder = os.open(root, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        written(root / "c.later", synced=False)
    for seed in range(20):
        left = disk.after_cut(random.Random(seed), tmp_path / "after")
        assert {path.name for path in left.files} in ({"b", "c"}, {"b", "c", "c.later"})
        assert (tmp_path / "after" / "c").read_bytes() == b"y" * 512
