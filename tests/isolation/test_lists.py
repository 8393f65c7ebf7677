"""Lists answer only the filters they offer, and nonsense in an address is nobody's fault."""

import pytest

from accounts.tenancy import brand_scope
from console.site import site

pytestmark = pytest.mark.django_db

PATHS = sorted(f"{model._meta.app_label}/{model._meta.model_name}" for model in site._registry)
PROBES = (
    "brand__slug=zaoshan",
    "brand__data_key__isnull=0",
    "brand_id__gt=0",
    "pk__gte=1",
    "id__in=1,2,3",
    "merged_into__isnull=True",
    "phone_tail__startswith=6",
    "phone_index__isnull=False",
    "app_secret__isnull=False",
    "body__contains=broken",
    "fingerprint__startswith=a",
    "staff_user__password__startswith=p",
    "name__regex=(a%2B)%2B$",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_filter_works_that_the_page_does_not_offer(as_owner, ours, path):
    answers = {probe: as_owner.get(f"/b/lanyu/{path}/?{probe}").status_code for probe in PROBES}
    assert set(answers.values()) <= {302, 400}, answers


def test_every_offered_filter_works(as_owner, ours):
    for model, admin in site._registry.items():
        for each in admin.list_filter:
            name = getattr(each, "parameter_name", f"{each}__exact")
            path = f"/b/lanyu/{model._meta.app_label}/{model._meta.model_name}/"
            assert as_owner.get(path, {name: "1"}).status_code == 200, (model, name)


def test_offered_filters_work(as_owner, ours):
    for query in ("campaigns/campaign/?state__exact=PAUSED", "campaigns/campaign/?purpose__exact=MARKETING"):
        assert as_owner.get(f"/b/lanyu/{query}").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_nonsense_in_an_address_finds_nothing(as_owner, ours, path):
    for query in (
        "q=%00",
        "q=%F0%9F%98%80",
        "p=%00",
        "p=-1",
        "p=%C2%B2",
        f"o={'9' * 30}",
        "_to_field=brand",
        "q=" + "x" * 3000,
    ):
        assert as_owner.get(f"/b/lanyu/{path}/?{query}").status_code in {200, 302, 400}, query
    for key in ("%00", "9" * 30, "-1", "%C2%B2", "1'--", "_5F"):
        assert as_owner.get(f"/b/lanyu/{path}/{key}/change/").status_code in {400, 404}, key


@pytest.mark.parametrize("value", ["%00", "%C2%B2", "9" * 30, "9" * 5000, "-1", "x"])
def test_nonsense_in_a_filter_finds_nothing(as_owner, ours, value):
    for query in (
        f"members/member/?tag={value}",
        f"members/member/?store={value}",
        f"members/member/?view={value}",
        f"members/follower/?following={value}",
        f"accounts/auditentry/?who={value}",
        f"accounts/auditentry/?days={value}",
        f"wechat_gateway/inboundpush/?state={value}",
        f"conversations/replyrule/?answers={value}",
        f"conversations/replyrule/?try={value}&try_account={value}",
        f"campaigns/campaign/?state__exact={value}",
        f"segments/?q={value}&p={value}",
        f"segments/choices/tags/?q={value}",
        f"search/?s={value}",
        f"campaigns/new/?segment={value}",
    ):
        assert as_owner.get(f"/b/lanyu/{query}").status_code in {200, 302, 400}, query[:60]


def test_choices_for_a_field_never_come_from_another_brand(as_owner, ours, theirs):
    for model, admin in site._registry.items():
        for field in model._meta.fields:
            if field.remote_field is None:
                continue
            query = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": field.name}
            answer = as_owner.get("/b/lanyu/autocomplete/", query)
            assert answer.status_code in {200, 403, 404}, (model, field.name)
            assert "灶" not in answer.content.decode().encode().decode("unicode_escape", "ignore"), (admin, field.name)


def test_shortcut_to_an_object_says_nothing_about_another_brand(as_owner, ours, theirs):
    from django.contrib.contenttypes.models import ContentType

    for row in (theirs.member, theirs.tag, theirs.brand):
        kind = ContentType.objects.get_for_model(type(row)).pk
        foreign, missing = (as_owner.get(f"/b/lanyu/r/{kind}/{key}/") for key in (row.pk, 999_999_999))
        assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)
        assert foreign.status_code == 404


def test_pop_up_answers_carry_nothing_that_runs(as_owner, ours):
    data = {"name": "</script><script>alert(1)</script>"[:30], "group": "", "meaning": "", "_popup": "1"}
    page = as_owner.post("/b/lanyu/members/tag/add/?_popup=1", data)
    with brand_scope(ours.brand.pk):
        assert page.status_code in {200, 302}
    assert "<script>alert" not in page.content.decode()
