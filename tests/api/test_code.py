"""The member code over the API: the phone shows it, the counter's key takes it."""

from accounts.tenancy import brand_scope
from members.models import CodeUse, Member


def test_phone_shows_a_code_and_the_counter_gets_the_card_once(a, b):
    shown = a.me.get("/me/code/").json()
    assert (len(shown["code"]), 0 < shown["seconds_left"] <= 30) == (10 + len(a.member.member_no), True)
    till = a.key("counter.use")

    taken = till.post("/counter/codes/", {"code": shown["code"], "key": "scan-1"})
    with brand_scope(a.brand.pk):
        Member.objects.filter(pk=a.member.pk).update(name="后来改的名")
    again = till.post("/counter/codes/", {"code": shown["code"], "key": "scan-1"})

    assert (taken.status_code, taken.json()["member"]["member_no"]) == (201, a.member.member_no)
    assert (again.status_code, again.content) == (201, taken.content)
    for caller, status, code in ((a.key("counter.use"), 409, "code_used"), (b.key("counter.use"), 422, "code_unknown")):
        refused = caller.post("/counter/codes/", {"code": shown["code"], "key": "scan-2"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert a.key("members.read").post("/counter/codes/", {"code": shown["code"], "key": "s"}).status_code == 403
    with brand_scope(a.brand.pk):
        assert CodeUse.objects.count() == 1
