"""The colleagues of a large fashion brand beside its guides, guides who left or changed stores, rules that changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.hashers import make_password

from accounts.models import RoleGrant, StaffUser
from accounts.roles import DataScope, Role
from accounts.services import grant_role
from accounts.tenancy import brand_scope
from demo.brands import PASSWORD
from demo.more_stores import LEAVERS, person
from guides.models import Assignment, Guide
from guides.services import hand_over
from loyalty.models import EarnRule
from loyalty.services import activate_rule, save_rule
from stores.models import Region, RegionGrant, Store, StoreGrant

GUIDES: Final = 320  # who stay; those who leave have the numbers after theirs
MOVED: Final = range(101, 110)  # nine of them work in another store now
WHOLE: Final = ((Role.MARKETER, 6), (Role.SERVICE_DESK, 4), (Role.AUDITOR, 1))
# Rules by name and kind, and each version: since how many days, and what it says. The last of all holds from now on.
VERSIONS: Final = (
    ("完善资料", "profile", ((180, {"points": 50}), (120, {"points": 80}), (60, {"points": 100}))),
    ("到店签到", "visit", ((60, {"points": 15, "limit_period": "DAY", "limit_points": 15}),)),
    ("首单有礼", "first_purchase", ((0, {"points": 300, "from_fen": 10_000}),)),
)


def hire_leaders(brand_id: int, slug: str, at: datetime) -> None:
    """Give every store a manager, every region a head, and head office its people, where nobody is that yet."""
    with brand_scope(brand_id):
        hashed, number = make_password(PASSWORD), 600
        managed = set(StoreGrant.objects.filter(grant__role=Role.STORE_MANAGER).values_list("store_id", flat=True))
        for store in Store.objects.exclude(pk__in=managed).order_by("pk"):
            number += 1
            grant = _hire(f"{slug}-manager-{store.code.lower()}", number, hashed, Role.STORE_MANAGER, at)
            StoreGrant.objects.get_or_create(grant=grant, store=store)
        headed = set(RegionGrant.objects.filter(grant__role=Role.REGION_MANAGER).values_list("region_id", flat=True))
        for region in Region.objects.exclude(pk__in=headed).order_by("pk"):
            number += 1
            grant = _hire(f"{slug}-region-{region.pk}", number, hashed, Role.REGION_MANAGER, at)
            RegionGrant.objects.get_or_create(grant=grant, region=region)
        for role, many in WHOLE:
            for each in range(RoleGrant.objects.filter(role=role).count(), many):
                number += 1
                _hire(f"{slug}-{role.lower().replace('_', '-')}-{each + 1}", number, hashed, role, at)


def _hire(username: str, number: int, hashed: str, role: Role, at: datetime) -> RoleGrant:
    defaults = {"name": person(number), "password": hashed}
    user, _made = StaffUser.objects.get_or_create(username=username, defaults=defaults)
    scope = DataScope.STORES if role in (Role.STORE_MANAGER, Role.REGION_MANAGER) else DataScope.BRAND
    grant: RoleGrant = grant_role(staff_user=user, role=role, scope=scope)
    RoleGrant.objects.filter(pk=grant.pk).update(created_at=at)
    return grant


def move_staff(brand_id: int, prefix: str, at: datetime) -> None:
    """Let guides leave, whose people go to a colleague of their store, and others change to the next store."""
    with brand_scope(brand_id):
        leaving = [f"{prefix}{number:04d}" for number in range(GUIDES + 1, GUIDES + LEAVERS + 1)]
        for guide in Guide.objects.filter(staff_no__in=leaving, is_active=True).order_by("pk"):
            others = Guide.objects.filter(store_id=guide.store_id, is_active=True).exclude(staff_no__in=leaving)
            people = Assignment.objects.filter(guide=guide, until=None).order_by("member_id")
            ids = list(people.values_list("member_id", flat=True))
            hand_over(member_ids=ids, guide=others.order_by("pk")[0], reason="离职交接", at=at)
            guide.is_active = False
            guide.save(update_fields=["is_active"])
        stores = list(Store.objects.filter(is_active=True).order_by("code").values_list("pk", flat=True))
        for guide in Guide.objects.filter(staff_no__in=[f"{prefix}{number:04d}" for number in MOVED]).order_by("pk"):
            theirs = Guide.objects.get(staff_no=f"{prefix}{int(guide.staff_no[-4:]) + 100:04d}").store_id
            if theirs in stores and guide.store_id != theirs:
                guide.store_id = theirs
                guide.save(update_fields=["store_id"])


def change_rules(brand_id: int, at: datetime) -> None:
    """Let three rules have changed over time."""
    with brand_scope(brand_id):
        if EarnRule.objects.filter(name=VERSIONS[0][0]).exists():
            return
        for name, kind, versions in VERSIONS:
            rule = EarnRule.objects.filter(name=name).first() or EarnRule(name=name, kind=kind)
            for days, params in versions:
                rule.draft = dict(params)
                rule = save_rule(rule=rule, at=at - timedelta(days=days))
                activate_rule(rule_id=rule.pk, at=at - timedelta(days=days))
                rule.refresh_from_db()
