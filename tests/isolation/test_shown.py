"""What people type or send is shown as text; secrets and whole phone numbers are shown nowhere."""

import re

import pytest

from accounts.models import AuditEntry, Brand
from accounts.tenancy import brand_scope
from console.site import site
from conversations.models import ReplyRule
from guides.models import Guide
from members.models import Member, Tag
from members.services import bind_phone
from stores.models import Store
from tests.factories import AT
from touchpoints.models import Touchpoint
from wechat_gateway.models import OfficialAccount

pytestmark = pytest.mark.django_db

EVIL = "\"'><img src=x onerror=zyalert(1)>{{7*7}}"
PHONE = "13800138000"
OWN_PAGES = (
    "",
    "search/?s=%22",
    "segments/",
    "segments/new/",
    "campaigns/templates/",
    "campaigns/new/",
    "conversations/menu/",
)


@pytest.fixture
def pages(as_owner, ours, everybody):
    """Every list, every form and every own page of the brand, as the owner sees them."""

    def read():
        rows = {
            Member: ours.member,
            Tag: ours.tag,
            Touchpoint: ours.touchpoint,
            Store: ours.store,
            Guide: ours.guide,
            ReplyRule: ours.rule,
            OfficialAccount: ours.account,
            type(ours.follower): ours.follower,
            type(ours.push): ours.push,
        }
        paths = [*OWN_PAGES, f"segments/{everybody.pk}/"]
        for model in site._registry:
            base = f"{model._meta.app_label}/{model._meta.model_name}/"
            paths.append(base)
            if model in rows:
                paths += [f"{base}{rows[model].pk}/{page}/" for page in ("change", "history")]
        found = {path: as_owner.get(f"/b/lanyu/{path}") for path in paths}
        found["preview"] = as_owner.post("/b/lanyu/segments/preview/", {"rule": '{"all": []}'})
        with brand_scope(ours.brand.pk):
            entries = list(AuditEntry.objects.values_list("pk", flat=True))
        for entry in entries:
            path = f"accounts/auditentry/{entry}/change/"
            found[path] = as_owner.get(f"/b/lanyu/{path}")
        assert {answer.status_code for answer in found.values()} == {200}
        return {path: answer.content.decode() for path, answer in found.items()}

    return read


def test_markup_in_names_is_text(pages, as_owner, ours, everybody):
    Brand.objects.filter(pk=ours.brand.pk).update(name=EVIL, name_en=EVIL)
    type(as_owner).post(as_owner, "/b/lanyu/members/tag/add/", {"name": EVIL[:20], "group": EVIL[:20], "meaning": EVIL})
    with brand_scope(ours.brand.pk):
        Member.objects.update(name=EVIL, city=EVIL)
        for model in (Store, Touchpoint, OfficialAccount):
            model.objects.update(name=EVIL)
        Guide.objects.update(name=EVIL[:40])
        ReplyRule.objects.update(name=EVIL, text=EVIL, keywords=[EVIL])
        Tag.objects.filter(pk=ours.tag.pk).update(name=EVIL[:30])
        type(everybody).objects.update(name=EVIL)
        type(ours.push).objects.update(body=f"<xml>{EVIL}", reason=EVIL)
    for path, text in pages().items():
        assert not re.search(r"<img[^>]*onerror", text), path
    assert "&lt;img src=x onerror" in pages()["members/member/"]


def test_secrets_and_phone_numbers_are_nowhere(pages, as_owner, ours, caplog):
    with brand_scope(ours.brand.pk):
        bind_phone(member=ours.member, number=f"+86{PHONE}", source="API", at=AT)
        account = OfficialAccount.objects.get(pk=ours.account.pk)
        secrets = [account.app_secret.reveal(), account.callback_token.reveal(), account.encoding_aes_key.reveal()]
    fresh = "f00dfeed" * 4
    as_owner.post(
        f"/b/lanyu/wechat_gateway/officialaccount/{ours.account.pk}/change/", {"act": "secret", "app_secret": fresh}
    )
    found = pages()
    for hidden in (PHONE, PHONE[3:], fresh, *secrets):
        assert [path for path, text in found.items() if hidden in text] == []
        assert hidden not in caplog.text
    with brand_scope(ours.brand.pk):
        lines = str(list(AuditEntry.objects.values_list("changes", "object_label", "reason")))
    assert not any(hidden in lines for hidden in (PHONE, fresh, *secrets))


def test_revealed_phone_is_kept_by_nobody_on_the_way(as_owner, ours):
    with brand_scope(ours.brand.pk):
        bind_phone(member=ours.member, number=f"+86{PHONE}", source="API", at=AT)
    page = as_owner.post(f"/b/lanyu/members/member/{ours.member.pk}/change/", {"act": "reveal", "text": "客诉回访"})
    assert PHONE in page.content.decode()
    assert "no-store" in page["Cache-Control"]


def test_phone_of_somebody_out_of_reach_is_not_revealed(as_manager, as_guide, as_marketer, ours):
    path = f"/b/lanyu/members/member/{ours.far_member.pk}/change/"
    answers = [
        client.post(path, {"act": "reveal", "text": "客诉回访"}) for client in (as_manager, as_guide, as_marketer)
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 403]
