"""Every write leaves one line with before and after; secrets never appear in it."""

import ast
import json

import pytest
from django.utils import translation

from accounts.models import ApiKey, AuditEntry, RoleGrant, StaffUser
from accounts.tenancy import brand_scope
from console.labels import ACTIONS, change_rows, source_label
from members.models import MemberTag, Tag
from tests.factories import AT
from tests.sources import python_files
from wechat_gateway.models import OfficialAccount

pytestmark = pytest.mark.django_db


@pytest.fixture
def entries(ours):
    with brand_scope(ours.brand.pk):
        known = set(AuditEntry.objects.values_list("pk", flat=True))

    def new():
        with brand_scope(ours.brand.pk):
            return list(AuditEntry.objects.exclude(pk__in=known).order_by("pk"))

    return new


HOURS = {
    "hours-TOTAL_FORMS": "0",
    "hours-INITIAL_FORMS": "0",
    "exceptions-TOTAL_FORMS": "0",
    "exceptions-INITIAL_FORMS": "0",
}


def test_changed_field_is_kept_with_before_and_after(as_owner, owner, ours, entries):
    fields = {"code": "澜1", "name": "静安寺店", "city": "上海", "address": "南京西路 1601 号", "is_active": "on"}
    fields |= {"lat": "31.2239", "lng": "121.4471"} | HOURS
    page = as_owner.post(f"/b/lanyu/stores/store/{ours.store.pk}/change/", fields)
    assert page.status_code == 302

    (entry,) = entries()
    assert (entry.action, entry.actor_id, entry.via, entry.role) == ("change", owner.pk, "console", "OWNER")
    assert (entry.object_type, entry.object_id) == ("stores.store", str(ours.store.pk))
    assert entry.changes == {"name": ["澜静安店", "静安寺店"]}
    history = as_owner.get(f"/b/lanyu/stores/store/{ours.store.pk}/history/").content.decode()
    assert "静安寺店" in history
    assert "澜静安店" in history


def test_saving_without_a_change_leaves_no_line(as_owner, ours, entries):
    fields = {"code": "澜1", "name": "澜静安店", "city": "上海", "address": "南京西路 1601 号", "is_active": "on"}
    fields |= {"lat": "31.2239", "lng": "121.4471"} | HOURS
    assert as_owner.post(f"/b/lanyu/stores/store/{ours.store.pk}/change/", fields).status_code == 302
    assert entries() == []


@pytest.mark.parametrize(
    ("path", "fields", "actions"),
    [
        ("members/tag/add/", {"name": "爱喝茶", "group": "", "meaning": ""}, ["create tag"]),
        ("touchpoints/touchpoint/add/", {"name": "包装", "welcome": ""}, ["create channel"]),
        ("stores/region/add/", {"name": "华东"}, ["add"]),
        ("accounts/apikey/add/", {"label": "收银系统", "allowed": ["members.read"]}, ["issue key"]),
    ],
)
def test_new_row_leaves_exactly_one_line(as_owner, ours, entries, path, fields, actions):
    page = as_owner.post(f"/b/lanyu/{path}", fields)
    assert page.status_code in {200, 302}
    assert [entry.action for entry in entries()] == actions


def test_tagging_a_member_leaves_a_line_and_taking_it_off_another(as_owner, ours, entries):
    here = f"/b/lanyu/members/member/{ours.member.pk}/change/"
    as_owner.post(here, {"act": "tag", "tag": ours.tag.pk})
    with brand_scope(ours.brand.pk):
        assert MemberTag.objects.get(member=ours.member).source == "staff: owner"
    as_owner.post(here, {"act": "untag", "tag": ours.tag.pk})
    with brand_scope(ours.brand.pk):
        assert not MemberTag.objects.filter(member=ours.member).exists()
    assert [(entry.action, entry.changes) for entry in entries()] == [
        ("tag members", {"tag": [None, "澜标签"]}),
        ("untag members", {"tag": ["澜标签", None]}),
    ]


def test_secrets_are_never_written_down_or_shown(as_owner, ours, entries):
    here = f"/b/lanyu/wechat_gateway/officialaccount/{ours.account.pk}/change/"
    as_owner.post(here, {"act": "secret", "app_secret": "brandnewsecret0123456789"})
    keys = {"callback_token": "brandnewtoken", "encoding_aes_key": "b" * 42 + "A"}
    as_owner.post(here, {"act": "keys", **keys})

    with brand_scope(ours.brand.pk):
        account = OfficialAccount.objects.get(pk=ours.account.pk)
        assert account.app_secret.reveal() == "brandnewsecret0123456789"
        assert account.encoding_aes_key.reveal() == "b" * 42 + "A"
    written = json.dumps([[entry.action, entry.changes] for entry in entries()])
    shown = as_owner.get(here).content.decode() + as_owner.get("/b/lanyu/accounts/auditentry/").content.decode()
    for secret in ("brandnewsecret", "brandnewtoken", "bbbbbbbb", ours.account.callback_token.reveal()):
        assert secret not in written
        assert secret not in shown
    assert "***" in written


