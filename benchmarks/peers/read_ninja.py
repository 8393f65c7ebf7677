"""Member card, list of members and nearby stores the usual django-ninja way: schemas, CursorPagination."""
# django-ninja is only in the peers' environment, so the types of this file cannot be checked in ours.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN205, D103

from datetime import date, datetime
from typing import Annotated

from django.urls import path
from ninja import NinjaAPI, Query, Schema
from ninja.pagination import CursorPagination, paginate
from ninja.security import APIKeyHeader, HttpBearer
from pydantic import Field

from benchmarks.peers.read_auth import key_of, session_of
from benchmarks.peers.read_models import Assignment, Member
from benchmarks.peers.read_stores import nearest

api = NinjaAPI(docs_url=None)


class Bearer(HttpBearer):
    """`Authorization: Bearer …` of a member."""

    def authenticate(self, request, token):
        return session_of(token)


class Key(APIKeyHeader):
    """`Authorization: Key …` of another system."""

    param_name = "Authorization"

    def authenticate(self, request, key):
        kind, _, value = (key or "").partition(" ")
        found = key_of(value) if kind == "Key" else None
        return found if found is not None and "members.read" in found.scopes else None


class StoreLine(Schema):
    code: str
    name: str


class GuideLine(Schema):
    staff_no: str
    name: str
    store_name: str
    since: datetime


def birthday(member):
    found = member.birth_mmdd
    return None if found is None else f"{found // 100:02d}-{found % 100:02d}"


class Card(Schema):
    member_no: str
    name: str
    phone: str
    birthday: str | None
    city: str
    joined_at: datetime | None
    following: bool
    store: StoreLine | None
    guide: GuideLine | None

    resolve_birthday = staticmethod(birthday)

    @staticmethod
    def resolve_phone(member):
        return member.phone_masked

    @staticmethod
    def resolve_following(member):
        return member.subscribed

    @staticmethod
    def resolve_guide(member):
        found = (
            Assignment.objects.select_related("guide__store")
            .filter(brand_id=member.brand_id, member=member, until__isnull=True)
            .first()
        )
        if found is None:
            return None
        guide = found.guide
        return {
            "staff_no": guide.staff_no,
            "name": guide.name,
            "store_name": guide.store.name,
            "since": found.since,
        }


class Person(Schema):
    member_no: str
    name: str
    phone: str
    birthday: str | None
    city: str
    store: StoreLine | None
    tags: list[str]
    following: bool
    created_at: datetime
    joined_at: datetime | None
    last_interaction_at: datetime | None

    resolve_birthday = staticmethod(birthday)

    @staticmethod
    def resolve_phone(member):
        return member.phone_masked

    @staticmethod
    def resolve_following(member):
        return member.subscribed

    @staticmethod
    def resolve_tags(member):
        return sorted(tag.name for tag in member.tags.all())


@api.get("me/", auth=Bearer(), response=Card)
def me(request):
    return request.auth.member


@api.get("members/", auth=Key(), response=list[Person])
@paginate(CursorPagination, ordering=("-id",), page_size=20)
def people(request):
    return (
        Member.objects.filter(brand_id=request.auth.brand_id, merged_into__isnull=True)
        .select_related("store")
        .prefetch_related("tags")
    )


class Opens(Schema):
    opens: str
    closes: str


class Hours(Schema):
    is_open: bool
    closes: str | None
    opens: str | None
    opens_on: date | None
    today: list[Opens]


class ShopLine(Schema):
    code: str
    name: str
    address: str
    telephone: str
    lat: float
    lng: float
    distance: int
    hours: Hours

    @staticmethod
    def resolve_distance(shop):
        return round(shop.metres)

    @staticmethod
    def resolve_hours(shop):
        return shop.hours_now


class Nearby(Schema):
    results: list[ShopLine]


class Where(Schema):
    lat: Annotated[float, Field(ge=-90, le=90)]
    lng: Annotated[float, Field(ge=-180, le=180)]
    limit: Annotated[int, Field(ge=1, le=20)] = 10


@api.get("stores/nearby/", auth=Bearer(), response=Nearby)
def nearby(request, where: Query[Where]):
    return {"results": nearest(request.auth.brand_id, **where.dict())}


urlpatterns = [path("api/v1/", api.urls)]
