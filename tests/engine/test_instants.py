"""How instants read: ISO 8601 in UTC with all six digits of the microseconds."""

from datetime import UTC, datetime, timedelta

import pytest

from crossfade.core.values import Instant
from crossfade.engine.views.instants import iso

SECONDS = 1_790_000_000
"""In September 2026."""


@pytest.mark.parametrize("microseconds", [0, 1, 99, 12_345, 100_000, 999_999])
@pytest.mark.parametrize("nanoseconds", [0, 999])
def test_an_instant_has_six_digits_behind_the_second_and_what_is_smaller_is_cut_off(
    microseconds: int, nanoseconds: int
) -> None:
    instant = Instant((SECONDS * 1_000_000 + microseconds) * 1_000 + nanoseconds)
    read = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=SECONDS, microseconds=microseconds)
    assert iso(instant) == f"{read:%Y-%m-%dT%H:%M:%S.%f}Z"
