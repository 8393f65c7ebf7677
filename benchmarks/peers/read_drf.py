"""Member card, list of members and nearby stores the usual DRF way: serializers, generic views, CursorPagination."""
# The peers' models are no app of the product's settings, so the types of Django's plugin do not know them.
# mypy: ignore-errors

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.urls import path
from rest_framework import generics, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle

from benchmarks.peers.read_auth import key_of, session_of
from benchmarks.peers.read_models import Assignment, Member, Shop, Store
from benchmarks.peers.read_stores import nearest

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request


class Bearer(BaseAuthentication):
    """`Authorization: Bearer …` of a member."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            return None
        found = session_of(value)
        if found is None:
            raise AuthenticationFailed
        return found, None


class Key(BaseAuthentication):
    """`Authorization: Key …` of another system."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind != "Key":
            return None
        found = key_of(value)
        if found is None:
            raise AuthenticationFailed
        return found, None


class Reads(BasePermission):
    """Keys with the scope only."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return "members.read" in getattr(request.user, "scopes", ())


class PerCaller(SimpleRateThrottle):
    """DRF's own rate limit in the cache."""

    scope = "caller"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return f"throttle_{request.user.pk}"


THROTTLES = (PerCaller,) if os.environ.get("BENCH_THROTTLE") else ()


class StoreLine(serializers.ModelSerializer[Store]):
    class Meta:
        model = Store
        fields = ("code", "name")


class GuideLine(serializers.ModelSerializer[Assignment]):
    staff_no = serializers.CharField(source="guide.staff_no")
    name = serializers.CharField(source="guide.name")
    store_name = serializers.CharField(source="guide.store.name")

    class Meta:
        model = Assignment
        fields = ("staff_no", "name", "store_name", "since")


class Card(serializers.ModelSerializer[Member]):
    phone = serializers.CharField(source="phone_masked")
    birthday = serializers.SerializerMethodField()
    following = serializers.BooleanField(source="subscribed")
    store = StoreLine()
    guide = serializers.SerializerMethodField()

    class Meta:
        model = Member
        fields = ("member_no", "name", "phone", "birthday", "city", "joined_at", "following", "store", "guide")

    def get_birthday(self, member: Member) -> str | None:
        found = member.birth_mmdd
        return None if found is None else f"{found // 100:02d}-{found % 100:02d}"

    def get_guide(self, member: Member) -> dict[str, Any] | None:
        found = (
            Assignment.objects.select_related("guide__store")
            .filter(brand_id=member.brand_id, member=member, until__isnull=True)
            .first()
        )
        return GuideLine(found).data if found else None


class Person(serializers.ModelSerializer[Member]):
    phone = serializers.CharField(source="phone_masked")
    birthday = serializers.SerializerMethodField()
    following = serializers.BooleanField(source="subscribed")
    store = StoreLine()
    tags = serializers.SlugRelatedField(many=True, read_only=True, slug_field="name")

    class Meta:
        model = Member
        fields = (
            *("member_no", "name", "phone", "birthday", "city", "store", "tags", "following", "created_at"),
            *("joined_at", "last_interaction_at"),
        )

    get_birthday = Card.get_birthday


class Me(generics.RetrieveAPIView[Member]):
    authentication_classes = (Bearer,)
    throttle_classes = THROTTLES
    serializer_class = Card

    def get_object(self) -> Member:
        session: Any = self.request.user
        member: Member = session.member
        return member


class Page(CursorPagination):
    page_size = 20
    ordering = "-id"


class People(generics.ListAPIView[Member]):
    authentication_classes = (Key,)
    throttle_classes = THROTTLES
    permission_classes = (Reads,)
    serializer_class = Person
    pagination_class = Page

    def get_queryset(self) -> QuerySet[Member]:
        key: Any = self.request.user
        return (
            Member.objects.filter(brand_id=key.brand_id, merged_into__isnull=True)
            .filter(**{name: self.request.query_params[name] for name in FILTERS & set(self.request.query_params)})
            .select_related("store")
            .prefetch_related("tags")
        )


class Where(serializers.Serializer[Any]):
    lat = serializers.FloatField(min_value=-90, max_value=90)
    lng = serializers.FloatField(min_value=-180, max_value=180)
    limit = serializers.IntegerField(default=10, min_value=1, max_value=20)


class ShopLine(serializers.ModelSerializer[Shop]):
    distance = serializers.SerializerMethodField()
    hours = serializers.ReadOnlyField(source="hours_now")

    class Meta:
        model = Shop
        fields = ("code", "name", "address", "telephone", "lat", "lng", "distance", "hours")

    def get_distance(self, shop: Shop) -> int:
        return round(shop.metres)


class Nearby(generics.GenericAPIView[Shop]):
    authentication_classes = (Bearer,)
    throttle_classes = THROTTLES
    serializer_class = ShopLine

    def get(self, request: Request) -> Response:
        where = Where(data=request.query_params)
        where.is_valid(raise_exception=True)
        shops = nearest(request.user.brand_id, **where.validated_data)
        return Response({"results": self.get_serializer(shops, many=True).data})


FILTERS = {"member_no", "phone_index"}  # the peer keeps a fingerprint too, and is given it instead of the phone

urlpatterns = [
    path("api/v1/me/", Me.as_view()),
    path("api/v1/members/", People.as_view()),
    path("api/v1/stores/nearby/", Nearby.as_view()),
]
