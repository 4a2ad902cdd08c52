"""How often the intervals of rates of labels hold, as a table: ``python benchmarks/label_rates.py`` (half a minute)."""

from __future__ import annotations

import numpy as np

from evenhand.analysis.label_rates import proportion

DESIGNS = ((24, 8, 0.0), (24, 8, 0.2), (24, 8, 0.6), (7, 3, 0.3), (6, 3, 0.8), (40, 1, 0.0))


def coverage(share: float, clusters: int, size: int, correlation: float, studies: int = 600) -> tuple[float, float]:
    """Share of the 95 % intervals that hold the truth, and their mean width, both in percent."""
    rng = np.random.default_rng(1)
    names = np.repeat(np.arange(clusters), size).astype(str)
    held, widths = [], []
    for _ in range(studies):
        of_cluster = np.full(clusters, share)
        if correlation:
            weight = (1 - correlation) / correlation
            of_cluster = rng.beta(share * weight, (1 - share) * weight, clusters)
        hits = (rng.random(clusters * size) < np.repeat(of_cluster, size)).astype(float)
        low, high = proportion(hits, list(names))[1]
        held.append(low <= share <= high)
        widths.append(high - low)
    return 100 * float(np.mean(held)), 100 * float(np.mean(widths))


def main() -> None:
    print("| share | clusters | items in each | correlation | intervals that hold | mean width |")
    print("|---|---|---|---|---|---|")
    for share in (0.02, 0.1, 0.5):
        for clusters, size, correlation in DESIGNS:
            held, width = coverage(share, clusters, size, correlation)
            print(f"| {share:.0%} | {clusters} | {size} | {correlation} | {held:.1f} % | {width:.0f} points |")


if __name__ == "__main__":
    main()
