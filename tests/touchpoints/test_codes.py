"""Codes live: made outside transactions, renewed before they end, prints announced, permanent ones metered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope, current_scope
from common import clock, failpoints
from tests.factories import AT, make_account, make_follower, make_store, make_tag
from tests.touchpoints.conftest import DAY, come
from touchpoints import selectors, services, tasks
from touchpoints.errors import CodeBeingMade, CodeNotIssued, PermanentCodesUsedUp
from touchpoints.models import CodeIssue, CodeOrder, Touchpoint, TouchpointTag
from touchpoints.selectors import Ailment, code_health, lookups
from touchpoints.services import create_touchpoint, keep_code, mark_printed, record_touch
from wechat_gateway import calls, quotas


@pytest.fixture
def account(db, brand, simulator, settings):
    """A service account that the simulated WeChat knows."""
    settings.WECHAT_BASE_URL = settings.WECHAT_MP_URL = simulator.url
    with brand_scope(brand.pk):
        row = make_account()
    simulator.know(row)
    return row


def ailments(row, now):
    return code_health([Touchpoint.objects.get(pk=row.pk)], now=now)[row.pk].ailments


# --- making and renewing ---------------------------------------------------------------------------------------------


def test_temporary_code_renews_before_it_ends_with_the_same_scene(account, brand):
    now = clock.now()
    with brand_scope(brand.pk):
        code = create_touchpoint(name="门口", account=account, at=now)
    assert services.renew_codes(brand.pk, at=now) == 1
    assert services.renew_codes(brand.pk, at=now + 24 * DAY) == 0
    assert services.renew_codes(brand.pk, at=now + 26 * DAY) == 1

    with brand_scope(brand.pk):
        row = Touchpoint.objects.get(pk=code.pk)
        issues = list(CodeIssue.objects.order_by("issued_at"))
        assert row.scene == code.scene
        assert [issue.expires_at for issue in issues] == [now + 30 * DAY, now + 56 * DAY]
        assert issues[0].ticket != issues[1].ticket == row.ticket
        assert row.expires_at == now + 56 * DAY


@pytest.mark.parametrize("how", ["archived", "ended", "not in use"])
def test_code_that_is_no_longer_wanted_is_left_to_expire(account, brand, how):
    now = clock.now()
    with brand_scope(brand.pk):
        code = create_touchpoint(name="门口", account=account, at=now, ends_at=now + DAY if how == "ended" else None)
        keep_code(touchpoint=code, ticket="t1", url="http://weixin.qq.com/q/1", at=now)
        if how == "archived":
            services.archive_branch(touchpoint=code, at=now)
        if how == "not in use":
            Touchpoint.objects.filter(pk=code.pk).update(is_active=False)

    assert services.renew_codes(brand.pk, at=now + 29 * DAY) == 0


def test_wechat_is_never_called_inside_a_transaction(account, brand, monkeypatch):
    seen = []
    real = calls.create_code
    monkeypatch.setattr(calls, "create_code", lambda *args, **more: seen.append(current_scope()) or real(*args, **more))
    with brand_scope(brand.pk):
        create_touchpoint(name="门口", account=account, at=clock.now())
        code = Touchpoint.objects.get()
    tasks.issue_codes(brand.pk, [code.pk])

    assert seen == [None]


def test_refusal_of_wechat_stays_with_the_channel_in_words(account, brand, simulator):
    now = clock.now()
    simulator.fault(kind="errcode", appid=account.appid, path="/cgi-bin/qrcode/create", errcode=45009, count=1)
    with brand_scope(brand.pk):
        code = create_touchpoint(name="门口", account=account, at=now)
    with pytest.raises(CodeNotIssued) as refused:
        services.issue_code(brand.pk, code.pk, at=now)
    with brand_scope(brand.pk):
        row = Touchpoint.objects.get(pk=code.pk)

    assert row.problem
    assert row.problem in refused.value.message
    assert refused.value.hint
    # Today nobody asks WeChat again.
    with pytest.raises(CodeNotIssued):
        services.issue_code(brand.pk, code.pk, at=now)
    services.issue_code(brand.pk, code.pk, at=quotas.next_reset(now))
    with brand_scope(brand.pk):
        assert Touchpoint.objects.get(pk=code.pk).problem == ""


def test_three_refusals_in_a_row_end_the_round_and_one_does_not(account, brand, simulator):
    now = clock.now()
    with brand_scope(brand.pk):
        for number in range(5):
            create_touchpoint(name=f"码{number}", account=account, at=now)
    simulator.fault(kind="errcode", appid=account.appid, path="/cgi-bin/qrcode/create", errcode=40053, count=1)
    assert services.renew_codes(brand.pk, at=now) == 4
    with brand_scope(brand.pk):
        Touchpoint.objects.update(ticket="")
    simulator.fault(kind="errcode", appid=account.appid, path="/cgi-bin/qrcode/create", errcode=40053, count=3)
    assert services.renew_codes(brand.pk, at=now) == 0
    assert services.renew_codes(brand.pk, at=now) == 5


def test_a_batch_that_takes_longer_than_a_round_goes_on_at_once_with_what_is_left(
    account, brand, simulator, monkeypatch
):
    """Three refusals are about the account's codes of that kind: those wait for the hour, the others go on."""
    now, rung = clock.now(), []
    monkeypatch.setattr("touchpoints.services.codes.ring", lambda task, *args, **more: rung.append((task, args, more)))
    with brand_scope(brand.pk):
        refused = make_account("第二个服务号")
        codes = [create_touchpoint(name=f"码{number}", account=account, at=now).pk for number in range(5)]
        parked = [create_touchpoint(name=f"旧{number}", account=refused, at=now).pk for number in range(4)]
        for pk in parked:
            keep_code(touchpoint=Touchpoint.objects.get(pk=pk), ticket=f"t{pk}", url="http://w.cn/1", at=now - 28 * DAY)
    simulator.know(refused)
    simulator.fault(kind="errcode", appid=refused.appid, path="/cgi-bin/qrcode/create", errcode=48001, count=3)
    calls_left = iter([True] * 5 + [False])

    made = services.renew_codes(brand.pk, at=now, only=codes + parked, goes_on=lambda: next(calls_left))

    assert (made, rung) == (2, [(tasks.issue_codes, (brand.pk, codes[2:]), {"anew": False})])
    ((task, args, more),) = rung
    task(*args, **more)
    assert rung[1:] == []
    with brand_scope(brand.pk):
        assert CodeIssue.objects.filter(account=account).count() == 5


