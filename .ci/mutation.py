"""The share of mutants that the tests kill, by package, from ``mutmut results --all true``; fails below the floor."""

import sys
from collections import Counter

FLOOR = 85.0

found: dict[str, Counter[str]] = {}
for line in sys.stdin:
    name, _, status = line.strip().rpartition(": ")
    if name:
        found.setdefault(".".join(name.split(".")[:2]), Counter())[status] += 1
low = False
for package, counts in sorted(found.items()):
    share = 100 * (counts["killed"] + counts["timeout"]) / counts.total()
    low |= share < FLOOR
    print(f"{package}: {share:.1f} % of {counts.total()} mutants killed; {dict(counts)}")
sys.exit(low or not found)
