"""No power cut, disk error, full disk or flipped bit makes the log break its word; and the harness can tell."""

import json
import random
import subprocess
import sys

import pytest

from tests.kit.tree import ROOT
from tests.powerloss.disk import Contents, Disk

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
    assert all(found["seen"][kind] > 50 for kind in ("cut", "twice", "error", "full"))
    assert found["seen"]["noticed by the checkpoint"] > 50, "the end of a log is lost without a trace in the log itself"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "seed", "cases", "says"),
    [
        ("normal", 0, 200, "had reached"),
        ("late", 0, 200, "had reached"),
        ("names", 0, 200, "had reached"),
        ("index", 0, 0, "was not noticed"),
        ("phantom", 15_000, 1_000, "does not open"),
    ],
)
def test_the_harness_finds_what_is_planted(fault, seed, cases, says):
    found = powerloss("--cases", str(cases), "--flips", "400", "--seed", str(seed), "--plant", fault)
    assert found["violations"] > 0
    assert says in " ".join(found["first"])


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