def test_a_task_that_makes_codes_stops_before_its_limit(account, brand, monkeypatch, settings):
    assert tasks.ISSUING_SECONDS + 30 <= settings.CELERY_TASK_SOFT_TIME_LIMIT  # a call and its retry
    with brand_scope(brand.pk):
        codes = [create_touchpoint(name=f"码{number}", account=account, at=clock.now()).pk for number in range(2)]
    rung = []
    monkeypatch.setattr("touchpoints.services.codes.ring", lambda task, *args, **more: rung.append(args))
    monkeypatch.setattr(tasks, "ISSUING_SECONDS", 0)

    tasks.issue_codes(brand.pk, codes)
    tasks.renew_codes(brand.pk)

    assert rung == [(brand.pk, codes), (brand.pk, codes)]


def test_a_revoked_account_holds_up_no_other_and_codes_that_end_come_first(account, brand, simulator):
    now = clock.now()
    with brand_scope(brand.pk):
        other = make_account("第二个服务号")
        for number in range(4):
            dead = create_touchpoint(name=f"旧{number}", account=account, at=now)
            keep_code(touchpoint=dead, ticket=f"old{number}", url="http://weixin.qq.com/q/1", at=now)
        create_touchpoint(name="新", account=other, at=now)
        ending = create_touchpoint(name="快到期", account=other, at=now)
        keep_code(touchpoint=ending, ticket="end", url="http://weixin.qq.com/q/2", at=now)
    simulator.know(other)
    simulator.fault(kind="errcode", appid=account.appid, path="/cgi-bin/qrcode/create", errcode=48001, count=3)

    assert services.renew_codes(brand.pk, at=now + 26 * DAY) == 2

    with brand_scope(brand.pk):
        asked = CodeOrder.objects.order_by("pk").values_list("touchpoint__name", "state")
        assert list(asked) == [
            *((f"旧{number}", "REFUSED") for number in range(3)), ("快到期", "MADE"), ("新", "MADE"),
        ]  # fmt: skip


