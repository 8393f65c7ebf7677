"""Pages of points and tiers as operators use them; another brand's rows never show."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry, RoleGrant
from accounts.tenancy import brand_scope
from common.clock import now
from loyalty import services
from loyalty.earn_rules import Line
from loyalty.models import Adjustment, Benefit, EarnRule, EarnRuleVersion, Standing, Tier
from loyalty.selectors import points as selectors
from loyalty.services import Report
from loyalty.services.history import record_history
from stores.models import StoreGrant
from tests.console.conftest import signed_in
from tests.factories import make_member, make_staff, make_store
from tests.loyalty.conftest import earn, freeze, policy

DAY = timedelta(days=1)
RULES = "/b/lanyu/loyalty/earnrule/"


@pytest.fixture
def as_owner(as_owner, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return as_owner


def page(answer):
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", answer.content.decode())


def points_page(of):
    return f"/b/{of.brand.slug}/loyalty/member/{of.member.pk}/"


def test_a_members_page_shows_balance_lots_ledger_and_tier(as_owner, ours, theirs):
    for of, points in ((ours, 120), (theirs, 777)):
        with brand_scope(of.brand.pk):
            tier = Tier.objects.create(name=f"{of.brand.name}知音", threshold=0)
            Benefit.objects.create(tier=tier, kind="PRICE", value=10)
            earn(of.member, points, at=now())
            freeze(of.member, 20, at=now())
            services.refresh_tier(member_id=of.member.pk, at=now())
    shown = page(as_owner.get(points_page(ours)))
    assert re.search(r'data-testid="spendable">100<', shown)
    assert "Earned 120 points" in shown
    assert "20 points frozen" in shown
    assert "澜屿知音" in shown
    assert "10% off" in shown
    assert "777" not in shown
    assert "灶" not in shown
    card = page(as_owner.get(f"/b/lanyu/members/member/{ours.member.pk}/change/"))
    assert "Points and tier" in card
    foreign = as_owner.get(f"/b/lanyu/loyalty/member/{theirs.member.pk}/")
    assert foreign.status_code == 404


def test_points_are_adjusted_by_hand_and_large_ones_wait_for_a_second_person(as_owner, ours):
    with brand_scope(ours.brand.pk):
        policy(adjust_limit=500)
        other = make_staff("other", "OWNER")
    as_owner.post(points_page(ours), {"act": "adjust", "points": "５００", "reason": "补偿"})
    as_owner.post(points_page(ours), {"act": "adjust", "points": "1,000", "reason": "大客户"})
    with brand_scope(ours.brand.pk):
        assert selectors.balance_of(ours.member.pk).available == 500
        waits = Adjustment.objects.get(state="PENDING")
    queue = page(as_owner.get("/b/lanyu/loyalty/adjustment/?state=PENDING"))
    assert "+1,000" in queue
    own = page(as_owner.get(f"/b/lanyu/loyalty/adjustment/{waits.pk}/change/"))
    assert "You asked for this yourself" in own
    assert "gave this member 500 points alone in the 24 hours before" in own
    as_owner.post(f"/b/lanyu/loyalty/adjustment/{waits.pk}/change/", {"act": "approve"})
    with brand_scope(ours.brand.pk):
        assert selectors.balance_of(ours.member.pk).available == 500
    signed_in(other).post(f"/b/lanyu/loyalty/adjustment/{waits.pk}/change/", {"act": "approve"})
    with brand_scope(ours.brand.pk):
        assert selectors.balance_of(ours.member.pk).available == 1500
        assert AuditEntry.objects.filter(action="approve points").count() == 1


def test_a_double_tap_on_adjust_moves_points_once_and_the_next_form_moves_them_again(as_owner, ours):
    def form():
        return re.search(r'name="key" value="([^"]+)"', page(as_owner.get(points_page(ours))))[1]

    asked = {"act": "adjust", "points": "500", "reason": "补偿", "key": form()}
    answers = [page(as_owner.post(points_page(ours), asked, follow=True)) for _tap in range(2)]
    assert ["Adjusted by +500 points." in each for each in answers] == [True, True]
    other = page(as_owner.post(points_page(ours), asked | {"points": "300"}, follow=True))
    assert "Adjusted by +300" not in other
    with brand_scope(ours.brand.pk):
        assert selectors.balance_of(ours.member.pk).available == 500
    as_owner.post(points_page(ours), asked | {"key": form()})
    with brand_scope(ours.brand.pk):
        assert (selectors.balance_of(ours.member.pk).available, Adjustment.objects.count()) == (1_000, 2)


@pytest.mark.parametrize("points", ["1.5", "=A1", "1e9", "", "五", "0", "-5", "99999999999"])
def test_what_is_no_number_of_points_moves_nothing_and_is_said(as_owner, ours, points):
    answer = as_owner.post(points_page(ours), {"act": "adjust", "points": points, "reason": "补偿"}, follow=True)
    assert "Nothing was done." in page(answer)
    with brand_scope(ours.brand.pk):
        assert Adjustment.objects.count() == 0


def test_whoever_may_only_look_neither_adjusts_nor_locks(ours):
    with brand_scope(ours.brand.pk):
        analyst = signed_in(make_staff("analyst", "ANALYST"))
    shown = page(analyst.get(points_page(ours)))
    assert "zy-primary" not in shown
    for act in ("adjust", "lock", "unlock", "reinstate"):
        assert analyst.post(points_page(ours), {"act": act, "points": "5", "reason": "xx"}).status_code == 403
    assert analyst.get("/b/lanyu/loyalty/settings/").status_code == 403


def test_a_store_manager_sees_points_of_own_members_only(as_manager, ours):
    assert as_manager.get(points_page(ours)).status_code == 200
    assert as_manager.get(f"/b/lanyu/loyalty/member/{ours.far_member.pk}/").status_code == 404
    assert as_manager.get("/b/lanyu/loyalty/points/").status_code == 403


def test_a_rule_is_written_tried_out_turned_on_and_off(as_owner, ours):
    with brand_scope(ours.brand.pk):
        at = now() - DAY
        report = Report("pos", "PURCHASE", "SO1", at, member_id=ours.member.pk, amount=12_300)
        services.record_fact(report=report, at=at)
    posted = {"name": "消费", "kind": "spend", "points": "2", "per_fen": "100", "limit_period": ""}
    wrong = page(as_owner.post(f"{RULES}add/", posted | {"points": "", "limit_period": "DAY"}))
    assert wrong.count("A whole number is needed here.") == 2
    assert as_owner.post(f"{RULES}add/", posted)["Location"].endswith("/change/?try=1")
    with brand_scope(ours.brand.pk):
        row = EarnRule.objects.get()
    assert "it would have given 246" not in (asked := page(as_owner.get(f"{RULES}{row.pk}/change/")))
    assert ('href="?try=1"' in asked, "Try it out over the last 30 days" in asked) == (True, True)
    shown = page(as_owner.get(f"{RULES}{row.pk}/change/?try=1"))
    assert "2 points for every ¥1.00 paid" in shown
    assert re.search(r"it would have given 246 points for 1 of 1 facts, to 1 members. Cost: ¥2.46", shown)
    as_owner.post(f"{RULES}{row.pk}/change/", {"act": "activate"})
    as_owner.post(f"{RULES}{row.pk}/change/", posted | {"points": "3"})
    as_owner.post(f"{RULES}{row.pk}/change/", {"act": "activate"})
    as_owner.post(f"{RULES}{row.pk}/change/", {"act": "stop"})
    with brand_scope(ours.brand.pk):
        versions = EarnRuleVersion.objects.order_by("number").values_list("number", "params", "until")
        assert [(number, params["points"], until is None) for number, params, until in versions] == [
            (1, 2, False), (2, 3, False)
        ]  # fmt: skip
        assert selectors.balance_of(ours.member.pk).available == 0


def test_what_the_brand_owes_adds_up_at_any_day(as_owner, ours, theirs):
    with brand_scope(ours.brand.pk):
        earn(ours.member, 300, at=now() - 10 * DAY)
        services.burn_points(
            operation=services.Operation("t", "b"), member_id=ours.member.pk, points=120, source="order", at=now()
        )
    with brand_scope(theirs.brand.pk):
        earn(theirs.member, 9_999, at=now())
    today = page(as_owner.get("/b/lanyu/loyalty/points/"))
    before = page(as_owner.get(f"/b/lanyu/loyalty/points/?day={(now() - 5 * DAY).date()}"))
    long_ago = page(as_owner.get("/b/lanyu/loyalty/points/?day=2020-01-01"))
    found = [re.search(r'data-testid="outstanding">([\d,]+)<', each)[1] for each in (today, before, long_ago)]
    assert found == ["180", "300", "0"]
    assert "9,999" not in today
    assert as_owner.get("/b/lanyu/loyalty/points/?day=nonsense").status_code == 200
    assert "what 100 points cost on that day, ¥1.00" in today


def test_settings_are_saved_and_wrong_ones_stand_at_their_field(as_owner, ours):
    form = {
        "expiry": "ROLLING", "expiry_span": "0", "warn_days": "30", "reinstate_days": "14", "negative": "CAP",
        "adjust_limit": "1000", "hold_minutes": "60", "cost_per_100": "100", "tier_months": "12", "tier_grace_days": "90",
    }  # fmt: skip
    assert "the number is 1 to 120" in page(as_owner.post("/b/lanyu/loyalty/settings/", form))
    assert as_owner.post("/b/lanyu/loyalty/settings/", form | {"expiry_span": "6"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert (selectors.policy().expiry, selectors.policy().expiry_span) == ("ROLLING", 6)


def test_a_marketer_sees_the_limit_of_adjustments_and_an_owner_changes_it(as_owner, as_marketer, ours, settings):
    as_marketer.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    form = {
        "expiry": "ROLLING", "expiry_span": "6", "warn_days": "30", "reinstate_days": "14", "negative": "CAP",
        "adjust_limit": "999999", "hold_minutes": "60", "cost_per_100": "100", "tier_months": "12",
        "tier_grace_days": "90",
    }  # fmt: skip
    path = "/b/lanyu/loyalty/settings/"
    field = r'<input[^>]*name="adjust_limit"[^>]*readonly'
    assert re.search(field, page(as_marketer.get(path)))
    assert not re.search(field, page(as_owner.get(path)))
    assert "Leave the limit at 1,000, or ask an owner" in page(as_marketer.post(path, form))
    assert as_marketer.post(path, form | {"adjust_limit": "1000"}).status_code == 302
    assert as_owner.post(path, form | {"adjust_limit": "2000"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert selectors.policy().adjust_limit == 2000


def test_a_persons_timeline_tells_what_they_bought_though_no_rule_gave_points(as_owner, ours, theirs):
    for of in (ours, theirs):
        with brand_scope(of.brand.pk):
            lines = tuple(Line(f"{of.brand.slug}-{number}", "", 2_000) for number in range(4))
            bought = Report(
                "pos", "PURCHASE", "SO1", now() - DAY, member_id=of.member.pk, amount=10_000, lines=lines,
                store_id=of.store.pk,
            )  # fmt: skip
            back = Report("pos", "REFUND", "R1", now(), amount=2_500, refers="SO1")
            old = Report("old-pos", "PURCHASE", "H1", now() - 400 * DAY, member_id=of.member.pk, amount=700)
            services.record_fact(report=bought, at=now())
            services.record_fact(report=back, at=now())
            gone = Report("old-pos", "PURCHASE", "H2", now() - 400 * DAY, member_id=of.member.pk, amount=900)
            record_history(reports=[old, gone], at=now())
            services.record_fact(
                report=Report("old-pos", "REFUND", "undo H2", now(), amount=900, refers="H2"), at=now()
            )
    shown = page(as_owner.get(f"/b/lanyu/members/member/{ours.member.pk}/change/?only=loyalty.facts"))
    assert shown.index("Sent goods for ¥25.00 back") < shown.index(f"Bought for ¥100.00 at {ours.store.name}")
    assert "lanyu-0 ¥20.00 · lanyu-1 ¥20.00 · lanyu-2 ¥20.00 · 1 more line · number SO1, reported by pos" in shown
    assert ("¥25.00 of it was sent back (R1)" in shown, "of the purchase SO1" in shown) == (True, True)
    assert ("Bought for ¥7.00" in shown, "reported by old-pos" in shown) == (True, True)
    assert ("number H2" in shown, "¥9.00" in shown) == (False, False)  # of an import that was undone
    assert theirs.brand.slug not in shown.replace(f"/b/{ours.brand.slug}/", "")


def test_tiers_show_their_people_and_what_the_next_evaluation_would_change(as_owner, ours, theirs):
    for of in (ours, theirs):
        with brand_scope(of.brand.pk):
            Tier.objects.create(name=f"{of.brand.name}初见", threshold=0)
            high = Tier.objects.create(name=f"{of.brand.name}知音", threshold=8000)
            Standing.objects.create(member=of.member, tier=high, since=now(), evaluates_at=now() + 20 * DAY)
    listed = page(as_owner.get("/b/lanyu/loyalty/tier/"))
    assert "澜屿知音" in listed
    assert "灶山小馆知音" not in listed
    shown = page(as_owner.get("/b/lanyu/loyalty/tier-preview/"))
    assert ("Grace began" in shown, "澜陈子涵" in shown, "灶陈子涵" in shown) == (True, True, False)


def test_the_preview_looks_at_the_viewers_people_first_and_goes_on_page_by_page(as_owner, ours, settings):
    with brand_scope(ours.brand.pk):
        local = make_staff("local", "MARKETER", scope="STORES")
        StoreGrant.objects.create(grant=RoleGrant.objects.get(staff_user=local), store=ours.store)
        far_store = make_store(code="BJ1", name="北京三里屯店")
        Tier.objects.create(name="初见", threshold=0)
        high = Tier.objects.create(name="知音", threshold=8000)
        for number in range(51):
            far = make_member(ours.account, name=f"远{number}", store=far_store)
            Standing.objects.create(member=far, tier=high, since=now(), evaluates_at=now() + DAY)
        locked = make_member(ours.account, name="锁着的人", store=ours.store)
        until = {"evaluates_at": now() + DAY, "locked_until": now() + 90 * DAY}
        Standing.objects.create(member=locked, tier=high, since=now(), **until)
        Standing.objects.create(member=ours.member, tier=high, since=now(), evaluates_at=now() + 20 * DAY)
    path = "/b/lanyu/loyalty/tier-preview/"
    as_local = signed_in(local)
    as_local.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    near = page(as_local.get(path))
    assert ("澜陈子涵" in near, "远" in near, "锁着的人" in near, "1 to 1 of 1" in near) == (True, False, False, True)

    with CaptureQueriesContext(connection) as first:
        shown = page(as_owner.get(path))
    with CaptureQueriesContext(connection) as second:
        rest = page(as_owner.get(path, {"p": "2"}))
    assert len(first) == len(second)
    assert ("1 to 50 of 52" in shown, "澜陈子涵" in shown, 'href="?p=2"' in shown) == (True, False, True)
    assert ("51 to 52 of 52" in rest, "澜陈子涵" in rest, 'href="?p=1"' in rest) == (True, True, True)
    assert "There are no more." in page(as_owner.get(path, {"p": "9"}))
    for strange in ("x", "0", "-1", "9" * 30):
        assert "1 to 50 of 52" in page(as_owner.get(path, {"p": strange}))


def test_a_tier_is_locked_and_unlocked_with_a_reason(as_owner, ours):
    with brand_scope(ours.brand.pk):
        Tier.objects.create(name="初见", threshold=0)
        high = Tier.objects.create(name="知音", threshold=8000)
    day = (now() + 30 * DAY).date().isoformat()
    for never in ("yesterday", "9999-12-31", "0001-01-01"):
        wrong = {"act": "lock", "tier": high.pk, "until": never, "reason": "贵宾"}
        assert "Not locked." in page(as_owner.post(points_page(ours), wrong, follow=True))
    with brand_scope(ours.brand.pk):
        assert Standing.objects.count() == 0
    as_owner.post(points_page(ours), {"act": "lock", "tier": high.pk, "until": day, "reason": "贵宾"})
    with brand_scope(ours.brand.pk):
        assert Standing.objects.get().locked_until is not None
    as_owner.post(points_page(ours), {"act": "unlock", "reason": "弄错了"})
    with brand_scope(ours.brand.pk):
        assert Standing.objects.get().locked_until is None


def test_a_page_asks_the_same_for_one_row_and_for_three(as_owner, ours):
    def rows(count):
        with brand_scope(ours.brand.pk):
            for number in range(count):
                at = now()
                member = make_member(ours.account)
                earn(ours.member, 10, at=at)
                Adjustment.objects.create(member=member, points=5, reason="补偿", asked_at=at)
                tier = Tier.objects.create(name=f"级{Tier.objects.count()}", threshold=Tier.objects.count() * 10)
                Benefit.objects.create(tier=tier, kind="PRICE", value=5)
                Standing.objects.create(member=member, tier=tier, since=at, evaluates_at=at + DAY)
                EarnRule.objects.create(
                    name=f"规则{EarnRule.objects.count()}", kind="visit", draft={"points": number + 1}, updated_at=at
                )

    def asked(path):
        with CaptureQueriesContext(connection) as queries:
            assert as_owner.get(path).status_code == 200
        return len(queries)

    paths = [points_page(ours), *(f"/b/lanyu/loyalty/{each}/" for each in ("adjustment", "tier", "earnrule", "points"))]
    rows(1)
    one = [asked(path) for path in paths]
    rows(2)
    assert [asked(path) for path in paths] == one
