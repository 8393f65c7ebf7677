"""Points, tiers and half a year of purchases at a demo brand. All of it is invented."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from accounts.tenancy import brand_scope
from common import clock
from common.divisions import locate
from demo.channels import LOYAL
from demo.notebook import notes
from loyalty import services
from loyalty.earn_rules import Line
from loyalty.models import Benefit, BenefitKind, BirthdayProgramme, EarnRule, FactKind, PointsPolicy, Tier
from loyalty.services import Operation, Report
from loyalty.services.facts import ORDER
from loyalty.services.till import Till
from members.models import Member
from touchpoints.models import Touch, TouchKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from random import Random

BUYERS, LOYAL_BUYERS = 40, 20  # the latter came by the code of the loyal
GUESTS: Final = 3  # who buy without being members: they stand in a stage of their own
SINCE: Final = timedelta(days=180)
TIERS: Final = (
    ("初见", 0, ()),
    ("常来", 2_000, ((BenefitKind.PRICE, 5),)),
    ("知音", 8_000, ((BenefitKind.PRICE, 8), (BenefitKind.FREE_SHIPPING, 0), (BenefitKind.BIRTHDAY, 100))),
    ("座上宾", 30_000, ((BenefitKind.PRICE, 12), (BenefitKind.POINTS, 50), (BenefitKind.EARLY_ACCESS, 24))),
)
RULES: Final = (
    ("消费积分", "spend", {"points": 1, "per_fen": 100}),
    ("首单有礼", "first_purchase", {"points": 200, "from_fen": 10_000}),
    ("到店签到", "visit", {"points": 10, "limit_period": "DAY", "limit_points": 10}),
    ("当季新品双倍", "category", {"points": 1, "per_fen": 100, "codes": "new"}),
)
GOODS: Final = (("LY-1024", "shirts", 89_900), ("LY-2048", "new", 129_900), ("LY-0512", "scarves", 45_900))


# Every second order is sent to somebody; the last two say no place, as happens.
ADDRESSES: Final = (
    "浙江省杭州市西湖区文三路 90 号",
    "江苏省苏州市工业园区星湖街 328 号",
    "上海市浦东新区张杨路 500 号",
    "广东省深圳市南山区科苑路 15 号",
    "北京市朝阳区建国路 93 号",
    "四川省成都市锦江区红星路三段 1 号",
    "浙江省宁波市鄞州区天童南路 568 号",
    "陕西省西安市雁塔区高新四路 13 号",
    "湖北省仙桃市沔阳大道 40 号",
    "香港九龙尖沙咀弥敦道 132 号",
    "朝阳区光华路 8 号",
    "到店自提",
)


def give_points(brand_id: int, chance: Random) -> None:
    """Set tiers and rules up, and let some members have bought, spent, sent back and asked for a correction."""
    at = clock.now()
    with brand_scope(brand_id):
        if Tier.objects.exists():
            return
        notes().ladder = [(name, threshold) for name, threshold, _benefits in TIERS]
        services.set_policy(settings=PointsPolicy(), at=at)
        for name, threshold, benefits in TIERS:
            tier = Tier.objects.create(name=name, threshold=threshold)
            for benefit, value in benefits:
                Benefit.objects.create(tier=tier, kind=benefit, value=value)
        for name, kind, params in RULES:
            rule = services.save_rule(rule=EarnRule(name=name, kind=kind, draft=dict(params)), at=at - SINCE)
            if kind != "category":
                services.activate_rule(rule_id=rule.pk, at=at - SINCE)
        rows = Member.objects.filter(joined_at__isnull=False, merged_into__isnull=True).order_by("pk")
        came = Touch.objects.filter(touchpoint__name=LOYAL, kind=TouchKind.FOLLOW).order_by("member_id")
        loyal = dict(came.values_list("member_id", "at")[:LOYAL_BUYERS])
        strangers = Member.objects.filter(joined_at=None, merged_into=None, subscribed=True).order_by("pk")
        guests = list(strangers.values_list("pk", flat=True)[:GUESTS])
        buyers = [*rows.exclude(pk__in=loyal).values_list("pk", flat=True)[:BUYERS], *loyal]
    number = 0
    with brand_scope(brand_id):
        shop = Shop(buyers, chance)
        for member_id in buyers:
            minutes = int((at - loyal.get(member_id, at - SINCE)).total_seconds() // 60)
            for _purchase in range(min(int(chance.expovariate(0.35)) + 1, 9)):
                number += 1
                when = at - timedelta(minutes=chance.randrange(60, minutes))
                shop.buy(member_id, f"SO{number:05d}", when)
        shop.till.flush()
    with brand_scope(brand_id):
        for each, member_id in enumerate(guests, 1):
            when = at - timedelta(days=20 + each)
            guest = Report("pos", FactKind.PURCHASE, f"SG{each:05d}", when, member_id=member_id, amount=45_900)
            services.record_fact(report=guest, at=when)
            notes().bought(member_id, guest.number, guest.amount, when)
        if buyers:
            services.adjust_points(member_id=buyers[0], points=5_000, reason="门店活动漏发，补 5,000 积分", at=at)
        birthdays = BirthdayProgramme(
            is_on=True, params={"points": 100}, days_before=3, days_after=7, text="生日快乐！{礼遇}已放入您的账户。"
        )
        services.save_birthday_programme(programme=birthdays, at=at)
        services.find_birthdays(at=at)
        services.give_birthdays(at=at)


class Shop:
    """Where some people buy one or two things at a time; what they bought is there after `till.flush()`."""

    def __init__(self, people: Sequence[int], chance: Random) -> None:
        """Open it for these people."""
        self.till = Till(people)
        self._chance = chance
        self._stores = dict(Member.objects.filter(pk__in=people).values_list("pk", "store_id"))

    def buy(self, member_id: int, number: str, at: datetime) -> None:
        """Let somebody buy, and perhaps pay with points or bring something back."""
        chance = self._chance
        lines = tuple(Line(*goods) for goods in chance.sample(GOODS, chance.randrange(1, 3)))
        amount = sum(line.amount for line in lines)
        store_id, order = self._stores[member_id], int(number[-5:])
        report = Report(
            "pos",
            FactKind.PURCHASE,
            number,
            at,
            member_id=member_id,
            amount=amount,
            lines=lines,
            store_id=store_id,
            # Somebody has their parcels sent to one or two places: neighbours in the list.
            ship_to=locate(ADDRESSES[(member_id + order % 4 // 2) % len(ADDRESSES)]) if order % 2 else None,
        )
        outcome = self.till.report(report, at=at)
        notes().bought(member_id, number, report.amount, at)
        held = outcome.journals[-1].available if outcome.journals else 0
        if held > 500 and chance.random() < 0.4:
            self.till.burn(
                operation=Operation("demo", f"burn:{number}"),
                member_id=member_id,
                points=min(held, 300),
                source=ORDER,
                number=number,
                at=at + timedelta(minutes=1),
            )
        if chance.random() < 0.07:
            back = at + timedelta(days=2)
            amount, first = lines[0].amount, lines[:1]
            refund = Report(
                "pos", FactKind.REFUND, f"R{number}", back, amount=amount, lines=first, refers=number, store_id=store_id
            )
            if back < clock.now():
                self.till.report(refund, at=back)
                notes().brought_back(member_id, number, refund.amount, back)
