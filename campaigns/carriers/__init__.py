"""Carriers: the ways a campaign's messages travel. One file each; it registers itself and passes the shared tests."""

from __future__ import annotations

from campaigns.carriers.contract import Addressee, Carrier, FieldInfo, Problem, Unrenderable, carriers

__all__ = ["Addressee", "Carrier", "FieldInfo", "Problem", "Unrenderable", "carriers"]
