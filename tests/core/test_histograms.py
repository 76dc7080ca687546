"""Histograms: exact at the edges that promises are made of, right to 1 % elsewhere, the same after any merge."""

import itertools
import math
import random
from importlib.util import module_from_spec, spec_from_file_location

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core import histograms
from crossfade.core.histograms import BUCKETS, EDGES, EXACT_MS, GRID, GridError, Histogram, merged, read

VALUES = st.one_of(
    st.floats(0, 1e6, allow_nan=False),
    st.sampled_from([edge * part for edge in EXACT_MS for part in (1.0, math.nextafter(1, 0), math.nextafter(1, 2))]),
)


@pytest.mark.requirement("P16")
@given(st.lists(VALUES, max_size=60), st.integers(1, 6), st.randoms(use_true_random=False))
def test_exceed_counts_are_exact_after_any_merge_order(values, many, dice):
    parts = [Histogram() for _ in range(many)]
    for value in values:
        dice.choice(parts).add(value)
    while len(parts) > 1:
        dice.shuffle(parts)
        into, other = parts.pop(), parts.pop()
        into.merge(read(msgspec.json.decode(msgspec.json.encode(other.compact()))))
        parts.append(into)
    for edge in EXACT_MS:
        assert parts[0].above(edge) == sum(value > edge for value in values)
    assert parts[0].n == len(values)


def test_quantiles_are_right_to_one_percent():
    dice = random.Random(1)
    values = sorted(dice.lognormvariate(math.log(40), 0.8) for _ in range(20_000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for part in (0.001, 0.5, 0.95, 0.99, 0.999, 1.0):
        assert histogram.quantile(part) == pytest.approx(values[max(0, math.ceil(part * len(values)) - 1)], rel=0.01)


def test_another_histogram_says_the_same():
    dice = random.Random(2)
    ours, theirs = Histogram(), HdrHistogram(1, 60_000_000, 3)
    for _ in range(20_000):
        value = round(dice.lognormvariate(math.log(40), 0.8), 3)
        ours.add(value)
        theirs.record_value(int(value * 1000))
    for part in (0.5, 0.95, 0.99, 0.999):
        assert ours.quantile(part) == pytest.approx(theirs.get_value_at_percentile(part * 100) / 1000, rel=0.012)


def test_the_grid_is_what_its_id_says():
    """A change of one edge is another grid: it gets another id, or old events mean something else."""
    assert GRID == "log1.02+slo/1"
    assert BUCKETS == len(EDGES) + 1 == 913
    assert list(EDGES) == sorted(set(EDGES))
    assert set(EXACT_MS) < set(EDGES)
    assert max(high / low for low, high in itertools.pairwise(EDGES)) <= 1.02 * (1 + 1e-9)
    assert math.fsum(EDGES).hex() == "0x1.d841c234ad6a3p+24"


def test_the_grid_is_the_same_whenever_it_is_computed():
    spec = spec_from_file_location(histograms.__name__, histograms.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.EDGES == EDGES


OTHER = f"the histogram is of the grid 'log1.05/1'; this version reads {GRID!r}"
ODD = "the buckets of a histogram rise, lie on the grid, and hold something"


@pytest.mark.parametrize(
    ("compact", "said"),
    [
        (("log1.05/1", ((3, 1),)), OTHER), ((GRID, ((3, 1), (2, 1))), ODD), ((GRID, ((3, 1), (3, 1))), ODD),
        ((GRID, ((-1, 1),)), ODD), ((GRID, ((BUCKETS, 1),)), ODD), ((GRID, ((3, 0),)), ODD),
        ((GRID, ((3, -1),)), ODD), ("nonsense", "this is no histogram: Expected `array`, got `str`"),
        ((GRID,), "this is no histogram: Expected `array` of length 2, got 1"),
    ],
)  # fmt: skip
def test_what_is_no_histogram_of_this_grid_is_refused(compact, said):
    with pytest.raises(GridError) as caught:
        read(compact)
    assert str(caught.value) == said


def test_the_last_bucket_of_the_grid_and_the_first_are_read():
    assert read((GRID, ((0, 1), (BUCKETS - 1, 2)))).counts == {0: 1, BUCKETS - 1: 2}


def test_a_histogram_is_equal_to_one_with_the_same_counts_alone():
    one, other = Histogram({3: 1}), Histogram({3: 2})
    assert one == Histogram({3: 1})
    assert one != other
    assert one != {3: 1}


def test_a_quantile_of_few_is_the_value_that_enough_do_not_exceed():
    histogram = Histogram()
    for value in (10.0, 100.0, 1000.0):
        histogram.add(value)
    found = [histogram.quantile(part) for part in (0.0, 0.33, 0.34, 0.5, 0.66, 0.67, 1.0)]
    assert found == pytest.approx([10, 10, 100, 100, 100, 1000, 1000], rel=0.01)


def test_the_compact_form_comes_back():
    histogram = Histogram()
    for value in (0, 0.005, 50, 51, 51, 299.9, 1e9):
        histogram.add(value)
    assert read(histogram.compact()) == histogram
    assert read(histogram.compact()).n == 7
    assert merged([histogram, histogram]).above(50.0) == 8
    assert Histogram().quantile(0.5) is None


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_time_is_not_counted(value):
    with pytest.raises(ValueError, match="no time"):
        Histogram().add(value)


def test_an_edge_that_is_not_exact_is_not_offered():
    with pytest.raises(ValueError, match="no exact edge; they are 50, 100, 200, 300, 500, 1000"):
        Histogram().above(250.0)
