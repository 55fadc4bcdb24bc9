"""Do the proof's numbers hold? Comparisons of known truth, simulated: false alarms, coverage, power, the usual ways.

    python benchmarks/proof_statistics.py [--quick] [--out proof_statistics.json]

(Not called statistics.py: beside other scripts that would hide the standard library's module of that name.)

Each data set is a table of cases that are right in both arms, only after (fixed), only before (broken) or in neither.
Related cases: in half of the data sets a cluster's shares of these are Dirichlet, in the other half each case takes its
cluster's kind with probability sqrt(icc), else a kind of its own; in both any two cases of a cluster correlate by icc.
Uneven clusters: the largest holds five to ten times the mean. `ours` calls what `eval.prove` calls. Beside it, on the
same data: a z test of two unpaired rates, and a percentile bootstrap over cases. All figures are per cent, +- is twice
the standard error of the simulation.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from eval.compare import mcnemar_exact, paired_interval, sign_flip
from eval.power import forecast_power

Array = np.ndarray[Any, Any]

# Shares of cases right in both, fixed, broken, right in neither.
KINDS = {
    "nothing": (0.30, 0.15, 0.15, 0.40),
    "gain": (0.20, 0.25, 0.05, 0.50),
    "most fixed": (0.10, 0.80, 0.02, 0.08),
    "few fixed": (0.00, 0.10, 0.00, 0.90),
    "guard -5": (0.92, 0.01, 0.06, 0.01),
}
DESIGNS = ((30, 15), (60, 20), (200, 40), (400, 30), (400, 80))
MARGIN = 0.05


class Scenario(NamedTuple):
    """One kind of truth, and how the cases hang together."""

    kind: str
    n: int
    clusters: int
    uneven: bool
    icc: float

    @property
    def sizes(self) -> Array:
        """Cases of each cluster."""
        if not self.uneven:
            return np.full(self.clusters, self.n // self.clusters) + (np.arange(self.clusters) < self.n % self.clusters)
        weight = 1 / np.arange(1, self.clusters + 1) ** 0.8
        sizes = np.maximum(1, np.floor(weight / weight.sum() * self.n)).astype(int)
        sizes[0] += self.n - sizes.sum()
        return sizes

    @property
    def change(self) -> float:
        """The true change of the pass rate."""
        return KINDS[self.kind][1] - KINDS[self.kind][2]


def scenarios(quick: bool) -> Iterator[Scenario]:
    """Unrelated cases, then clusters of every size and likeness."""
    for kind in KINDS:
        for n in (30, 100, 400) if quick else (30, 60, 100, 200, 400):
            yield Scenario(kind, n, n, False, 0.0)
        for n, clusters in DESIGNS[1::2] if quick else DESIGNS:
            for uneven in (False, True):
                for icc in (0.0, 0.6) if quick else (0.0, 0.1, 0.3, 0.6):
                    yield Scenario(kind, n, clusters, uneven, icc)


def draw(scene: Scenario, runs: int, drawn: np.random.Generator) -> Array:
    """(runs, clusters, 4) counts of both, fixed, broken, neither."""
    shares, sizes = np.array(KINDS[scene.kind]), scene.sizes
    if not scene.icc:
        return drawn.multinomial(sizes, np.broadcast_to(shares, (runs, len(sizes), 4)))
    half = runs // 2
    own = drawn.dirichlet(np.maximum(shares, 1e-9) * (1 / scene.icc - 1), size=(half, len(sizes)))
    first = drawn.multinomial(sizes, own)
    kind = drawn.choice(4, p=shares, size=(runs - half, len(sizes)))
    alike = drawn.binomial(sizes, np.sqrt(scene.icc), size=kind.shape)
    second = drawn.multinomial(sizes - alike, shares)
    np.put_along_axis(second, kind[..., None], np.take_along_axis(second, kind[..., None], 2) + alike[..., None], 2)
    return np.concatenate([first, second])


def p_of(table: Array) -> float:
    """The primary p of `eval.prove`."""
    if table.sum() == len(table):
        return mcnemar_exact(int(table[:, 1].sum()), int(table[:, 2].sum()))
    return sign_flip([int(net) for net in table[:, 1] - table[:, 2]]).p


def interval_of(table: Array) -> tuple[float, float]:
    """The interval of `eval.prove`."""
    cells = np.repeat(np.tile(np.arange(4), len(table)), table.ravel())
    groups = np.repeat(np.arange(len(table)), table.sum(axis=1)).astype(str)
    return paired_interval(np.isin(cells, (0, 2)), np.isin(cells, (0, 1)), groups.tolist())


def z_tests(tables: Array) -> Array:
    """(runs,) two-sided p of a z test of two unpaired rates (pooled variance)."""
    both, fixed, broken, _ = np.moveaxis(tables.sum(axis=1), -1, 0)
    n = tables[0].sum()
    pooled = (2 * both + fixed + broken) / (2 * n)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * 2 / n, 1e-12))
    return 2 * stats.norm.sf(np.abs(fixed - broken) / n / error)


def bootstraps(tables: Array, drawn: np.random.Generator) -> tuple[Array, Array]:
    """(runs,) limits of a 95 % percentile bootstrap that draws cases, 1,000 times."""
    totals = tables.sum(axis=1)
    n = int(totals[0].sum())
    low, high = np.empty(len(totals)), np.empty(len(totals))
    for at, total in enumerate(totals):
        again = drawn.multinomial(n, total / n, size=1000)
        low[at], high[at] = np.quantile((again[:, 1] - again[:, 2]) / n, [0.025, 0.975])
    return low, high


def measure(scene: Scenario, runs: int, with_intervals: int, seed: int) -> dict[str, Any]:
    """What ours and the usual ways claim of this scenario."""
    drawn = np.random.default_rng(seed)
    tables = draw(scene, runs, drawn)
    change, up = scene.change, (tables[..., 1] - tables[..., 2]).sum(axis=1) > 0
    row: dict[str, Any] = scene._asdict() | {"change": change, "runs": runs, "with_intervals": with_intervals}
    boot_low, boot_high = bootstraps(tables, drawn)
    if scene.kind in ("nothing", "gain"):
        p = np.array([p_of(table) for table in tables])
        row["improved"] = float(((p < 0.05) & up).mean())
        row["changed"] = float((p < 0.05).mean())
        z = z_tests(tables) < 0.05
        row |= {"z_improved": float((z & up).mean()), "bootstrap_improved": float((boot_low > 0).mean())}
    if scene.kind == "gain":
        sizes = None if scene.clusters == scene.n else scene.sizes.tolist()
        shares = KINDS["gain"]
        row["forecast"] = forecast_power(scene.n, change, shares[1] + shares[2], sizes=sizes, icc=scene.icc)
    limits = np.array([interval_of(table) for table in tables[:: runs // with_intervals][:with_intervals]])
    row["covers"] = float(((limits[:, 0] <= change + 1e-9) & (limits[:, 1] >= change - 1e-9)).mean())
    row["width"] = float((limits[:, 1] - limits[:, 0]).mean())
    row["bootstrap_covers"] = float(((boot_low <= change + 1e-9) & (boot_high >= change - 1e-9)).mean())
    if scene.kind == "guard -5":
        row["excluded"] = float((limits[:, 0] > -MARGIN + 1e-9).mean())
        row["bootstrap_excluded"] = float((boot_low > -MARGIN + 1e-9).mean())
    return row


def regression_to_the_mean(runs: int, cases: int = 200) -> dict[str, float]:
    """Cases logged because they failed once, a model that passes each by its own chance, and no treatment at all."""
    drawn = np.random.default_rng(7)
    told = {"fixed": 0.0, "before_after": 0.0, "z": 0.0, "ours": 0.0}
    for _ in range(runs):
        chance = drawn.beta(0.5, 1.5, size=cases)
        failed = chance[drawn.random(cases) > chance]
        control, treated = drawn.random((2, len(failed))) < failed
        fixed, broken = int((treated & ~control).sum()), int((control & ~treated).sum())
        again, n = int(treated.sum()), len(failed)
        told["fixed"] += again / n
        told["before_after"] += mcnemar_exact(again, 0) < 0.05
        pooled = again / (2 * n)
        told["z"] += again / n > stats.norm.isf(0.025) * np.sqrt(max(pooled * (1 - pooled), 1e-12) * 2 / n)
        told["ours"] += mcnemar_exact(fixed, broken) < 0.05 and fixed > broken
    return {key: value / runs for key, value in told.items()}


def several_samples(runs: int, cases: int = 40) -> list[dict[str, float]]:
    """k samples a case: the share that passes by sign flips (ours) against the majority by McNemar's test."""
    drawn = np.random.default_rng(11)
    rows = []
    for k in (1, 3, 5):
        for shift in (0.0, 0.15):
            ours = majority = inside = 0
            for at in range(runs):
                old = drawn.beta(0.6, 1.4, size=cases)
                # Whoever would fail passes with the shift, so that every rate rises by shift * (1 - rate).
                new = old + shift * (1 - old)
                before, after = drawn.binomial(k, old), drawn.binomial(k, new)
                nets = [Fraction(int(y) - int(x), k) for x, y in zip(before, after, strict=True)]
                ours += sign_flip(nets).p < 0.05 and after.sum() > before.sum()
                x, y = before * 2 > k, after * 2 > k
                majority += mcnemar_exact(int((y & ~x).sum()), int((x & ~y).sum())) < 0.05 and y.sum() > x.sum()
                if at < runs // 4:
                    low, high = paired_interval(before / k, after / k)
                    inside += low <= shift * 0.7 <= high  # the mean of old is 0.3
            rows.append(
                {"k": k, "gain": shift * 0.7, "ours": ours / runs, "majority": majority / runs,
                 "covers": inside / (runs // 4)}
            )  # fmt: skip
    return rows


def percent(row: dict[str, Any], key: str) -> str:
    """A share as per cent, blank where the scenario has none."""
    return f"{row[key] * 100:6.1f}" if key in row else f"{'':6}"


COLUMNS = (
    ("improved", "improved"),
    ("changed", "either way"),
    ("z_improved", "z: improved"),
    ("bootstrap_improved", "boot: improved"),
    ("forecast", "forecast"),
    ("covers", "covers"),
    ("bootstrap_covers", "boot: covers"),
    ("width", "width"),
    ("excluded", "-5 excluded"),
    ("bootstrap_excluded", "boot: -5 excl"),
)


def show(rows: list[dict[str, Any]]) -> None:
    """One line a scenario."""
    print(f"{'truth':10} {'cases':>5} {'clusters':>8} {'sizes':6} {'icc':>4}", *(f"{name:>14}" for _, name in COLUMNS))
    for row in rows:
        related = row["clusters"] < row["n"]
        print(
            f"{row['kind']:10} {row['n']:5} {row['clusters'] if related else '-':>8} "
            f"{('uneven' if row['uneven'] else 'even') if related else '-':6} {row['icc'] if related else '-':>4}",
            *(f"{percent(row, key):>14}" for key, _ in COLUMNS),
        )


def overall(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The claims: the mean and the worst scenario of each, unrelated cases and clusters apart."""
    found: dict[str, Any] = {}
    for name, part in (
        ("unrelated", [row for row in rows if row["clusters"] == row["n"]]),
        ("clusters", [row for row in rows if row["clusters"] < row["n"]]),
    ):
        for key in ("improved", "changed", "z_improved", "bootstrap_improved"):
            values = [row[key] for row in part if row["kind"] == "nothing"]
            found[f"{name}: false {key}"] = spread(values, max, sum(r["runs"] for r in part if r["kind"] == "nothing"))
        for key, runs in (("covers", "with_intervals"), ("bootstrap_covers", "runs")):
            found[f"{name}: {key}"] = spread([row[key] for row in part], min, sum(row[runs] for row in part))
        for key, runs in (("excluded", "with_intervals"), ("bootstrap_excluded", "runs")):
            guard = [row for row in part if row["kind"] == "guard -5"]
            found[f"{name}: false {key}"] = spread([row[key] for row in guard], max, sum(row[runs] for row in guard))
        off = [abs(row["forecast"] - row["improved"]) for row in part if row["kind"] == "gain"]
        found[f"{name}: forecast off by"] = spread(off, max, 0)
    return found


def spread(values: list[float], worst: Callable[[list[float]], float], runs: int) -> dict[str, float]:
    """Mean, worst, and twice the standard error of the mean."""
    mean = float(np.mean(values))
    return {"mean": mean, "worst": worst(values), "error": 2 * float(np.sqrt(mean * (1 - mean) / runs)) if runs else 0}


def main() -> None:
    """Simulate, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer scenarios and data sets: under a minute")
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    given = parser.parse_args()
    runs, with_intervals = (300, 60) if given.quick else (1000, 400)
    start = time.process_time()
    rows = [
        # A power of a half is known less well than an error of 5 %.
        measure(scene, runs * (2 if scene.kind == "gain" else 1), with_intervals, seed)
        for seed, scene in enumerate(scenarios(given.quick))
    ]
    show(rows)
    few, many = (200 * np.sqrt(0.05 * 0.95 / size) for size in (with_intervals, runs))
    print(f"\n+- {few:.1f} for ours' intervals, +- {many:.1f} for the rest, where the truth is 5 or 95.\n")
    print(f"{'overall':36} {'mean':>7} {'+-':>5} {'worst scenario':>15}")
    summary = overall(rows)
    for name, figure in summary.items():
        print(f"{name:36} {figure['mean'] * 100:7.1f} {figure['error'] * 100:5.1f} {figure['worst'] * 100:15.1f}")
    flaky = regression_to_the_mean(200 if given.quick else 2000)
    print(
        f"\nNothing done, cases picked because they failed once, asked again: {flaky['fixed'] * 100:.0f} % are 'fixed'."
        f"\nClaims of improvement: before against after {flaky['before_after'] * 100:.1f}, by a z test "
        f"{flaky['z'] * 100:.1f}, ours against a replayed control {flaky['ours'] * 100:.1f}."
    )
    sampled = several_samples(200 if given.quick else 1000)
    print("\n40 cases, k samples each: improved by the share that passes (ours), by the majority; interval covers")
    for row in sampled:
        shares = " ".join(f"{name} {row[name] * 100:5.1f}" for name in ("ours", "majority", "covers"))
        print(f"k = {row['k']}, gain {row['gain'] * 100:4.1f} points: {shares}")
    seconds = time.process_time() - start
    print(f"\n{sum(row['runs'] for row in rows):,} data sets, {seconds:.0f} s of one core")
    if given.out:
        result = {"scenarios": rows, "overall": summary, "regression_to_the_mean": flaky, "samples": sampled,
                  "seconds": seconds}  # fmt: skip
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
