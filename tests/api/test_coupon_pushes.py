"""A coupon for a segment over the API: seen before, begun once, stopped, and nothing of another brand."""

from __future__ import annotations

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from coupons import services
from coupons.models import Push
from members.models import Member
from tests.coupons.conftest import make_template
from tests.coupons.test_pushes import segment

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
