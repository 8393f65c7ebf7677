"""One schedule for all classes of data: a dry run that is right, pieces, three years, and no balance that changes."""

from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from accounts.services import record_audit, trim_audit
from accounts.tenancy import brand_scope
from campaigns.models import Campaign, Delivery
from loyalty.invariants import breaches
from loyalty.models import Journal
from members import retention, services
from members.errors import RetentionInvalid
from members.models import FactChange, RetentionRun
from members.retention import classes
from members.services.retention import keep_days, preview, retain, set_retention
from tests.factories import AT, make_account, make_member
from tests.loyalty.conftest import burn, earn
from touchpoints.models import Touch

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def facts(member, at, count=1):
    FactChange.objects.bulk_create(
        FactChange(member=member, what="tag", ref=1, after="yes", at=at) for _ in range(count)
    )


@pytest.fixture
def member(in_brand):
    member = make_member(make_account())
    FactChange.objects.all().delete()
    return member


def test_every_class_can_be_counted_and_says_under_which_law(in_brand):
    assert {"pushes", "conversations", "fact_changes", "touches", "deliveries", "audit", "sessions", "ledger"} <= {
        key for key, _data in classes.items()
    }
    for key, data in classes.items():
        assert preview(key, at=AT).rows == 0, key
        assert str(data.law), key
        assert data.can_change == (0 < data.least <= data.proposed <= data.most), key


def test_dry_run_says_how_many_go_and_they_go_piece_by_piece(member, monkeypatch):
    monkeypatch.setattr(retention, "PIECE", 3)
    facts(member, AT - 1096 * DAY, 7)
    facts(member, AT - 1094 * DAY, 2)

    assert preview("fact_changes", at=AT).rows == 7
    assert preview("fact_changes", at=AT, days=90).rows == 9
    assert FactChange.objects.count() == 9
    assert retain(member.brand_id, at=AT) == {"fact_changes": 7}

    assert FactChange.objects.count() == 2
    assert list(RetentionRun.objects.values_list("data_class", "rows")) == [("fact_changes", 7)]
    assert retain(member.brand_id, at=AT) == {}


def test_brand_chooses_within_what_the_law_asks_and_allows(in_brand):
    set_retention(key="fact_changes", days=100, by="x", at=AT)
    assert keep_days("fact_changes") == 100
    assert keep_days("audit") == 1095
    for key, days in (("fact_changes", 89), ("fact_changes", 1826), ("audit", 179), ("ledger", 100), ("pushes", 1)):
        with pytest.raises(RetentionInvalid):
            set_retention(key=key, days=days, by="x", at=AT)
    assert AuditEntry.objects.filter(action="change retention").count() == 1


def test_three_years_pass_and_nothing_is_older_than_its_class_and_no_balance_moves(member):
    """Every month something is written and the schedule runs, for three years and a half."""
    earn(member, 100)
    burn(member, 30)
    written = 0
    for month in range(43):
        at = AT + 30 * month * DAY
        facts(member, at)
        Touch.objects.create(member=member, kind="OPEN", at=at, opening=f"o{month}")
        written += 1
        retain(member.brand_id, at=at)
    end = AT + 30 * 42 * DAY

    assert not FactChange.objects.filter(at__lt=end - 1095 * DAY).exists()
    assert FactChange.objects.filter(at__gte=end - 1095 * DAY).count() == FactChange.objects.count() == 37
    assert Touch.objects.count() == written  # the visits stay
    assert not Touch.objects.filter(at__lt=end - 365 * DAY).exclude(opening="").exists()
    assert Touch.objects.exclude(opening="").count() == 13
    assert Journal.objects.filter(member=member).count() == 2
    assert breaches() == []


def test_messages_of_campaigns_lose_contents_and_stay_in_the_report(member):
    account = member.followers.get().account
    old = Campaign.objects.create(
        name="旧", account=account, state="FINISHED", finished_at=AT - 181 * DAY, created_at=AT, updated_at=AT
    )
    new = Campaign.objects.create(
        name="新", account=account, state="FINISHED", finished_at=AT - 179 * DAY, created_at=AT, updated_at=AT
    )
    for campaign in (old, new):
        Delivery.objects.create(
            campaign=campaign, seq=1, member_id=member.pk, account_id=account.pk, openid="o1", variables={"a": "b"},
            state="DELIVERED",
        )  # fmt: skip

    assert preview("deliveries", at=AT).rows == 1
    assert retain(member.brand_id, at=AT) == {"deliveries": 1}

    assert list(Delivery.objects.filter(campaign=old).values_list("openid", "variables", "state")) == [
        ("", {}, "DELIVERED")
    ]
    assert Delivery.objects.get(campaign=new).openid == "o1"


def test_log_of_the_last_half_year_stays_whoever_asks(member):
    record_audit(action="change", obj=member)
    now = AuditEntry.objects.latest("at").at
    old = AuditEntry.objects.create(
        at=now - 181 * DAY,
        actor_label="x",
        via="worker",
        action="change",
        object_type="x",
        object_id="1",
        object_label="x",
    )
    young = AuditEntry.objects.create(
        at=now - 179 * DAY,
        actor_label="x",
        via="worker",
        action="change",
        object_type="x",
        object_id="1",
        object_label="x",
    )

    assert trim_audit(before=now + DAY, most=1000) == 1

    assert not AuditEntry.objects.filter(pk=old.pk).exists()
    assert AuditEntry.objects.filter(pk=young.pk).exists()


def test_schedule_of_one_brand_touches_no_other(db, brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            facts(make_member(make_account()), AT - 2000 * DAY)

    services.retain(brand.pk, at=AT)

    with brand_scope(other_brand.pk):
        assert FactChange.objects.filter(at__lt=AT - 1999 * DAY).count() == 1
