"""Layers of a planted crowd: each is one file that plants one kind of rows in bulk, and the truth counts it apart.

A new layer is a function in a file of its own, its name in `LAYERS`, what is true of it in `demo/truth.py`, and a check
in `demo/checks.py` that asks the product's own report.
"""

from __future__ import annotations

from typing import Final

from demo.layers import bought, came, given, guided, people, wrote
from demo.layers.ground import Ground, Layer, member_no

__all__ = ["LAYERS", "Ground", "Layer", "member_no"]

LAYERS: Final[tuple[Layer, ...]] = (
    people.plant,
    came.plant,
    guided.plant,
    bought.plant,
    bought.give_points,
    bought.place_in_tiers,
    given.plant,
    wrote.plant,
)
