"""A coupon for a segment over the API: seen before, begun once, stopped, and nothing of another brand."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common.clock import now
from coupons import services
from coupons.models import Push
from loyalty.models import Standing, Tier
from members.models import Member
from tests.coupons.conftest import make_template
from tests.coupons.test_pushes import segment
from tests.factories import AT

pytestmark = pytest.mark.django_db


def test_a_system_sees_the_plan_gives_to_a_segment_once_and_stops_it(a, b):
    with brand_scope(a.brand.pk):
        template, whom = make_template("接口券", at=now()), segment()
        people = Member.objects.filter(merged_into=None).count()
    with brand_scope(b.brand.pk):
        foreign = segment()
    body = {"key": "k", "template": str(template.public_id), "segment": whom.pk, "reason": "春季回馈"}
    plan = a.system.get(f"/coupons/pushes/plan/?template={template.public_id}&segment={whom.pk}").json()
    assert (plan["people"], plan["given"], plan["left"], plan["left_out"]) == (people, people, None, [])
    first, again = a.system.post("/coupons/pushes/", body), a.system.post("/coupons/pushes/", body)
    assert (first.status_code, first.content) == (202, again.content)
    path = f"/coupons/pushes/{first.json()['id']}/"
    assert b.system.get(path).status_code == 404
    assert b.system.post(f"{path}stop/", {}).status_code == 404
    for wrong in ({"segment": foreign.pk}, {"segment": "1"}, {"template": "x"}, {"reason": ""}):
        assert a.system.post("/coupons/pushes/", body | {"key": "w"} | wrong).status_code == 422
    assert a.key("coupons.read").post("/coupons/pushes/", body).status_code == 403
    with brand_scope(a.brand.pk):
        push = Push.objects.get()
        services.push_portion(push_id=push.pk, at=now())
    assert a.system.post(f"{path}stop/", {}).json()["state"] == "STOPPED"
    shown = a.system.get(path).json()
    assert (shown["state"], shown["total"], shown["done"], shown["given"]) == ("STOPPED", people, 0, 0)


def test_tiers_are_given_coupons_and_say_how_many_got_one(a, b):
    with brand_scope(a.brand.pk):
        Tier.objects.create(name="初见", threshold=0)
        tier = Tier.objects.create(name="知音", threshold=1000)
        template, draft = make_template(), make_template(active=False)
    with brand_scope(b.brand.pk):
        Tier.objects.create(name="别家", threshold=1000)
        theirs = make_template()
    body = {"tier": "知音", "template": str(template.public_id), "period": "MONTH"}
    first, again = a.system.post("/coupons/tiers/", body), a.system.post("/coupons/tiers/", body)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json() == body | {"name": template.name, "is_on": True, "given": 0}
    with brand_scope(a.brand.pk):
        Standing.objects.create(member=a.member, tier=tier, since=AT)
        services.find_gifts(at=now())
        assert services.give_gifts(at=now()) == 1
        assert AuditEntry.objects.filter(action="change coupon of a tier").count() == 1
    assert a.system.get("/coupons/tiers/").json() == {"results": [first.json() | {"given": 1}]}
    assert b.system.get("/coupons/tiers/").json() == {"results": []}
    off = a.system.post("/coupons/tiers/", body | {"period": "YEAR", "is_on": False}).json()
    assert (off["period"], off["is_on"], off["given"]) == ("YEAR", False, 0)
    closed = a.system.post("/coupons/tiers/", body | {"template": str(draft.public_id)})
    assert (closed.status_code, closed.json()["error"]["code"]) == (409, "template_closed")
    for wrong in ({"tier": "别家"}, {"template": str(theirs.public_id)}, {"period": "DAY"}, {"more": 1}):
        assert a.system.post("/coupons/tiers/", body | wrong).status_code == 422
    assert a.key("coupons.read").post("/coupons/tiers/", body).status_code == 403
    assert a.key("coupons.write").get("/coupons/tiers/").status_code == 403