def test_permanent_codes_that_wechat_refuses_hold_up_no_temporary_ones_and_come_last_the_next_time(
    account, brand, simulator, monkeypatch
):
    now = clock.now()
    real, refused = calls.create_permanent_code, {"码0", "码1", "码2"}

    def used_up(account, scene, *, at):
        with brand_scope(brand.pk):
            name = Touchpoint.objects.get(scene=scene).name
        if name in refused:
            simulator.fault(kind="errcode", appid=account.appid, path="/cgi-bin/qrcode/create", errcode=45029, count=1)
        return real(account, scene, at=at)

    monkeypatch.setattr(calls, "create_permanent_code", used_up)
    with brand_scope(brand.pk):
        for number in range(4):
            create_touchpoint(name=f"码{number}", account=account, is_permanent=True, at=now)
        create_touchpoint(name="临时", account=account, at=now)

    assert services.renew_codes(brand.pk, at=now) == 1
    assert services.renew_codes(brand.pk, at=now) == 1
    with brand_scope(brand.pk):
        made = Touchpoint.objects.exclude(ticket="").order_by("pk").values_list("name", flat=True)
        assert list(made) == ["码3", "临时"]


def test_code_made_anew_keeps_the_earlier_picture_explained(account, brand):
    now = clock.now()
    with brand_scope(brand.pk):
        code = create_touchpoint(name="门口", account=account, at=now)
    services.renew_codes(brand.pk, at=now)
    with brand_scope(brand.pk):
        first = Touchpoint.objects.get(pk=code.pk)
        mark_printed(touchpoint_ids=[code.pk], at=now)
    services.renew_codes(brand.pk, at=now + DAY, only=[code.pk], anew=True)

    with brand_scope(brand.pk):
        row = Touchpoint.objects.get(pk=code.pk)
        touch = record_touch(
            follower=make_follower(account), scene=code.scene, is_follow=True, at=now, ticket=first.ticket
        )
        assert touch.touchpoint == code
        assert (touch.issue.ticket, touch.issue.printed_at) == (first.ticket, now)
        assert row.ticket != first.ticket


# --- answers that are lost, and two at once --------------------------------------------------------------------------


def orders():
    return list(CodeOrder.objects.order_by("pk").values_list("state", flat=True))


@pytest.fixture
def sign(account, brand):
    """A channel that is to have a permanent code."""
    with brand_scope(brand.pk):
        return create_touchpoint(name="门头", account=account, is_permanent=True, at=clock.now())


