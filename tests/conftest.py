"""What every test gets: requirement ids that exist, and a clear word where a part of the machine is missing."""

import shutil

import pytest
from hypothesis import settings

from tests.requirements import AHEAD, PROVEN

PARTS = {"browser": ("chromium", "apt-get install chromium")}
"""Marker to the program it needs and how to get it."""


# How long one example takes is a matter of the machine. CI has a profile of its own, which says so too.
settings.register_profile("patient", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse unknown requirement ids; skip, aloud, what this machine cannot run."""
    for item in items:
        for mark in item.iter_markers("requirement"):
            unknown = [identifier for identifier in mark.args if identifier not in PROVEN | AHEAD]
            if unknown or not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: no such requirement {unknown}; see tests/requirements.py")
        for marker, (program, remedy) in PARTS.items():
            if item.get_closest_marker(marker) and not shutil.which(program):
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed; try: {remedy}"))
