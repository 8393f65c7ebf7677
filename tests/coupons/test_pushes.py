"""A coupon for a whole segment: counted before, given once to each, exact in its budget, told who was left out."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common import clock
from common.clock import now
from coupons import errors, services, tasks
from coupons.invariants import breaches
from coupons.models import Coupon, Move, Push, PushPerson, Template
from coupons.selectors import pushes as selectors
from coupons.services import pushes
from loyalty.errors import KeyReused
from members.models import Member, OptOut, Segment
from members.services import save_segment, set_flag, suppress_members
from tests.coupons.conftest import claim, make_template, once
from tests.factories import AT, make_account, make_member

EVERYBODY = {"all": []}
PUSHES = "/b/lanyu/coupons/push/"


def segment(rule=None, name="所有人"):
    return save_segment(name=name, rule=rule or EVERYBODY, at=AT)


def begun(template, whom=None, at=AT, key=None):
    push = services.create_push(
        operation=once(key), template=template, segment=whom or segment(), reason="春季回馈", at=at
    )
    return services.start_push(push_id=push.pk, at=at)


def run(push, at=AT, size=2):
    while services.push_portion(push_id=push.pk, at=at, size=size):
        pass
    push.refresh_from_db()
    return push


def outcomes(push):
    return dict(PushPerson.objects.filter(push=push).values_list("member_id", "outcome"))


@pytest.fixture
def crowd(in_brand):
    account = make_account()
    yield [make_member(account, name=f"人{number}") for number in range(9)]
    assert breaches() == []


def test_the_plan_and_the_push_agree_on_everybody_and_name_the_reason_of_each(crowd):
    plain, had, staff, listed, control, young, refused, gone, late = crowd
    template = make_template("春", claimable=True, total=3)
    claim(template, had)
    set_flag(member_id=staff.pk, kind="BLOCKED", since=None, reason="刷券", by="林澄", at=AT)
    suppress_members(member_ids=[listed.pk], reason="投诉", by="林澄", at=AT)
    OptOut.objects.create(member=control, purpose="MARKETING", at=AT, withdrawn=False, control=True)
    OptOut.objects.create(member=young, purpose="MARKETING", at=AT, withdrawn=False, minor=True)
    OptOut.objects.create(member=refused, purpose="PERSONAL", at=AT)
    OptOut.objects.create(member=plain, purpose="MARKETING", at=AT)  # no messages, but a coupon is none
    Member.objects.filter(pk=gone.pk).update(erased_at=AT)
    chosen = segment()
    template.refresh_from_db()
    plan = selectors.plan_of(template, chosen, at=AT)
    push = run(begun(template, chosen))
    wanted = {
        plain.pk: "GIVEN", had.pk: "HAD_IT", staff.pk: "FLAGGED", listed.pk: "ON_LIST", control.pk: "CONTROL",
        young.pk: "MINOR", refused.pk: "GIVEN", late.pk: "NONE_LEFT",
    }  # fmt: skip
    assert outcomes(push) == wanted
    told = Counter(wanted.values())
    assert (push.state, push.total, push.done, push.tally) == ("DONE", 8, 8, dict(told))
    assert (plan.people, plan.given, plan.left) == (8, told.pop("GIVEN"), 2)
    assert {each.outcome: each.count for each in plan.left_out} == dict(told)
    assert {each.outcome: each.count for each in selectors.progress_of(push).left_out} == dict(told)
    move = Move.objects.get(coupon__member=plain)
    assert (move.reason, move.detail["way"], move.detail["push"]) == ("春季回馈", "PUSH", push.pk)
    assert AuditEntry.objects.filter(action="push coupons").count() == 1


def test_whoever_objects_to_being_chosen_is_left_out_where_a_rule_chooses(crowd):
    member = crowd[0]
    OptOut.objects.create(member=member, purpose="PERSONAL", at=AT)
    rule = {"all": [{"condition": "last_interaction", "params": {"how": "within", "days": 3650}}]}
    Member.objects.update(last_interaction_at=AT)
    template, chosen = make_template(), segment(rule)
    plan = selectors.plan_of(template, chosen, at=AT)
    assert [(each.outcome, each.count) for each in plan.left_out] == [("NOT_CHOSEN", 1)]
    push = run(begun(template, chosen))
    assert (outcomes(push)[member.pk], push.tally) == ("NOT_CHOSEN", {"GIVEN": 8, "NOT_CHOSEN": 1})


class Killed(BaseException):
    """The process is gone."""


def test_killed_at_every_line_it_goes_on_and_gives_everybody_one(crowd):
    template = make_template(total=7)
    push = begun(template)
    died = set()

    def trace(frame, event, _arg):
        code = frame.f_code
        if not code.co_filename.endswith(("coupons/services/pushes.py", "coupons/services/moves.py")):
            return None
        place = (code.co_filename, frame.f_lineno)
        if event == "line" and place not in died:
            died.add(place)
            raise Killed
        return trace

    for _step in range(400):
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            more = services.push_portion(push_id=push.pk, at=AT, size=3)
        except Killed:
            more = True
        finally:
            sys.settrace(before)
        if not more:
            break
    push.refresh_from_db()
    assert len(died) > 60  # every line of writing down, giving and ending
    assert (push.state, push.tally) == ("DONE", {"GIVEN": 7, "NONE_LEFT": 2})
    assert Counter(outcomes(push).values()) == push.tally
    assert (Coupon.objects.count(), Template.objects.get().taken) == (7, 7)
    assert list(Coupon.objects.order_by("member_id").values_list("member_id", flat=True)) == sorted(
        member.pk for member in crowd[:7]
    )


def test_two_records_of_one_person_get_one_coupon_and_a_flag_set_meanwhile_counts(crowd):
    push = begun(make_template(per_member=5))
    services.push_portion(push_id=push.pk, at=AT)  # everybody is written down
    first, second, flagged, kept, merged = crowd[:5]
    Member.objects.filter(pk=first.pk).update(merged_into=second)
    Member.objects.filter(pk=merged.pk).update(merged_into=kept)
    set_flag(member_id=flagged.pk, kind="TEST", since=None, reason="测试账号", by="林澄", at=AT)
    run(push, size=1)
    found = outcomes(push)
    assert [found[each.pk] for each in (first, second, flagged, kept, merged)] == [
        "GIVEN", "MERGED", "FLAGGED", "GIVEN", "MERGED",
    ]  # fmt: skip
    assert Counter(Coupon.objects.values_list("member_id", flat=True)) == Counter(
        [second.pk, kept.pk, *(each.pk for each in crowd[5:])]
    )


def test_stopped_it_gives_no_more_and_turned_off_it_says_so(crowd):
    push = begun(make_template("甲"))
    for _step in range(3):
        services.push_portion(push_id=push.pk, at=AT, size=2)
    services.stop_push(push_id=push.pk, at=AT)
    run(push)
    assert (push.state, push.done, push.tally, selectors.progress_of(push).waiting) == ("STOPPED", 4, {"GIVEN": 4}, 5)
    with pytest.raises(errors.PushNotDraft):
        services.start_push(push_id=push.pk, at=AT)
    template = make_template("乙")
    push = begun(template, Segment.objects.get())
    services.push_portion(push_id=push.pk, at=AT)
    services.stop_template(template_id=template.pk, at=AT)
    assert run(push).tally == {"CLOSED": 9}
    with pytest.raises(errors.TemplateClosed):
        begun(Template.objects.get(pk=template.pk), Segment.objects.get())


def test_a_key_is_one_push_and_another_body_is_refused(crowd):
    template, whom = make_template(), segment()
    push, again = begun(template, whom, key="k"), begun(template, whom, key="k")
    assert push.pk == again.pk
    run(push)
    assert begun(template, whom, key="k").state == "DONE"
    assert Coupon.objects.count() == 9
    with pytest.raises(KeyReused):
        begun(make_template(), whom, key="k")


def test_what_is_confirmed_is_what_is_given_though_the_coupon_changes(crowd):
    template = make_template()
    push = begun(template)
    template.draft = template.draft | {"amount": 9_900}
    services.save_template(template=template, at=AT)
    services.activate_template(template_id=template.pk, at=AT)
    run(push)
    assert {each.version.rule["amount"] for each in Coupon.objects.select_related("version")} == {3_000}


def test_people_of_a_kept_segment_that_are_too_old_get_nothing(crowd):
    whom = segment()
    Segment.objects.filter(pk=whom.pk).update(freshness="DAILY", refreshed_at=AT - timedelta(days=9))
    with pytest.raises(errors.SegmentTooOld) as refused:
        begun(make_template(), Segment.objects.get())
    assert "9 days ago" in refused.value.message or "9 天" in refused.value.message


@pytest.mark.django_db(transaction=True)
def test_workers_and_claims_at_once_give_exactly_the_budget(brand):
    with brand_scope(brand.pk):
        account = make_account()
        people = [make_member(account) for _number in range(24)]
        template = make_template(total=18)
        push = begun(template)
    gate = threading.Barrier(5)

    def work(number):
        try:
            gate.wait(timeout=30)
            if number < 3:
                for _step in range(60):
                    with brand_scope(brand.pk):
                        services.push_portion(push_id=push.pk, at=AT, size=3)
                return 0
            won = 0
            for member in people[:: number - 2]:
                try:
                    with brand_scope(brand.pk):
                        claim(template, member)
                    won += 1
                except (errors.BudgetGone, errors.MemberLimit):
                    continue
            return won
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        won = sum(pool.map(work, range(5)))
    with brand_scope(brand.pk):
        run(push)
        given = push.tally["GIVEN"]
        assert (given + won, Coupon.objects.count(), Template.objects.get().taken) == (18, 18, 18)
        assert Coupon.objects.values("member_id").distinct().count() == 18
        assert breaches() == []


@pytest.mark.django_db
def test_the_sweep_takes_up_what_was_left_lying(brand, monkeypatch):
    with brand_scope(brand.pk):
        push = begun(make_template(at=now()), at=now())
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda task, *args: rung.append((task.name, args)))
    tasks.sweep.run()
    assert rung == []
    later = now() + pushes.QUIET
    monkeypatch.setattr(clock, "now", lambda: later)
    tasks.sweep.run()
    assert rung == [("coupons.tasks.run_push", (brand.pk, push.pk))]


def page(answer):
    assert answer.status_code == 200, answer.status_code
    return " ".join(answer.content.decode().split())


def test_an_operator_sees_the_plan_confirms_watches_and_reads_who_was_left_out(
    as_owner, as_manager, ours, theirs, settings
):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    with brand_scope(theirs.brand.pk):
        foreign = segment(name="灶上客")
    with brand_scope(ours.brand.pk):
        template, whom = make_template("回馈券", at=now()), segment()
        for each in (ours.member, ours.far_member):
            set_flag(member_id=each.pk, kind="STAFF", since=None, reason="店员", by="林澄", at=now())
        make_member(ours.account, name="贺兰")
        people = Member.objects.filter(merged_into=None).count()
    assert "灶上客" not in page(as_owner.get(f"{PUSHES}add/"))
    form = {"template": template.pk, "segment": whom.pk, "reason": "春季回馈"}
    assert "Select a valid choice" in page(as_owner.post(f"{PUSHES}add/", form | {"segment": foreign.pk}))
    as_owner.post(f"{PUSHES}add/", form)
    with brand_scope(ours.brand.pk):
        push = Push.objects.get()
    path = f"{PUSHES}{push.pk}/change/"
    shown = page(as_owner.get(path))
    assert f'data-testid="people">{people}<' in shown
    assert f'data-testid="given">{people - 2}<' in shown
    assert "works here" in shown
    assert as_manager.post(path, {"act": "start"}).status_code == 403
    for _tap in range(2):
        as_owner.post(path, {"act": "start"})
    with brand_scope(ours.brand.pk):
        assert Push.objects.get().state == "WAITING"
        run(push, at=now())
        assert Coupon.objects.count() == people - 2
        assert not Coupon.objects.filter(member=ours.member).exists()
    done = page(as_owner.get(path))
    assert 'data-state="DONE"' in done
    assert "Done" in page(as_owner.get(f"/b/lanyu/coupons/pushes/{push.pk}/progress/"))
    assert ours.member.name in done
    assert ours.far_member.name in done
    narrow = page(as_manager.get(path))
    assert ours.member.name in narrow
    assert ours.far_member.name not in narrow
    assert ours.member.name in page(as_owner.get(f"{path}?outcome=FLAGGED"))
    assert "Nobody within your reach" in page(as_owner.get(f"{path}?outcome=HAD_IT"))
    assert "回馈券" in page(as_owner.get(PUSHES))


def test_as_many_people_left_out_need_as_many_queries_as_one(as_owner, ours):
    counts = []
    with brand_scope(ours.brand.pk):
        template, whom = make_template(at=now()), segment()
    for more in (1, 3):
        with brand_scope(ours.brand.pk):
            for _number in range(more):
                member = make_member(ours.account)
                set_flag(member_id=member.pk, kind="TEST", since=None, reason="测试", by="林澄", at=now())
            push = run(begun(template, whom, at=now()), at=now())
        with CaptureQueriesContext(connection) as queries:
            as_owner.get(f"{PUSHES}{push.pk}/change/")
        counts.append(len(queries))
    assert counts[0] == counts[1]