def test_code_that_wechat_made_and_we_lost_is_found_again_and_spends_no_second(sign, account, brand, monkeypatch):
    now = clock.now()
    monkeypatch.setattr(failpoints, "armed", {"issue code: answered, not kept": lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        services.issue_code(brand.pk, sign.pk, at=now)
    monkeypatch.setattr(failpoints, "armed", {})
    with brand_scope(brand.pk):
        assert orders() == ["ASKED"]
        assert CodeIssue.objects.count() == 0
    with pytest.raises(CodeBeingMade):
        services.issue_code(brand.pk, sign.pk, at=now + timedelta(seconds=119))
    made = services.issue_code(brand.pk, sign.pk, at=now + timedelta(seconds=120))

    with brand_scope(brand.pk):
        assert orders() == ["FOUND", "MADE"]
        meter = selectors.code_meters([account], now=now)[0]
        assert (meter.made, meter.lost, meter.used) == (1, 0, 1)
        assert Touchpoint.objects.get().ticket == made.ticket


def test_lost_answer_counts_as_spent_where_repeats_are_known_to_cost(sign, account, brand, monkeypatch):
    now = clock.now()
    with brand_scope(brand.pk):
        services.set_allowance(account=account, permanent_codes=9, made_elsewhere=2, repeats_are_free=False, at=now)
    monkeypatch.setattr(failpoints, "armed", {"issue code: answered, not kept": lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        services.issue_code(brand.pk, sign.pk, at=now)
    monkeypatch.setattr(failpoints, "armed", {})
    services.issue_code(brand.pk, sign.pk, at=now + timedelta(minutes=5))

    with brand_scope(brand.pk):
        assert orders() == ["LOST", "MADE"]
        meter = selectors.code_meters([account], now=now)[0]
        assert (meter.made, meter.lost, meter.elsewhere, meter.used, meter.left) == (1, 1, 2, 4, 5)


def test_refusal_closes_the_order_and_the_next_try_is_free(sign, account, brand, simulator):
    now = clock.now()
    simulator.fault(kind="errcode", appid=account.appid, path="/cgi-bin/qrcode/create", errcode=40053, count=1)
    with pytest.raises(CodeNotIssued):
        services.issue_code(brand.pk, sign.pk, at=now)
    services.issue_code(brand.pk, sign.pk, at=now)

    with brand_scope(brand.pk):
        assert orders() == ["REFUSED", "MADE"]


def test_order_that_waits_for_its_answer_is_passed_over_by_a_round(sign, brand):
    now = clock.now()
    with brand_scope(brand.pk):
        other = create_touchpoint(name="柜台", account=sign.account, at=now)
        CodeOrder.objects.create(touchpoint=sign, account=sign.account, is_permanent=True, asked_at=now)

    assert services.renew_codes(brand.pk, at=now) == 1
    with brand_scope(brand.pk):
        assert list(CodeIssue.objects.values_list("touchpoint_id", flat=True)) == [other.pk]


def test_double_click_makes_one_code(account, brand):
    now = clock.now()
    with brand_scope(brand.pk):
        code = create_touchpoint(name="门口", account=account, at=now)
    for seconds, made in ((0, 1), (9, 0), (11, 1)):
        at = now + timedelta(seconds=seconds)
        assert services.renew_codes(brand.pk, at=at, only=[code.pk], anew=True) == made


# --- what is left of the permanent ones ------------------------------------------------------------------------------


def test_limit_of_an_account_is_its_own(tree):
    other = make_account("灶山")
    services.set_allowance(account=tree.account, permanent_codes=2, made_elsewhere=1, repeats_are_free=True, at=AT)
    create_touchpoint(name="一", account=tree.account, is_permanent=True, at=AT)
    with pytest.raises(PermanentCodesUsedUp):
        create_touchpoint(name="二", account=tree.account, is_permanent=True, at=AT)
    create_touchpoint(name="二", account=other, is_permanent=True, at=AT)

    meters = selectors.code_meters([tree.account, other], now=AT)
    assert [(meter.limit, meter.left, meter.is_own) for meter in meters] == [(2, 0, True), (100_000, 99_999, False)]


def test_meter_says_for_how_long_the_rest_lasts(tree):
    for number, days in enumerate((40, 29, 1)):
        code = create_touchpoint(name=f"码{number}", account=tree.account, is_permanent=True, at=AT)
        keep_code(touchpoint=code, ticket=f"p{number}", url="http://weixin.qq.com/q/p", at=AT - days * DAY)
    services.set_allowance(account=tree.account, permanent_codes=10, made_elsewhere=0, repeats_are_free=True, at=AT)

    meter = selectors.code_meters([tree.account], now=AT)[0]
    assert (meter.made, meter.pace, meter.left, meter.months_left) == (3, 2, 7, 3)


# --- what is wrong with codes ----------------------------------------------------------------------------------------


def test_printed_batch_never_dies_silently(tree):
    code = tree.codes["礼盒"]
    keep_code(touchpoint=code, ticket="t1", url="http://weixin.qq.com/q/1", at=AT)
    mark_printed(touchpoint_ids=[code.pk], at=AT)
    come(code, at=AT + 20 * DAY)
    keep_code(touchpoint=code, ticket="t2", url="http://weixin.qq.com/q/2", at=AT + 25 * DAY)

    assert ailments(code, AT + 22 * DAY) == ()
    assert ailments(code, AT + 24 * DAY) == (Ailment.PRINT_ENDS,)
    mark_printed(touchpoint_ids=[code.pk], at=AT + 26 * DAY)
    assert ailments(code, AT + 26 * DAY) == (Ailment.PRINT_ENDS,)  # the older poster may still hang somewhere
    assert ailments(code, AT + 31 * DAY) == ()
    assert ailments(code, AT + 49 * DAY) == (Ailment.PRINT_ENDS,)


def test_the_home_page_counts_prints_that_end_and_no_code_that_renews_itself(tree):
    code, other = tree.codes["礼盒"], tree.codes["静安门口"]
    for number, row in enumerate((code, other)):
        keep_code(touchpoint=row, ticket=f"t{number}", url="http://weixin.qq.com/q/1", at=AT)
    mark_printed(touchpoint_ids=[code.pk], at=AT)
    for number, row in enumerate((code, other)):
        keep_code(touchpoint=row, ticket=f"n{number}", url="http://weixin.qq.com/q/2", at=AT + 25 * DAY)

    def ending(days):
        rows = selectors.with_ending_prints(Touchpoint.objects.all(), now=AT + days * DAY)
        return [row.pk for row in rows.order_by("pk") if row.print_ends]

    assert [ending(days) for days in (22, 24, 29, 30)] == [[], [code.pk], [code.pk], []]
    services.archive_branch(touchpoint=code, at=AT + 25 * DAY)
    assert ending(26) == []


def test_permanent_print_never_ends(tree):
    code = create_touchpoint(name="门头", account=tree.account, is_permanent=True, at=AT)
    keep_code(touchpoint=code, ticket="t1", url="http://weixin.qq.com/q/1", at=AT)
    mark_printed(touchpoint_ids=[code.pk], at=AT)

    assert ailments(code, AT + 29 * DAY) == ()


@pytest.mark.parametrize(
    ("change", "scan", "expected"),
    [
        ({}, 20, ()),
        ({}, None, (Ailment.NO_SCAN,)),
        ({"expires_at": AT + 10 * DAY}, 39, (Ailment.EXPIRED,)),
        ({"ticket": ""}, 39, (Ailment.NOT_MADE,)),
        ({"ends_at": AT + 10 * DAY, "expires_at": AT + 10 * DAY}, 39, (Ailment.ENDED,)),
        ({"ends_at": AT + 10 * DAY}, 5, ()),
        ({"archived_at": AT + 10 * DAY, "is_active": False}, 39, (Ailment.ARCHIVED,)),
        ({"archived_at": AT + 10 * DAY, "is_active": False}, None, ()),
    ],
)
def test_dead_code_is_named_with_its_cause(tree, change, scan, expected):
    code, now = tree.codes["礼盒"], AT + 40 * DAY
    fields = {"ticket": "t1", "expires_at": AT + 60 * DAY} | change
    Touchpoint.objects.filter(pk=code.pk).update(**fields)
    if scan is not None:
        come(code, at=AT + scan * DAY)

    assert ailments(code, now) == expected


def test_quiet_codes_are_those_in_use_that_nobody_scanned_for_a_month(tree):
    come(tree.codes["静安门口"], at=AT + 20 * DAY)
    come(tree.codes["静安柜台"], at=AT)
    services.archive_branch(touchpoint=tree.codes["徐汇门口"], at=AT)
    staff = come(tree.codes["礼盒"], at=AT + 39 * DAY)
    services.mark_staff(member=staff.follower.member, at=AT)

    found = selectors.quiet_codes(Touchpoint.objects.all(), now=AT + 40 * DAY)
    assert sorted(row.name for row in found) == ["礼盒", "静安柜台"]


def test_a_code_for_which_only_guides_were_added_is_dead_on_its_page_as_in_the_list(tree):
    code, now = tree.codes["礼盒"], AT + 40 * DAY
    keep_code(touchpoint=code, ticket="t1", url="http://weixin.qq.com/q/1", at=AT + 20 * DAY)
    guest = make_follower(code.account)
    services.record_contact_added(member_id=guest.member_id, touchpoint=code, key="c1", at=AT + 39 * DAY)

    assert "礼盒" in [row.name for row in selectors.quiet_codes(Touchpoint.objects.all(), now=now)]
    assert ailments(code, now) == (Ailment.NO_SCAN,)


# --- the quota of permanent codes ------------------------------------------------------------------------------------


def test_permanent_codes_are_metered_per_account_and_refused_in_time(tree, monkeypatch):
    monkeypatch.setattr(lookups, "PERMANENT_CODES", 3)
    other = make_account("第二个服务号")
    made = create_touchpoint(name="一", account=tree.account, is_permanent=True, at=AT)
    keep_code(touchpoint=made, ticket="t1", url="http://weixin.qq.com/q/1", at=AT)
    create_touchpoint(name="二", account=tree.account, is_permanent=True, at=AT)
    create_touchpoint(name="别的", account=other, is_permanent=True, at=AT)

    assert [selectors.permanent_codes_left(each) for each in (tree.account, other)] == [1, 2]
    assert [meter.used for meter in selectors.code_meters([tree.account, other], now=AT)] == [2, 1]
    plan = services.plan_codes(stores=[], objects=["三", "四"], parent=None)
    with pytest.raises(PermanentCodesUsedUp):
        services.create_touchpoints(plan=plan, account=tree.account, parent=None, at=AT, is_permanent=True)
    create_touchpoint(name="三", account=tree.account, is_permanent=True, at=AT)
    with pytest.raises(PermanentCodesUsedUp):
        create_touchpoint(name="四", account=tree.account, is_permanent=True, at=AT)
    create_touchpoint(name="四", account=tree.account, at=AT)


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batch_for_48_stores_makes_what_the_preview_said(tree):
    stores = [make_store(f"S{number:02d}", f"第{number:02d}店") for number in range(48)]
    tag = make_tag("店码")
    plan = services.plan_codes(
        stores=stores,
        objects=["门口", "柜台"],
        parent=tree.media["门店"],
        welcome="欢迎来到{store}的{object}",
        benefit="{store}专享",
    )
    made = services.create_touchpoints(
        plan=plan, account=tree.account, parent=tree.media["门店"], at=AT, tags=[tag], ends_at=AT + 90 * DAY
    )

    assert [each.name for each in made] == [each.name for each in plan]
    assert len({each.scene for each in made}) == len(made) == 96
    first = Touchpoint.objects.select_related("parent", "store").get(pk=made[0].pk)
    assert (first.name, first.parent.name, first.store) == ("第00店 · 门口", "第00店", stores[0])
    assert (first.welcome, first.benefit) == ("欢迎来到第00店的门口", "第00店专享")
    assert TouchpointTag.objects.filter(tag=tag).count() == 96
    assert Touchpoint.objects.filter(parent=tree.media["门店"], store__in=stores).count() == 48


def test_batch_again_makes_only_what_is_missing(tree):
    stores = [make_store(f"S{number:02d}", f"第{number:02d}店") for number in range(3)]
    parent = tree.media["门店"]
    for objects in (["门口"], ["门口", "柜台"]):
        plan = services.plan_codes(stores=stores, objects=objects, parent=parent)
        made = services.create_touchpoints(plan=plan, account=tree.account, parent=parent, at=AT)

    assert [each.exists for each in plan] == [True, False] * 3
    assert len(made) == 3
    assert (
        services.create_touchpoints(
            plan=services.plan_codes(stores=stores, objects=["柜台"], parent=parent),
            account=tree.account,
            parent=parent,
            at=AT,
        )
        == []
    )


def test_batch_asks_as_often_for_40_stores_as_for_2(tree, django_assert_max_num_queries):
    stores = [make_store(f"S{number:02d}", f"第{number:02d}店") for number in range(40)]
    with django_assert_max_num_queries(16):
        plan = services.plan_codes(stores=stores, objects=["门口"], parent=None)
        services.create_touchpoints(plan=plan, account=tree.account, parent=None, at=AT)