def test_what_was_mistyped_when_connecting_can_be_corrected(as_owner, as_marketer, ours, theirs, entries):
    here = f"/b/lanyu/wechat_gateway/officialaccount/{ours.account.pk}/change/"
    typed = {"act": "details", "name": "澜屿会员", "original_id": "gh_right0001", "mode": "COMPATIBLE"}
    assert 'name="original_id"' in as_owner.get(here).content.decode()
    assert as_marketer.post(here, typed).status_code in {403, 404}
    assert as_owner.post(here, typed).status_code == 302
    before = OfficialAccount._meta.get_field("mode").default

    with brand_scope(ours.brand.pk):
        account = OfficialAccount.objects.get(pk=ours.account.pk)
        assert (account.name, account.original_id, account.mode) == ("澜屿会员", "gh_right0001", "COMPATIBLE")
    (entry,) = entries()
    assert (entry.action, entry.changes["original_id"]) == ("change", [ours.account.original_id, "gh_right0001"])
    assert entry.changes["mode"] == [before, "COMPATIBLE"]

    # What cannot be right changes nothing, and saving the same again leaves no line.
    for wrong in ({"original_id": "wx_wrong"}, {"mode": "NONE"}, {"name": " "}):
        as_owner.post(here, {**typed, **wrong})
    as_owner.post(here, typed)
    with brand_scope(ours.brand.pk):
        account.refresh_from_db()
        assert (account.name, account.original_id, account.mode) == ("澜屿会员", "gh_right0001", "COMPATIBLE")
    assert len(entries()) == 1


def test_what_came_by_scanning_is_not_corrected_by_hand(as_owner, ours, entries):
    here = f"/b/lanyu/wechat_gateway/officialaccount/{ours.account.pk}/change/"
    with brand_scope(ours.brand.pk):
        OfficialAccount.objects.update(platform_appid="wx00000000000000ff")
    assert 'name="original_id"' not in as_owner.get(here).content.decode()
    as_owner.post(here, {"act": "details", "name": "新名字", "original_id": "gh_other001", "mode": "PLAIN"})
    with brand_scope(ours.brand.pk):
        account = OfficialAccount.objects.get(pk=ours.account.pk)
        assert (account.name, account.original_id) == ("新名字", ours.account.original_id)


def test_api_key_is_shown_once(as_owner, ours):
    page = as_owner.post("/b/lanyu/accounts/apikey/add/", {"label": "收银系统", "allowed": ["members.read"]})
    with brand_scope(ours.brand.pk):
        key = ApiKey.objects.get(label="收银系统")
    clear = page.context["clear"]
    assert clear.startswith(key.prefix + ".")
    assert clear in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    for path in ("accounts/apikey/", f"accounts/apikey/{key.pk}/change/", "accounts/auditentry/"):
        assert clear not in as_owner.get(f"/b/lanyu/{path}").content.decode()


def test_staff_member_is_added_with_an_account_and_a_role(as_owner, ours, entries):
    fields = {
        "username": "xiaozhou",
        "person": "小周",
        "password": "tea-and-rain-2025",
        "role": "MARKETER",
        "scope": "BRAND",
    }
    assert as_owner.post("/b/lanyu/accounts/rolegrant/add/", fields).status_code == 302
    user = StaffUser.objects.get(username="xiaozhou")
    assert user.check_password("tea-and-rain-2025")
    with brand_scope(ours.brand.pk):
        assert RoleGrant.objects.get(staff_user=user).role == "MARKETER"
    assert [entry.action for entry in entries()] == ["grant role"]
    assert "tea-and-rain" not in json.dumps([entry.changes for entry in entries()])


def test_last_owner_keeps_the_role(as_owner, owner, ours):
    with brand_scope(ours.brand.pk):
        grant = RoleGrant.objects.get(staff_user=owner)
    page = as_owner.post(f"/b/lanyu/accounts/rolegrant/{grant.pk}/delete/", {"post": "yes"}, follow=True)
    assert "品牌至少要有一位主管理员" in page.content.decode()
    with brand_scope(ours.brand.pk):
        assert RoleGrant.objects.get(staff_user=owner).role == "OWNER"


def test_name_that_is_taken_is_refused_at_its_field(as_owner, ours):
    page = as_owner.post("/b/lanyu/members/tag/add/", {"name": "澜标签", "group": "", "meaning": ""})
    assert list(page.context["adminform"].form.errors) == ["name"]
    with brand_scope(ours.brand.pk):
        assert Tag.objects.filter(name="澜标签").count() == 1


def test_audit_log_cannot_be_changed(as_owner, ours):
    with brand_scope(ours.brand.pk):
        entry = AuditEntry.objects.order_by("pk").first()
    assert as_owner.post(f"/b/lanyu/accounts/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    as_owner.post(f"/b/lanyu/accounts/auditentry/{entry.pk}/change/", {"reason": "anders"})
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.get(pk=entry.pk).reason == entry.reason


def literals(node):
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def test_every_act_of_the_product_has_words_in_the_log():
    """An act without words shows its bare code to whoever reads the log."""
    said = set()
    for path in python_files(but=("tests",)):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "record_audit" in text else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "record_audit":
                said.update(text for word in node.keywords if word.arg == "action" for text in literals(word.value))

    assert len(said) > 100
    assert sorted(said - set(ACTIONS)) == []


def test_sources_and_stored_menus_are_said_in_words(ours):
    with translation.override("zh-hans"):
        assert source_label("phone (shop)") == "同一手机（商城）"
        assert source_label("flag: test") == "不计入「测试人员」"
        assert source_label("import 12") == source_label("import")
        menu = [{"name": "预约", "type": "click", "key": "BOOK"}]
        entry = AuditEntry(object_type="conversations.menu", changes={"draft": [None, menu]})
        assert change_rows(entry)[0]["after"] == "名称: 预约，操作: 点击推事件，键值: BOOK"


def test_the_list_names_members_who_act_and_hides_codes_behind_numbers(as_owner, ours):
    with brand_scope(ours.brand.pk):
        AuditEntry.objects.create(
            at=AT,
            actor_label="member 8821",
            action="bind phone",
            object_type="imports.importjob",
            object_label="7 rows",
        )
    page = as_owner.get("/b/lanyu/accounts/auditentry/").content.decode()
    assert "会员 8821" in page
    assert "#7<" in page
    assert "7 rows" not in page
