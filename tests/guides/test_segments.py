"""Segments by exclusive guide, now and as it was."""

from datetime import timedelta

from guides.services import assign_guide
from members.models import Member
from tests.factories import AT, make_account, make_guide, make_member, make_store
from tests.members.kept import fact as why
from tests.members.kept import follows, named, names, only, said

DAY = timedelta(days=1)


def test_guide_of_a_member_now_and_then(in_brand):
    account, store = make_account(), make_store()
    first, second = make_guide(store), make_guide(store, "LY0008", "李雷")
    ann, ben, cat = (make_member(account) for _ in range(3))
    named(a=ann, b=ben, c=cat)
    Member.objects.update(created_at=AT - 9 * DAY)
    assign_guide(member_id=ann.pk, guide=first, reason="t", at=AT - 5 * DAY)
    assign_guide(member_id=ann.pk, guide=second, reason="t", at=AT - DAY, replace=True)
    assign_guide(member_id=ben.pk, guide=first, reason="t", at=AT - DAY)
    mine, any_guide = only("guide", guides=[first.pk]), only("any_guide", value="yes")

    assert (names(mine, AT), names(mine, AT - 2 * DAY), names(any_guide, AT)) == ("b", "a", "ab")
    assert names(only("any_guide", value="no"), AT) == "c"
    assert why(mine, ann, AT, then=AT - 2 * DAY) == (True, "王敏 LY0007 since 2025-05-27 08:00")
    assert why(mine, cat, AT) == (False, "no exclusive guide")
    assert said(only("guide", guides=[first.pk, second.pk])) == "is looked after by “王敏” or “李雷”"
    follows(
        [mine, any_guide, only("any_guide", value="no")],
        lambda now: assign_guide(member_id=cat.pk, guide=first, reason="t", at=now),
        lambda now: assign_guide(member_id=ben.pk, guide=second, reason="t", at=now, replace=True),
        at=AT,
    )
