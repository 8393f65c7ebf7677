"""Coupons: what they are issued from, how each of them stands, and everything that happened to it."""

from coupons.models.coupons import Code, CounterCode, Coupon, Move, MoveKind, State, Way
from coupons.models.gifts import Period, TierGift, TierGrant
from coupons.models.purchases import PurchaseGift, PurchaseGrant
from coupons.models.pushes import Outcome, Push, PushPerson, PushState
from coupons.models.scans import ScanGrant
from coupons.models.templates import CodeBatch, Template, TemplateState, TemplateVersion

__all__ = [
    "Code",
    "CodeBatch",
    "CounterCode",
    "Coupon",
    "Move",
    "MoveKind",
    "Outcome",
    "Period",
    "PurchaseGift",
    "PurchaseGrant",
    "Push",
    "PushPerson",
    "PushState",
    "ScanGrant",
    "State",
    "Template",
    "TemplateState",
    "TemplateVersion",
    "TierGift",
    "TierGrant",
    "Way",
]
