"""Power and the smallest gain that can be shown, against enumeration and against the test itself on simulated cases."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from eval.clusters import design_effect
from eval.compare import mcnemar_exact, sign_flip
from eval.power import detectable_effect, forecast_power


def brute_power(n, gain, discordant):
    total = 0.0
    for pairs in range(n + 1):
        rate = min(1.0, (1 + gain / discordant) / 2)
        found = sum(
            stats.binom.pmf(fixed, pairs, rate)
            for fixed in range(pairs + 1)
            if fixed > pairs - fixed and mcnemar_exact(fixed, pairs - fixed) <= 0.05
        )
        total += stats.binom.pmf(pairs, n, discordant) * found
    return total


@pytest.mark.parametrize(("n", "discordant"), [(12, None), (30, None), (33, 0.4), (40, 0.3)])
def test_detectable_effect_is_exact(n, discordant):
    effect = detectable_effect(n, discordant)
    assert brute_power(n, effect, discordant or effect) >= 0.8
    assert forecast_power(n, effect, discordant) == pytest.approx(brute_power(n, effect, discordant or effect))
    smaller = effect - 2e-4
    assert brute_power(n, smaller, discordant or smaller) < 0.8


def test_detectable_effect_known_values():
    assert detectable_effect(5) == math.inf  # five cases can never reach p < .05
    assert detectable_effect(6) == pytest.approx(0.8 ** (1 / 6), abs=2e-4)  # all six must be fixed
    assert detectable_effect(10, discordant=0.2) == math.inf
    # About 10 points with 155 pairs of which 20 % change, 5 points with 626.
    assert detectable_effect(155, discordant=0.2) == pytest.approx(0.104, abs=1e-3)
    assert detectable_effect(626, discordant=0.2) == pytest.approx(0.051, abs=1e-3)
    assert detectable_effect(0) == math.inf


def test_power_of_clusters_is_what_their_test_finds():
    sizes, shares, icc = [12, 9, 8] + [5] * 15 + [1] * 6, np.array([0.35, 0.1, 0.55]), 0.3
    n = sum(sizes)
    forecast = forecast_power(n, 0.25, 0.45, sizes=sizes, icc=icc)
    rng, found = np.random.default_rng(8), 0
    for _ in range(1000):
        # Each case is of its cluster's kind with probability sqrt(icc), else of its own: the same icc, another law.
        kind, nets = rng.choice(3, size=len(sizes), p=shares), []
        for size, own in zip(sizes, kind, strict=True):
            alike = rng.binomial(size, math.sqrt(icc))
            fixed, broken, _ = rng.multinomial(size - alike, shares)
            nets.append(int(fixed + alike * (own == 0)) - int(broken + alike * (own == 1)))
        found += sign_flip(nets).p < 0.05 and sum(nets) > 0
    assert abs(forecast - found / 1000) < 0.05
    assert 0.2 < forecast < 0.95


def test_power_falls_as_cases_grow_alike_and_rises_with_cases():
    sizes = (5,) * 20
    powers = [forecast_power(100, 0.2, 0.3, sizes=sizes, icc=icc) for icc in (0.0, 0.2, 0.5, 1.0)]
    assert powers == sorted(powers, reverse=True) and powers[0] - powers[-1] > 0.3
    assert powers[0] == pytest.approx(forecast_power(100, 0.2, 0.3), abs=0.06)
    # Cases that are one are one: twenty, not a hundred.
    assert powers[-1] == pytest.approx(forecast_power(20, 0.2, 0.3), abs=0.04)
    assert forecast_power(100, 0.0, 0.3) < 0.025 < forecast_power(100, 0.1, 0.3) < forecast_power(200, 0.1, 0.3)


def test_detectable_effect_of_clusters():
    sizes = (5,) * 20
    alone, alike = (detectable_effect(100, 0.4, sizes=sizes, icc=icc) for icc in (0.0, 0.5))
    assert alone == pytest.approx(detectable_effect(100, 0.4), abs=0.02)
    assert alike > alone * 1.4
    # About as many as the design effect says, where clusters are even and moderately alike.
    worth = round(100 / design_effect(sizes, 0.1))
    assert detectable_effect(100, 0.4, sizes=sizes, icc=0.1) == pytest.approx(detectable_effect(worth, 0.4), abs=0.03)
    assert forecast_power(100, alike, 0.4, sizes=sizes, icc=0.5) >= 0.8
    assert detectable_effect(100, sizes=(20,) * 5) == math.inf  # five clusters can never reach p < .05


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gain": 0.3, "discordant": 0.2}, "gain"),
        ({"gain": 0.2, "sizes": [5, 4]}, "sum to 9"),
        ({"gain": 0.2, "sizes": [5, 5], "icc": 2.0}, "icc"),
    ],
)
def test_what_cannot_be_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        forecast_power(10, **given)


def test_the_page_on_proof_tells_what_so_many_cases_can_show():
    page = (Path(__file__).parents[1] / "docs" / "proof.md").read_text(encoding="utf-8")
    for n in (6, 10, 20, 40, 60, 100, 200):
        effects = [detectable_effect(n, discordant) for discordant in (None, 0.3, 0.5)]
        assert f"| {n} | {' | '.join('none' if math.isinf(e) else f'{e * 100:.1f}' for e in effects)} |" in page
