"""Reading as the reports role has a second net too: statements that name no brand are not sent."""

import pytest
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from accounts.errors import NoBrandInScope
from accounts.tenancy import BrandQuerySet, brand_scope, current_brand_id, reporting
from members.models import Member, MemberTag, Tag
from tests.factories import make_tag


@pytest.fixture
def two(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            make_tag(each.slug)
    return brand, other_brand


@pytest.mark.parametrize(
    "look",
    [
        lambda other: list(BrandQuerySet(Tag)),
        lambda other: BrandQuerySet(Tag).count(),
        lambda other: list(BrandQuerySet(Tag).filter(brand_id=other.pk)),
        lambda other: list(Tag.objects.filter(pk__in=BrandQuerySet(MemberTag).values("tag_id"))),
        lambda other: list(BrandQuerySet(Member).filter(pk__in=MemberTag.objects.values("member_id"))),
        lambda other: list(BrandQuerySet(Tag).filter(name="100%%", meaning__contains="%s")),
        lambda other: list(BrandQuerySet(Tag).exclude(brand_id=current_brand_id())),
        lambda other: list(BrandQuerySet(Tag).filter(Q(brand_id=current_brand_id()) | Q(name=other.slug))),
        lambda other: list(BrandQuerySet(Tag).filter(Q(name=other.slug) | Q(brand_id=current_brand_id()))),
        lambda other: list(Tag.objects.filter(Exists(BrandQuerySet(MemberTag).filter(tag_id=OuterRef("pk"))))),
        lambda other: BrandQuerySet(Tag).explain(),
    ],
)
def test_open_query_is_not_sent(two, look):
    with reporting(two[0].pk), pytest.raises(NoBrandInScope):
        look(two[1])


def test_guarded_queries_pass(two):
    with reporting(two[0].pk):
        assert [tag.name for tag in Tag.objects.exclude(name="100%").order_by("pk")] == [two[0].slug]
        tagged = MemberTag.objects.filter(tag__name="x").values("member_id")
        assert Member.objects.filter(pk__in=tagged).exclude(pk__in=tagged).count() == 0
        tagged_with = MemberTag.objects.filter(tag_id=OuterRef("pk"))
        assert list(Tag.objects.filter(~Exists(tagged_with)).values_list("name", flat=True)) == [two[0].slug]
        assert (Tag.objects.filter(name="x") | Tag.objects.filter(name=two[0].slug)).count() == 1
        assert Tag.objects.filter(name="x").union(Tag.objects.exclude(name="y"), Tag.objects.none()).count() == 1
        assert Tag.objects.values("name").annotate(lists=Count("remotes")).filter(lists=0).count() == 1
        assert list(Member.objects.prefetch_related("identities").select_related("store").distinct()) == []
        assert "Scan" in Tag.objects.filter(name="x").explain()
        with connection.cursor() as cursor:
            cursor.execute(
                'WITH ours AS (SELECT * FROM "members_tag" WHERE "members_tag"."brand_id" = %s AND name LIKE \'%%\') '
                'SELECT count(*) FROM "ours"',
                [two[0].pk],
            )
            assert cursor.fetchone() == (1,)
    with brand_scope(two[0].pk), connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the reader is gone with the role
        assert list(BrandQuerySet(Tag).values_list("name", flat=True)) == [two[0].slug]
