"""A brand's own profile fields over the API: members fill in theirs, systems say what they know, sealed stays inside."""

from accounts.tenancy import brand_scope
from members.models import ProfileField
from members.services import save_profile_field, save_segment
from tests.factories import AT


def fields(side):
    with brand_scope(side.brand.pk):
        more = {"kind": "CHOICE", "choices": ["干性", "油性"], "sources": ["member", "pos", "api"]}
        save_profile_field(field=ProfileField(key="skin", label="肤质", by_member=True, **more), at=AT)
        sealed = {"kind": "TEXT", "sources": ["api"], "sensitivity": "SEALED"}
        save_profile_field(field=ProfileField(key="illness", label="病史", **sealed), at=AT)


def test_member_and_system_say_different_things_and_the_members_word_counts(a, b):
    fields(a)
    path = f"/members/{a.member.member_no}/profile/"
    said = a.system.patch(path, {"source": "pos", "values": [{"key": "skin", "value": "油性"}]})
    assert said.status_code == 200
    own = a.me.patch("/me/profile/", {"values": [{"key": "skin", "value": "干性"}]})
    assert own.json()["results"] == [
        {"key": "skin", "label": "肤质", "kind": "CHOICE", "choices": ["干性", "油性"], "value": "干性"}
    ]
    skin = next(fact for fact in a.system.get(path).json()["results"] if fact["key"] == "skin")
    assert (skin["value"], skin["conflict"], [word["source"] for word in skin["words"]]) == (
        "干性",
        True,
        ["member", "pos"],
    )
    assert b.me.get("/me/profile/").json() == {"results": []}


def test_sealed_goes_in_and_never_out_and_members_touch_only_theirs(a):
    fields(a)
    path = f"/members/{a.member.member_no}/profile/"
    said = a.system.patch(path, {"values": [{"key": "illness", "value": "湿疹"}]})
    assert (said.status_code, "湿疹" in said.content.decode()) == (200, False)
    for values in (
        [{"key": "illness", "value": "无"}],
        [{"key": "name", "value": "x"}],
        [{"key": "skin", "value": "紫"}],
    ):
        refused = a.me.patch("/me/profile/", {"values": values})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "profile_value_invalid"), values
    assert a.key("members.read").patch(path, {"values": [{"key": "skin", "value": "干性"}]}).status_code == 403


def test_lists_show_the_fields_that_are_asked_for_and_nothing_sealed(a, b):
    fields(a)
    fields(b)
    said = [{"key": "skin", "value": "油性"}, {"key": "illness", "value": "湿疹"}]
    assert a.system.patch(f"/members/{a.member.member_no}/profile/", {"values": said}).status_code == 200
    with brand_scope(a.brand.pk):
        segment = save_segment(name="全部", rule={"all": []}, at=AT)

    for path in ("/members/", f"/segments/{segment.pk}/people/"):
        plain = a.system.get(path)
        assert all(row["profile"] == {} for row in plain.json()["results"])
        shown = a.system.get(f"{path}?profile=illness,skin")
        rows = {row["member_no"]: row["profile"] for row in shown.json()["results"]}
        assert rows[a.member.member_no] == {"skin": "油性", "illness": None}
        assert all(row == {"skin": None, "illness": None} for no, row in rows.items() if no != a.member.member_no)
        assert "湿疹" not in shown.content.decode()
        for wrong in ("", "skin,skin", "nothing", "Skin", ",".join(f"k{n}" for n in range(21)), "x" * 900, "%00"):
            refused = a.system.get(f"{path}?profile={wrong}")
            assert (refused.status_code, refused.json()["error"]["fields"][0]["field"]) == (422, "profile"), wrong
