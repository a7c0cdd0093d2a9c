"""Intervals: known limits, and how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from napari_impartial.core.review.intervals import (
    Interval,
    count_interval,
    effective_size,
    share_interval,
)


@pytest.mark.parametrize(("x", "n"), [(38, 40), (3, 17), (20, 40)])
def test_share_interval_is_the_mid_p_interval_of_the_binomial(x, n):
    found = share_interval(x / n, n)

    def mid_p(p):
        return stats.binom.sf(x, n, p) + stats.binom.pmf(x, n, p) / 2

    assert mid_p(found.low) == pytest.approx(0.025, abs=1e-6)
    assert mid_p(found.high) == pytest.approx(0.975, abs=1e-6)
    assert found.value == x / n


def test_share_interval_at_the_ends():
    assert share_interval(1.0, 40).high == 1
    # Half of the probability of 40 of 40 is 2.5 %.
    assert share_interval(1.0, 40).low == pytest.approx(0.05 ** (1 / 40))
    assert share_interval(0.0, 40) == Interval(0, 0, pytest.approx(1 - 0.05 ** (1 / 40)))
    assert share_interval(0.7, np.inf) == Interval(0.7, 0.7, 0.7)
    assert share_interval(0.0, 0) == Interval(0, 0, 1)


def test_count_interval_of_unweighted_events_is_the_mid_p_interval_of_poisson():
    found = count_interval(4, 4, 1)

    def mid_p(mean):
        return stats.poisson.sf(4, mean) + stats.poisson.pmf(4, mean) / 2

    assert mid_p(found.low) == pytest.approx(0.025, abs=1e-6)
    assert mid_p(found.high) == pytest.approx(0.975, abs=1e-6)
    assert count_interval(0, 0, 25).high == pytest.approx(-np.log(0.05) * 25)
    assert count_interval(0, 0, 25).low == 0
    assert count_interval(7, 0, 0) == Interval(7, 7, 7)


def test_effective_size():
    # In proportion: as a simple random sample, and more telling as less is left.
    assert effective_size(np.array([10, 30]), np.array([10**8, 3 * 10**8])) == pytest.approx(40)
    assert effective_size(np.array([10, 30]), np.array([20, 60])) == pytest.approx(80)
    # Two of the large stratum and ten of the small one: hardly more than the two.
    assert effective_size(np.array([2, 10]), np.array([9000, 1000])) == pytest.approx(2.5, abs=0.1)
    assert effective_size(np.array([5]), np.array([5])) == np.inf
    assert effective_size(np.array([0]), np.array([5])) == 0


@pytest.mark.parametrize("n", [15, 40])
def test_share_interval_holds_the_truth_as_often_as_it_says(n):
    found = [share_interval(x / n, n) for x in range(n + 1)]
    low, high = np.array([[one.low, one.high] for one in found]).T
    shares = np.linspace(0.5, 0.999, 200)[:, None]
    likely = stats.binom.pmf(np.arange(n + 1), n, shares)
    covered = (likely * ((low <= shares) & (shares <= high))).sum(axis=1)
    assert covered.min() > 0.92
    assert 0.95 < covered.mean() < 0.98
